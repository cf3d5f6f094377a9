"""Send HTTP/1.1 requests over plain sockets, so that each reset, half answer and close is seen."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

DICOM = "application/dicom"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """A complete answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Lost:
    """A request without a complete answer.

    Args:
        reason: refused, reset, closed (before the first byte), cut (after it), timeout.
    """

    reason: str


Outcome = Answer | Lost


@dataclass(frozen=True)
class Exchange:
    """One request with what became of it.

    Args:
        client: which one sent it.
        port: the client's end of the connection; 0 when it was refused.
        is_first: on its connection.
        sent_at: `time.monotonic` before the first byte.
        ended_at: the same, after the last.
        outcome: the answer, or how it was lost.
    """

    client: int
    port: int
    is_first: bool
    sent_at: float
    ended_at: float
    outcome: Outcome

    @property
    def status(self) -> int | str:
        """Of the answer, or the reason for which there is none."""
        return self.outcome.status if isinstance(self.outcome, Answer) else self.outcome.reason


def head(method: str, path: str, **fields: str | int) -> bytes:
    """Write a request's head; underscores in a field's name stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: spine.test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def post(data: bytes, content_type: str = DICOM, path: str = "/predict") -> bytes:
    """Write a request that posts a file."""
    return head("POST", path, Content_Type=content_type, Content_Length=len(data)) + data


def get(path: str) -> bytes:
    """Write a request without a body."""
    return head("GET", path)


def statuses(exchanges: Iterable[Exchange]) -> Counter[int | str]:
    """Count the statuses of the answers and the reasons of the lost requests."""
    return Counter(exchange.status for exchange in exchanges)


class Client:
    """A client with one connection, which it keeps as long as the server does."""

    def __init__(self, server_port: int, number: int = 0, timeout_s: float = 60.0) -> None:
        self._server_port = server_port
        self._number = number
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._port = 0

    async def open(self) -> None:
        """Connect, unless it is connected."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._server_port)
            self._port = self._streams[1].get_extra_info("sockname")[1]

    async def send(self, request: bytes) -> Exchange:
        """Send one request, on the connection of the last one if that is still open."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()  # the server closed it between two requests, as it may
        is_first = self._streams is None
        sent_at = time.monotonic()
        outcome: Outcome
        try:
            async with asyncio.timeout(self._timeout_s):
                outcome = await self._exchange(request)
        except TimeoutError:
            outcome = Lost("timeout")
        port = self._port
        closes = isinstance(outcome, Lost) or outcome.headers.get("connection") == "close"
        if closes:
            await self.close()
        return Exchange(self._number, port, is_first, sent_at, time.monotonic(), outcome)

    async def _exchange(self, request: bytes) -> Outcome:
        try:
            await self.open()
        except OSError:
            return Lost("refused")
        assert self._streams is not None
        reader, writer = self._streams
        # An early answer is read while the body is on its way, as every decent client does.
        sending = asyncio.ensure_future(_write(writer, request))
        try:
            return await read_answer(reader)
        finally:
            sending.cancel()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams, self._port = None, 0
            writer.transport.abort()
            await closed(writer)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        for start in range(0, len(data), 1 << 16):
            writer.write(data[start : start + (1 << 16)])
            await writer.drain()
    except OSError:
        return  # the reader sees it too


async def closed(writer: asyncio.StreamWriter) -> None:
    """Wait until an aborted connection is gone."""
    try:
        await writer.wait_closed()
    except OSError:
        return


async def read_answer(reader: asyncio.StreamReader) -> Outcome:
    """Read one answer with a Content-Length or in chunks."""
    try:
        start = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return Lost("cut" if error.partial else "closed")
    except OSError:
        return Lost("reset")
    first, *lines = start.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b"".join([chunk async for chunk in _chunks(reader)])
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return Lost("cut")
    return Answer(int(first.split()[1]), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")


@dataclass
class Load:
    """Clients that send one request after the other, and what became of each."""

    exchanges: list[Exchange] = field(default_factory=list)
    is_over: bool = False

    def since(self, moment: float) -> list[Exchange]:
        """Exchanges whose request was sent after a moment of `time.monotonic`."""
        return [exchange for exchange in self.exchanges if exchange.sent_at > moment]


@asynccontextmanager
async def under_load(
    server_port: int, request_of: Callable[[int], bytes], n_clients: int, pause_s: float = 0.0
) -> AsyncIterator[Load]:
    """Drive a server from keep-alive clients until the block ends or connections are refused.

    Args:
        server_port: on this machine.
        request_of: client number -> its next request.
        n_clients: each sends when the answer to its last request is there.
        pause_s: between an answer and the next request.
    """
    load = Load()

    async def client(number: int) -> None:
        sender = Client(server_port, number)
        try:
            while not load.is_over:
                exchange = await sender.send(request_of(number))
                if exchange.status == "refused":
                    return
                load.exchanges.append(exchange)
                await asyncio.sleep(pause_s)
        finally:
            await sender.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(n_clients):
            tasks.create_task(client(number))
        try:
            yield load
        finally:
            load.is_over = True
