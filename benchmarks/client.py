"""One keep-alive HTTP/1.1 connection that uploads files as `curl -F` does."""

from __future__ import annotations

import asyncio
import re
from typing import cast

HOST = "127.0.0.1"
_BOUNDARY = "------------------------c0ffee0123456789"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


def upload(file: bytes) -> bytes:
    """Write the request that posts a file in the form field `file`."""
    start = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="slice.dcm"\r\n'
        "Content-Type: application/dicom\r\n\r\n"
    ).encode()
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n"
        f"Content-Length: {len(start) + len(file) + len(end)}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n\r\n"
    ).encode()
    return b"".join((head, start, file, end))


class Connection(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self) -> None:
        self.is_open = False
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_open = True

    async def ask(self, request: bytes) -> str:
        """Send a request, wait for its whole answer; the status, or why there is none."""
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        self._received += data
        head, is_whole, body = self._received.partition(b"\r\n\r\n")
        if not is_whole or self._answer.done():
            return
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if not (status and length):
            self._answer.set_result("unreadable")
            self.is_open = False
            self._transport.abort()
        elif len(body) >= int(length[1]):
            self.is_open = not _CLOSE.search(head)
            self._answer.set_result(status[1].decode())

    def connection_lost(self, error: Exception | None) -> None:
        """End; an answer that was waited for will not come."""
        self.is_open = False
        if not self._answer.done():
            self._answer.set_result("reset" if error else "closed")

    def close(self) -> None:
        """Leave."""
        self._transport.abort()
