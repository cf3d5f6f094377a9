"""Flood a server from a process of its own, whose computing delays no client that is measured.

60 clients, each with an address of its own on the loopback network, send one request again and
again, 1 MB/s in all.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.root import ROOT
from tests.security.load.load import HOST, Lost, closed, read_answer

CLIENTS = 60
BYTES_PER_S = 1_000_000
_PIECE = 16_384


class _Bandwidth:
    """What all clients may send together."""

    def __init__(self) -> None:
        self._free_at = time.monotonic()

    async def take(self, n_bytes: int) -> None:
        """Wait until so many bytes more may be sent."""
        start = max(self._free_at, time.monotonic() - 0.05)
        self._free_at = start + n_bytes / BYTES_PER_S
        await asyncio.sleep(start - time.monotonic())


async def _client(
    port: int, address: str, request: bytes, bandwidth: _Bandwidth, seen: Counter[str]
) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
        except OSError:
            seen["refused"] += 1
            await asyncio.sleep(0.1)
            continue
        try:
            closes = False
            while not closes:
                answering = asyncio.ensure_future(read_answer(reader))
                for start in range(0, len(request), _PIECE):
                    if answering.done():
                        break
                    piece = request[start : start + _PIECE]
                    await bandwidth.take(len(piece))
                    writer.write(piece)
                answer = await answering
                if isinstance(answer, Lost):
                    seen[answer.reason] += 1
                    break
                seen[str(answer.status)] += 1
                closes = answer.headers.get("connection") == "close"
        except OSError:
            seen["reset"] += 1
        finally:
            writer.transport.abort()
            await closed(writer)


async def _flood(port: int, request: bytes) -> Counter[str]:
    """Send a request from many clients until the input ends; count what came back."""
    seen: Counter[str] = Counter()
    bandwidth = _Bandwidth()
    clients = [
        asyncio.ensure_future(_client(port, f"127.0.2.{n}", request, bandwidth, seen))
        for n in range(1, CLIENTS + 1)
    ]
    await asyncio.to_thread(sys.stdin.buffer.read)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return seen


@asynccontextmanager
async def flooded(port: int, request: bytes) -> AsyncIterator[Counter[str]]:
    """Flood a server until the block ends; the yielded counter is filled then."""
    flooding = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(port), str(len(request))),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert flooding.stdin is not None
    flooding.stdin.write(request)
    await flooding.stdin.drain()
    seen: Counter[str] = Counter()
    try:
        yield seen
    finally:
        flooding.stdin.close()  # which ends it
        output, _ = await flooding.communicate()
        seen.update(json.loads(output))


if __name__ == "__main__":
    server_port, n_bytes = map(int, sys.argv[1:])
    sys.stdout.write(json.dumps(asyncio.run(_flood(server_port, sys.stdin.buffer.read(n_bytes)))))
