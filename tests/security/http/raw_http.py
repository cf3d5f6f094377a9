"""Talk to a server over a plain socket: send any bytes in pieces, read answers, see resets."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

HOST = "127.0.0.1"
# Longer than any deadline of the server's: who waits for so long waits in vain.
LIMIT_S = 40.0
_STATUS_LINE = re.compile(r"HTTP/1\.1 (\d{3}) [\x20-\x7e]*")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e\t]*)")

End = Literal["open", "closed", "reset"]


@dataclass(frozen=True)
class Answer:
    """One answer as it came.

    Args:
        status: 100 or above.
        fields: each header line, names in lower case; repeated ones stay repeated.
        body: without its chunking.
        raw: every byte of it.
    """

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str:
        """The value of a field that may come once; empty when it is missing."""
        values = [value for field, value in self.fields if field == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else ""


def parse_answer(received: bytes, to_head: bool = False) -> Answer | None:
    """Read the answer that bytes begin with, strictly; None when they end before it does.

    Args:
        received: everything that came.
        to_head: the request was HEAD, whose answer has no body.
    """
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    first, *lines = received[:head_end].decode("latin-1").split("\r\n")
    status_line = _STATUS_LINE.fullmatch(first)
    assert status_line, f"not a status line: {first[:100]!r}"
    status = int(status_line[1])
    fields = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        assert field, f"not a header line: {line[:100]!r}"
        fields.append((field[1].lower(), field[2].strip()))
    start = head_end + 4
    lengths = [value for name, value in fields if name == "content-length"]
    if to_head or status < 200 or status in (204, 304):
        end, body = start, b""
    elif ("transfer-encoding", "chunked") in fields:
        assert not lengths, "the answer has two lengths"
        end, body = _read_chunks(received, start)
    else:
        assert len(lengths) == 1, f"the answer's length is unclear: {fields}"
        end = start + int(lengths[0])
        body = received[start:end]
    if not start <= end <= len(received):
        return None
    return Answer(status, tuple(fields), body, received[:end])


def _read_chunks(received: bytes, at: int) -> tuple[int, bytes]:
    """Read a chunked body; the end is -1 when it is not complete."""
    body = b""
    while True:
        line_end = received.find(b"\r\n", at)
        if line_end < 0:
            return -1, b""
        size = int(received[at:line_end], 16)
        at = line_end + 2 + size + 2
        body += received[line_end + 2 : at - 2]
        if not size:
            return at, body


class Connection:
    """One connection; that it ended is seen in `end`, not raised.

    Args:
        port: on this machine.
        limit_s: after which an unfinished read or write gives up.
        receive_buffer: of the socket, in bytes; 0 leaves the system's.
    """

    def __init__(self, port: int, limit_s: float = LIMIT_S, receive_buffer: int = 0) -> None:
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(limit_s)
        self._socket.connect((HOST, port))
        self.port: int = self._socket.getsockname()[1]
        self._limit_s = limit_s
        self._received = b""
        self.end: End = "open"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Send everything, as a client that reads nothing before it has."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause_s)
            if self.end == "open":
                try:
                    self._socket.sendall(piece)
                except TimeoutError:
                    return
                except OSError:
                    self.end = "reset"

    def push(self, data: bytes, within_s: float) -> int:
        """Send as much as the system takes; return how many bytes that was."""
        _, writable, _ = select.select([], [self._socket], [], within_s)
        if not writable:
            return 0
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            self.end = "reset"
            return 0

    def stream(self, pieces: Iterable[bytes], stop_at_answer: bool = True) -> int:
        """Send as a client that reads meanwhile; return how many bytes it sent.

        Args:
            pieces: perhaps without end.
            stop_at_answer: a client that does not stop is stopped by the end of the connection.
        """
        n_sent = 0
        deadline = time.monotonic() + self._limit_s
        for piece in pieces:
            while self._has_more():
                self._receive()
            is_answered = parse_answer(self._received) is not None
            if self.end != "open" or time.monotonic() > deadline:
                break
            if stop_at_answer and is_answered:
                break
            self.send(piece)
            n_sent += len(piece)
        return n_sent

    def finish_sending(self) -> None:
        """Close this direction only: the server sees the end, and may go on answering."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.end = "reset" if self.end == "open" else self.end

    def answer(self, to_head: bool = False) -> Answer | None:
        """Read the next answer; None when the connection or the patience ends first."""
        deadline = time.monotonic() + self._limit_s
        while True:
            answer = parse_answer(self._received, to_head)
            if answer is not None:
                self._received = self._received[len(answer.raw) :]
                return answer
            if not self._has_more(deadline - time.monotonic()):
                return None
            self._receive()

    def rest(self, limit_s: float | None = None) -> bytes:
        """Wait for the end of the connection; return what came besides the answers."""
        deadline = time.monotonic() + (self._limit_s if limit_s is None else limit_s)
        while self._has_more(deadline - time.monotonic()):
            self._receive()
        return self._received

    def take(self, n_bytes: int) -> int:
        """Read no more than so many of the bytes that are there, and forget them."""
        if not self._has_more():
            return 0
        try:
            n_read = len(self._socket.recv(n_bytes))
        except OSError:
            self.end = "reset"
            return 0
        if not n_read:
            self.end = "closed"
        return n_read

    def skip(self) -> None:
        """Read what is there, and forget it."""
        while self._has_more():
            self._receive()
        self._received = b""

    def _has_more(self, within_s: float = 0.0) -> bool:
        """Wait until bytes, or the end, can be read."""
        if self.end != "open":
            return False
        readable, _, _ = select.select([self._socket], [], [], max(0.0, within_s))
        return bool(readable)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            self.end = "reset"
            return
        self._received += data
        if not data:
            self.end = "closed"
