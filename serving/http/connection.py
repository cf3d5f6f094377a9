"""Speak HTTP/1.1 with clients that are slow, endless or broken: uvicorn's protocol, bounded.

uvicorn itself waits for a request's head without end, keeps a head of any size, reads the rest of a
refused body without end, and waits without end for a client that does not read. `python -m serving`
names this class in uvicorn's `Config(http=)`; `bentoml serve` leaves no way to choose it.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from serving.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    RequestTooSlow,
    TargetTooLong,
    TooManyConnections,
)
from serving.http.body import BodyBuffer
from serving.http.room import SLOWEST_BYTES_PER_S
from serving.problems import Problem, framework_problem
from serving.settings import settings
from serving.telemetry import count_refusal

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

# nginx allows 8 kB a line and 32 kB a head, Django and Gunicorn 100 fields.
MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_FIELDS = 100
# The rest of a refused body is read and discarded: if the connection closed at once, the client
# would see a reset in place of the answer (nginx: lingering_close). It may go on at this rate.
LINGER_S = 8.0
LINGER_BYTES_PER_S = 1_000_000
MAX_LINGER_BYTES = 512_000_000
# A client that reads nothing of its answer for this long is gone; what it reads earns it time, at
# the rate at which it has to send.
WRITE_TIMEOUT_S = 20.0
# Connections above the limit that still get an answer; further ones are dropped.
ANSWERED_ABOVE_LIMIT = 256
# Open files other than connections: at most 50 were seen, with decoders and metrics.
OTHER_FILES = 64
# Of a body that the application has not taken yet. An ordinary slice is smaller, so that reading it
# is never paused, which would cost system calls.
MAX_UNREAD_BYTES = 512 * 1024
# At the end, a connection that is idle, or has just come, may still send the head of a request.
LAST_HEAD_S = 0.5
# Requests that one client may send before it has the answer to the first.
MAX_PIPELINED = 32


@cache
def connection_limits() -> tuple[int, int]:
    """Count the connections to serve and to hold; the limit of open files bounds both."""
    wanted = settings().connections
    try:
        import resource
    except ImportError:  # Windows
        return wanted, wanted + ANSWERED_ABOVE_LIMIT
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return wanted, wanted + ANSWERED_ABOVE_LIMIT
    room = max(files - OTHER_FILES, 8)
    return min(wanted, room * 3 // 4), min(wanted + ANSWERED_ABOVE_LIMIT, room)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. It is in a head, or between two (`_in_head`), else in a body."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.ws_protocol_class = None  # nothing here speaks WebSocket
        self._limits = settings()
        self._in_head = True
        self._overhead_bytes = 0  # of a head, or of what frames a body in chunks
        self._piece = b""
        self._running: RequestResponseCycle | None = None
        self._head_error: Problem | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._write_s = WRITE_TIMEOUT_S  # that is left to the client for its answer
        self._paused_at = 0.0
        self._n_taken = 0  # by the system, at the last pause
        self.n_written = 0  # of all answers
        self._linger_timer: asyncio.TimerHandle | None = None
        self._lingered_bytes = 0
        self._is_last = False  # the connection closes after the current answer
        self._is_stopping = False  # so does each
        self._has_ended = False  # the client sends no more
        self._ignores_input = False  # what arrives is no longer parsed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        served, held = connection_limits()
        if len(self.connections) > held:
            transport.abort()
        elif len(self.connections) > served:
            self._refuse(Problem.of(TooManyConnections("too many are open; try again in a second")))
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection with its timers."""
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        if self._running is not None and not self._running.response_complete:
            # uvicorn notifies the request that came last, but another one may be running.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; bound a head, a chunk's line and the rest of a refused body."""
        if self._linger_timer is not None:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > MAX_LINGER_BYTES:
                self.transport.close()
        if not self._reads_input():
            return
        self._overhead_bytes += len(data)
        self._piece = data
        super().data_received(data)
        self._piece = b""  # or each of thousands of idle connections would keep its own
        if not self._reads_input():
            return
        if self._overhead_bytes > MAX_HEAD_BYTES:
            if self._linger_timer is not None:
                self.transport.close()  # it has its answer
            elif self._in_head:
                self._refuse(self._oversized_head())
            else:
                self._refuse(Problem.of(BodyTooLarge("its chunks hold more framing than data")))
        elif self._in_head and self._overhead_bytes > 0 and self._head_timer is None:
            self._wait_for_head()

    def eof_received(self) -> bool:  # type: ignore[override] # as asyncio's, not None
        """Answer what came whole before a client closed its direction (RFC 9112, 9.6); then close.

        Returns:
            Whether the connection stays open for that.
        """
        self._has_ended = self._ignores_input = True
        last = self.cycle
        if last is not None and last.more_body:  # it never comes whole
            if not self.pipeline or self._running is None:
                return False
            self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else self._running
        if last is None or last.response_complete:
            return False
        last.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Note that a head begins, perhaps in the piece that ended the previous request."""
        self._overhead_bytes += 1
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; trailers of a chunked body must not change it."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large or not HTTP/1; otherwise start the application."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("this is not a proxy")
            return  # read again by _unsupported_upgrade_warning
        self._in_head = False
        self._overhead_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if max(size - MAX_HEAD_BYTES, len(self.headers) - MAX_FIELDS) > 0 or (
            len(self.url) > MAX_TARGET_BYTES
        ):
            self._head_error = self._oversized_head()
            raise ValueError("the head is too large")  # ends in send_400_response
        self._check_head()
        if len(self.pipeline) == MAX_PIPELINED:
            raise ValueError("too many requests wait")  # those before it are answered
        super().on_headers_complete()
        if self._is_stopping:
            self.cycle.keep_alive = False
        self.cycle.transport = LingeringTransport(self)  # type: ignore[assignment] # has what a cycle calls

    def _check_head(self) -> None:
        """Refuse what a proxy before this server may read in another way.

        Raises:
            ValueError: two hosts, another version of HTTP, or a body in another transfer coding
                than `chunked`, in it twice, or in HTTP/1.0 (RFC 9112, 3.2 and 6.1).
        """
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise ValueError("another version of HTTP")
        if version == "1.0":
            self.expect_100_continue = False  # which it does not know (RFC 9110, 10.1.1)
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("two hosts")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and (
            version == "1.0" or len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked"
        ):
            raise ValueError("another transfer coding")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start the application on a request once the earlier ones are answered."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body; chunk framing may be an eighth of the data."""
        self._overhead_bytes -= len(body) + len(body) // 8
        cycle = self.cycle
        if self.parser.should_upgrade() or cycle.response_complete:
            return
        if not cycle.body:  # new, or taken by the application
            # uvicorn's bytearray would copy each piece twice more.
            cycle.body = BodyBuffer()  # type: ignore[assignment] # has what a cycle calls
        cycle.body += body
        if len(cycle.body) > MAX_UNREAD_BYTES:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that a body is complete: the next bytes are another head."""
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._overhead_bytes = 0
        super().on_message_complete()
        if self._is_last:
            self._ignores_input = True
        elif self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Go on with the next request, or discard the rest of this one."""
        self._write_s = WRITE_TIMEOUT_S
        if self._running is not None and isinstance(self._running.transport, LingeringTransport):
            self._running.transport.flush()
        if self._is_last:
            return  # close_after_body has been called
        super().on_response_complete()
        if not self._in_head and self._running is self.cycle:
            self._linger()

    def close_after_body(self) -> None:
        """Close the connection once the client has sent everything."""
        if self._is_last:
            return
        self._is_last = True
        self._ignores_input |= self._in_head  # the request is complete: what follows is ignored
        self.pipeline.clear()
        self._linger()

    def shutdown(self) -> None:
        """Close with the current answer, or with that of a request which is on its way."""
        self._is_stopping = True
        if self._linger_timer is not None:
            self.transport.close()
        elif self.cycle is None or self.cycle.response_complete:
            if self._head_timer is not None:
                self._head_timer.cancel()
            self._head_timer = self.loop.call_later(LAST_HEAD_S, self._head_is_late)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or what `on_headers_complete` refused."""
        self._refuse(self._head_error or framework_problem(400))

    def pause_writing(self) -> None:
        """Give the client a while to read its answer."""
        super().pause_writing()
        n_taken = self.n_written - self.transport.get_write_buffer_size()
        earned_s = (n_taken - self._n_taken) / SLOWEST_BYTES_PER_S
        self._write_s = min(self._write_s + earned_s, WRITE_TIMEOUT_S)
        self._n_taken = n_taken
        self._paused_at = self.loop.time()
        self._write_timer = self.loop.call_later(max(0.0, self._write_s), self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again: stop the timer."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_s -= self.loop.time() - self._paused_at
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one in a head has its own timer."""
        if self._head_timer is None:
            super().timeout_keep_alive_handler()

    def _reads_input(self) -> bool:
        return not (self._ignores_input or self.transport.is_closing())

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request again without its wish to upgrade, which may be ignored (RFC 9110, 7.8).

        The parser stops at it before the body; uvicorn would answer as if there were none.
        """
        error = sys.exc_info()[1]
        body_at = error.args[0] if error else len(self._piece)
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = (token.strip() for token in value.split(b","))
                value = b", ".join(token for token in tokens if token.lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(b"%b: %b\r\n" % (name, value))
        rest = self._piece[body_at:]
        self.parser = httptools.HttpRequestParser(self)
        self._in_head = True
        self.data_received(b"".join((*lines, b"\r\n", rest)))

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # the request before is still being answered
        elif self._overhead_bytes:
            self._refuse(
                Problem.of(
                    RequestTooSlow(
                        f"the request's head took more than {self._limits.head_timeout_s} s"
                    )
                )
            )
        else:
            self.transport.close()  # it sent nothing at all

    def _oversized_head(self) -> Problem:
        if len(getattr(self, "url", b"")) > MAX_TARGET_BYTES:
            return Problem.of(
                TargetTooLong(f"the request's target may have {MAX_TARGET_BYTES} bytes")
            )
        return Problem.of(
            HeadersTooLarge(
                f"the headers may have {MAX_FIELDS} fields and {MAX_HEAD_BYTES} bytes in all"
            )
        )

    def _refuse(self, problem: Problem) -> None:
        """Answer the current request without the application, and close.

        Earlier requests get their own answers first; then the connection closes without another.
        """
        self._ignores_input = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline and self._running is not None:  # it is the last one in the queue
                self.pipeline.popleft()
                before = self.pipeline[0][0] if self.pipeline else self._running
                before.keep_alive = False
                return
            if cycle.response_started:
                self.transport.close()
                return
        request_id = uuid.uuid4().hex
        self.transport.write(problem.as_http(request_id, self.server_state.default_headers))
        count_refusal(problem, request_id)
        self.close_after_body()

    def _linger(self) -> None:
        """Discard what still arrives, for a while."""
        if self._has_ended:
            self.transport.close()  # once it is written
        if self.transport.is_closing():
            return
        if self._is_last and self.transport.can_write_eof():
            self.transport.write_eof()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._lingered_bytes = 0
        self._linger_timer = self.loop.call_later(LINGER_S, self._linger_on, LINGER_S)

    def _linger_on(self, lingered_s: float) -> None:
        """Close, unless the rest comes fast enough to be worth waiting for."""
        if self._lingered_bytes < lingered_s * LINGER_BYTES_PER_S:
            self.transport.close()
        else:
            self._linger_timer = self.loop.call_later(1.0, self._linger_on, lingered_s + 1.0)


class LingeringTransport:
    """The transport as one request sees it: closing waits for the rest of the body.

    The answer's head is sent with the first piece of its body: one packet and one wake-up less.
    """

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self.is_closing = protocol.transport.is_closing
        self._head: bytes | None = None
        self._has_head = False

    def write(self, data: bytes) -> None:
        """Send a piece of the answer."""
        if self._has_head:
            if self._head is not None:
                data, self._head = self._head + data, None
            self._send(data)
        elif data.startswith(b"HTTP/1.1 100 "):
            self._send(data)
        else:
            self._has_head = True
            self._head = data

    def flush(self) -> None:
        """Send the head of an answer without a body."""
        if self._head is not None:
            self._send(self._head)
            self._head = None

    def _send(self, data: bytes) -> None:
        self._protocol.n_written += len(data)
        self._protocol.transport.write(data)

    def close(self) -> None:
        """Close once the client has sent everything."""
        self.flush()
        self._protocol.close_after_body()
