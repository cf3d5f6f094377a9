"""Take connections so that each worker holds as many as the others.

The kernel wakes every worker for a connection, and the one that comes first takes it: of 4 clients
that stay, one worker got all 4, of 16 one got 10, and those wait longer than the others.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from serving.http.shares import Shares, shares
from serving.process.worker import trim_heap

if TYPE_CHECKING:
    from uvicorn.config import Config

# A worker that holds more than another looks again after this,
LOOK_AGAIN_S = 0.002
# and takes the connection itself when the other has not done so by then.
HELD_BACK_S = 0.03
# It waits for no other again so soon after one has let it wait in vain.
IN_VAIN_S = 0.3
# Where no file can be opened: as long as asyncio itself waits.
NO_FILES_S = 1.0
# Tenths of a second between two looks for a pause in which memory can be returned.
IDLE_TICKS = 20
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def install() -> None:
    """Let BentoML's workers use this server."""
    uvicorn.Server = FairServer  # type: ignore[misc]


class FairServer(uvicorn.Server):
    """uvicorn's server; one of several workers takes no more than its share."""

    _n_trimmed = 0  # requests before the last look for memory

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        table = shares()
        if table is None or not sockets:
            await super().startup(sockets)
            return
        await super().startup([])
        loop = asyncio.get_running_loop()
        config, connections = self.config, self.server_state.connections

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        self.servers = []
        for listener in sockets:
            listening = Listening(listener, protocol, config, table, lambda: len(connections))
            listening.start(loop)
            self.servers.append(listening)  # type: ignore[arg-type]  # has what is called

    async def on_tick(self, counter: int) -> bool:
        """Give a sign of life, ten times a second; when all is answered, return memory."""
        state = self.server_state
        if counter % IDLE_TICKS == 0 and not state.tasks and state.total_requests > self._n_trimmed:
            self._n_trimmed = state.total_requests
            trim_heap()
        table = shares()
        if table is not None and not self.should_exit:
            table.hold(len(self.server_state.connections))
        return await super().on_tick(counter)


class Listening:
    """One listening socket.

    Args:
        listener: shared with other workers, not blocking.
        protocol: makes a connection's protocol.
        config: with TLS, if any.
        table: what the workers hold.
        n_open: connections of this worker.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        config: Config,
        table: Shares,
        n_open: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._config = config
        self._table = table
        self._n_open = n_open
        self._opening: set[asyncio.Task[object]] = set()
        self._held_back_since: float | None = None
        self._waits_from = 0.0
        self._again: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen."""
        self._loop = loop
        self._listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more connections."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._table.leave()

    async def wait_closed(self) -> None:
        """Be closed at once."""

    def _listen(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener.fileno(), self._take)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._again = self._loop.call_later(seconds, self._listen)

    def _take(self) -> None:
        """Take one connection, unless another worker should."""
        n_held = self._n_open() + len(self._opening)
        if not self._table.are_above(n_held):
            now = self._loop.time()
            if self._held_back_since is None:
                self._held_back_since = now
            if now - self._held_back_since < HELD_BACK_S and now > self._waits_from:
                self._pause(LOOK_AGAIN_S)
                return
            if now > self._waits_from:
                self._waits_from = now + IN_VAIN_S
        self._held_back_since = None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client is gone
        except OSError as error:
            if error.errno not in _NO_FILES:
                raise
            self._pause(NO_FILES_S)
            return
        self._table.hold(n_held + 1)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._config.ssl
            )
        except OSError:
            connection.close()  # the client is gone, or speaks no TLS
