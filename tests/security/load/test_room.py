"""Bodies that stall or trickle take the room of nobody who sends."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.dicom_files import make_dicom, noise
from tests.measured import Report
from tests.security.conftest import Serve
from tests.security.load.load import DICOM, Exchange, head, post, statuses
from tests.security.load.slow import trickle

pytestmark = pytest.mark.heavy

MB = 1_000_000
STALLED = 40
SLOW_LARGE = 4


def from_address(request: bytes, address: str) -> bytes:
    """Name the client as a proxy does."""
    return request.replace(b"\r\n", f"\r\nX-Forwarded-For: {address}\r\n".encode(), 1)


@pytest.mark.parametrize("attackers", ["one address", "forty addresses", "the address of others"])
async def test_bodies_that_stall_before_their_end_cost_others_nothing(
    serve: Serve, slice_file: bytes, report: Report, attackers: str
) -> None:
    server = serve(SPINE_TRUSTED_PROXIES="127.0.0.1")
    honest = from_address(post(slice_file), "203.0.113.1")
    await server.warm_up(slice_file)
    stalling = head("POST", "/predict", Content_Type=DICOM, Content_Length=4 * MB) + bytes(
        4 * MB - 1
    )
    named = {"one address": "192.0.2.1", "the address of others": "203.0.113.1"}
    stalled = [
        asyncio.create_task(
            trickle(
                server.port,
                from_address(stalling, named.get(attackers, f"192.0.2.{number}")),
                *(b"", 0.5, 20.0),
            )
        )
        for number in range(STALLED)
    ]
    await asyncio.sleep(3)  # everything that comes has come, and some have stalled for a second
    exchanges: list[Exchange] = []
    until = time.monotonic() + 8
    while time.monotonic() < until:
        exchanges += await server.ask_all([honest] * 8)
    report(f"{attackers}: {dict(statuses(exchanges))}")
    assert set(statuses(exchanges)) == {200}
    for client in stalled:
        client.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)


async def test_large_bodies_that_trickle_hold_no_place_for_long(
    serve: Serve, slice_file: bytes, report: Report
) -> None:
    server = serve(SPINE_TRUSTED_PROXIES="127.0.0.1")
    await server.warm_up(slice_file)
    large = make_dicom(noise((1600, 1600)))
    assert len(large) > 4 * MB
    start = head("POST", "/predict", Content_Type=DICOM, Content_Length=32 * MB)
    start += bytes(4 * MB + 1)  # from then on it needs a place
    slow = [
        asyncio.create_task(
            # More than the 64 kB/s that keep a body alive.
            trickle(server.port, from_address(start, f"192.0.2.{i}"), bytes(50_000), 0.5, 60.0)
        )
        for i in range(SLOW_LARGE)
    ]
    await asyncio.sleep(1)
    began = time.monotonic()
    answers = await server.ask_all([from_address(post(large), f"203.0.113.{i}") for i in range(2)])
    report(f"{dict(statuses(answers))} after {time.monotonic() - began:.1f} s")
    assert set(statuses(answers)) == {200}
    for client in slow:
        client.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
