"""Generate load: N keep-alive clients in a process of their own that upload files as curl -F does.

A plain protocol over sockets: what the generator costs, the server on the same cores cannot use.
Clients send one request at a time, each beginning with another file. Meanwhile a thread sends
stamps through a socket pair; how late the loop sees them is how late it sees answers.
`benchmarks.load` starts this process.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import cast

HOST = "127.0.0.1"
_PATIENCE_S = 60.0
# When all connect at the same moment, one worker process takes all of them, or two share them by
# chance: the run would measure which.
_BETWEEN_CLIENTS_S = 0.002
_PROBE_EVERY_S = 0.01
_STAMP = struct.Struct("d")
_BOUNDARY = "------------------------c0ffee0123456789"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What the clients of one run saw.

    Args:
        clients: connections, each with one request at a time.
        seconds: from the first request to the last answer.
        requests: answers of status 200.
        errors: status, or what became of the connection -> how many.
        requests_per_s: of status 200.
        p50_ms, p90_ms, p99_ms: from sending a request to its whole answer, of status 200.
        client_cpu_share: of one core, used by the generator.
        client_cpu_ms: of the generator, a request.
        late_p50_ms, late_p99_ms: how late the generator notices what has arrived.
    """

    clients: int
    seconds: float
    requests: int
    errors: dict[str, int]
    requests_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    client_cpu_share: float
    client_cpu_ms: float
    late_p50_ms: float
    late_p99_ms: float


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


class _Connection(asyncio.Protocol):
    """One keep-alive connection to the server."""

    def __init__(self) -> None:
        self.is_open = False
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_open = True

    async def ask(self, request: bytes) -> str:
        """Send a request and return the status of its whole answer, or why none came."""
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, is_whole, body = self._received.partition(b"\r\n\r\n")
        if not is_whole or self._answer.done():
            return
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if not (status and length):
            self._answer.set_result("unreadable")
            self.close()
        elif len(body) >= int(length[1]):
            self.is_open = not _CLOSE.search(head)
            self._answer.set_result(status[1].decode())

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if not self._answer.done():
            self._answer.set_result("reset" if error else "closed")

    def close(self) -> None:
        self.is_open = False
        self._transport.abort()


@contextmanager
def _lateness() -> Iterator[list[float]]:
    """Collect how late the running loop sees a stamp that a thread sends, in seconds."""
    late: list[float] = []
    here, there = socket.socketpair()
    here.setblocking(False)
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(_PROBE_EVERY_S):
            there.send(_STAMP.pack(time.perf_counter()))

    def receive() -> None:
        now = time.perf_counter()
        late.extend(now - sent for (sent,) in _STAMP.iter_unpack(here.recv(_STAMP.size * 512)))

    loop = asyncio.get_running_loop()
    loop.add_reader(here, receive)
    thread = threading.Thread(target=send, name="probe")
    thread.start()
    try:
        yield late
    finally:
        ended.set()
        thread.join()
        loop.remove_reader(here)
        here.close()
        there.close()


@dataclass
class _Tally:
    """What the clients of one run have seen so far."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    waiting: int = 0


async def _client(port: int, requests: Iterator[bytes], end: float, tally: _Tally) -> None:
    """Send requests until the time is up, on one connection as long as the server keeps it."""
    loop, connection = asyncio.get_running_loop(), None
    for request in requests:
        if time.perf_counter() >= end:
            break
        if connection is None or not connection.is_open:
            try:
                _, connection = await loop.create_connection(_Connection, HOST, port)
            except OSError:
                tally.errors["refused"] += 1
                await asyncio.sleep(0.05)
                continue
        tally.waiting += 1
        sent = time.perf_counter()
        status = await connection.ask(request)
        took = time.perf_counter() - sent
        tally.waiting -= 1
        if status == "200":
            tally.seconds.append(took)
        else:
            tally.errors[status] += 1
    if connection is not None:
        connection.close()


async def run(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Send the requests in turn from all clients until the time is up."""
    tally = _Tally()
    with _lateness() as late:
        began, cpu = time.perf_counter(), time.process_time()
        running = []
        for number in range(clients):
            mine = islice(cycle(requests), number, None)
            running.append(asyncio.create_task(_client(port, mine, began + seconds, tally)))
            await asyncio.sleep(_BETWEEN_CLIENTS_S)
        ended, left = await asyncio.wait(running, timeout=seconds + _PATIENCE_S)
        for task in left:
            task.cancel()
        for task in ended:
            task.result()  # raises what our own code raised
        tally.errors.update({"unanswered": tally.waiting} if tally.waiting else {})
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    n_asked = len(tally.seconds) + tally.errors.total()
    return Load(
        clients=clients,
        seconds=round(took, 3),
        requests=len(tally.seconds),
        errors=dict(tally.errors),
        requests_per_s=round(len(tally.seconds) / took, 2),
        p50_ms=percentile_ms(tally.seconds, 50),
        p90_ms=percentile_ms(tally.seconds, 90),
        p99_ms=percentile_ms(tally.seconds, 99),
        client_cpu_share=round(cpu / took, 3),
        client_cpu_ms=round(cpu * 1e3 / n_asked, 3) if n_asked else 0.0,
        late_p50_ms=percentile_ms(late, 50),
        late_p99_ms=percentile_ms(late, 99),
    )


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Interpolate a percentile linearly, in milliseconds; 0 of nothing."""
    if not seconds:
        return 0.0
    ordered = sorted(seconds)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return round((ordered[low] + (ordered[high] - ordered[low]) * (place - low)) * 1e3, 3)


def main() -> None:
    """Read a job as JSON from stdin, write what was measured to stdout."""
    if sys.argv[1:]:  # -h: it takes no options
        sys.stdout.write(str(__doc__))
        return
    job = json.load(sys.stdin)
    requests = [upload(Path(file).read_bytes()) for file in job["files"]]

    async def all_phases() -> list[Load]:
        return [await run(job["port"], requests, n, seconds) for n, seconds in job["phases"]]

    json.dump([asdict(load) for load in _run_loop(all_phases())], sys.stdout)


def _run_loop(loads: Coroutine[None, None, list[Load]]) -> list[Load]:
    try:
        import uvloop
    except ImportError:  # it does not exist for Windows
        return asyncio.run(loads)
    return uvloop.run(loads)


if __name__ == "__main__":
    main()
