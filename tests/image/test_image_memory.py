"""A thousand slices leave a container within its memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.slices import mix
from tests.image.conftest import Start
from tests.image.containers import MIB, ONE_WORKER, TWO_WORKERS, Limits
from tests.measured import Report
from tests.security.load.load import Client, Exchange, post, statuses

pytestmark = pytest.mark.image

REQUESTS = 1000
CLIENTS = 8


@pytest.fixture(scope="module")
def requests() -> list[bytes]:
    """Slices of 256 to 576 pixels a side, uncompressed, RLE and JPEG 2000."""
    return [post(file) for file in mix().files]


@pytest.mark.parametrize("limits", [ONE_WORKER, TWO_WORKERS], ids=["one worker", "two workers"])
async def test_a_thousand_slices_stay_within_the_limit(
    start: Start, limits: Limits, requests: list[bytes], report: Report
) -> None:
    made = await asyncio.to_thread(start, limits)
    workers, ready = made.workers(), made.memory()
    exchanges = await _send(made.port, [requests[n % len(requests)] for n in range(REQUESTS)])
    after, state = made.memory(), made.inspect()
    report(
        f"memory of {limits.workers} worker(s) under {limits.memory_mb} MiB: ready"
        f" {ready.used / MIB:.0f} MiB, after {REQUESTS} slices {after.used / MIB:.0f} MiB,"
        f" peak with page cache {after.peak / MIB:.0f} MiB"
    )
    assert statuses(exchanges) == {200: REQUESTS}
    assert made.workers() == workers
    assert (after.n_killed, state["State"]["OOMKilled"], state["RestartCount"]) == (0, False, 0)
    assert after.used < limits.memory_mb * MIB


async def _send(port: int, requests: list[bytes]) -> list[Exchange]:
    """Send requests from a few clients, each in turn."""
    left: Iterator[bytes] = iter(requests)

    async def client(number: int) -> list[Exchange]:
        sender = Client(port, number)
        try:
            return [await sender.send(request) for request in left]
        finally:
            await sender.close()

    return [one for done in await asyncio.gather(*map(client, range(CLIENTS))) for one in done]
