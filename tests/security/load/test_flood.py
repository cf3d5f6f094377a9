"""Sixty hostile clients with 1 MB/s in all delay the honest ones at most fourfold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.dicom_files import make_dicom, noise
from tests.measured import Report
from tests.security.conftest import Serve
from tests.security.load.costly import requests
from tests.security.load.hostile import flooded
from tests.security.load.load import Exchange, post, statuses, under_load
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

HONEST = 4
TURNS = 3
TURN_S = 4.0
SETTLE_S = 1.0
MOST_DELAY = 4.0
FLOODS = [
    ("head", "a path that is not there"),
    ("header", "49,000 items"),
    ("deflate", "2048 x 2048 pixels of few values"),
    ("decode", "16 x 16 without data, JPEG-LS"),
    ("frames", "one pixel"),
    ("frames", "110 of 1 kB"),
    ("frames", "2048 of one pixel"),
]


def quantile_ms(exchanges: Sequence[Exchange], share: float) -> float:
    """The time within which this share was answered."""
    times = sorted(each.ended_at - each.sent_at for each in exchanges)
    return times[int(share * (len(times) - 1))] * 1e3


async def honest_turn(server: Server, file: bytes) -> list[Exchange]:
    """What a few honest clients see for some seconds."""
    async with under_load(server.port, lambda _: post(file), HONEST) as load:
        await asyncio.sleep(TURN_S)
    return load.exchanges


@pytest.mark.parametrize(("stage", "name"), FLOODS)
async def test_a_flood_delays_honest_clients_at_most_fourfold(
    serve: Serve, slice_file: bytes, report: Report, stage: str, name: str
) -> None:
    server = serve(SPINE_WORKERS="2")
    await server.warm_up(slice_file)
    hostile = dict(requests(stage))[name]
    alone: list[Exchange] = []
    flood: list[Exchange] = []
    for _ in range(TURNS):  # in turns, since the machine may be busy otherwise
        alone += await honest_turn(server, slice_file)
        async with flooded(server.port, hostile) as seen:
            await asyncio.sleep(SETTLE_S)
            flood += await honest_turn(server, slice_file)
    for who, exchanges in (("alone", alone), ("in the flood", flood)):
        p50, p99 = quantile_ms(exchanges, 0.5), quantile_ms(exchanges, 0.99)
        report(f"{who}: p50 {p50:.0f}, p99 {p99:.0f} ms, {dict(statuses(exchanges))}")
    report(f"the flood: {dict(seen)}")
    assert set(statuses(alone + flood)) == {200}
    assert quantile_ms(flood, 0.99) <= MOST_DELAY * quantile_ms(alone, 0.99)


@pytest.mark.parametrize("name", ["one pixel", "110 of 1 kB"])
async def test_an_object_of_200_frames_is_answered_in_a_flood_and_among_slices(
    serve: Serve, slice_file: bytes, report: Report, name: str
) -> None:
    # Three times the usual deadline: the flood and the clients compute on the same cores.
    server = serve(SPINE_WORKERS="2", SPINE_DEADLINE_S="30")
    await server.warm_up(slice_file)
    many = post(make_dicom(noise((200, 96, 96))))
    async with (
        flooded(server.port, dict(requests("frames"))[name]),
        under_load(server.port, lambda _: post(slice_file), HONEST) as load,
    ):
        await asyncio.sleep(SETTLE_S)
        answers = [await server.ask(many) for _ in range(3)]
    seconds = [f"{each.ended_at - each.sent_at:.1f}" for each in answers]
    report(f"{dict(statuses(answers))} after {', '.join(seconds)} s")
    assert set(statuses(answers)) == set(statuses(load.exchanges)) == {200}
