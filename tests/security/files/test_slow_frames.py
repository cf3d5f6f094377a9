"""Frames that keep a decoder busy without end do not hold up the valid ones."""

from __future__ import annotations

import asyncio

import pytest

from preprocessing.decoding.process import MOST_PROCESSES
from tests.measured import Report
from tests.security import process_tree
from tests.security.files.corpus_costly import slow_frame
from tests.security.load.load import post, statuses, under_load
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

ATTACKERS = 8
SECONDS = 8.0


# 16 pixels compute for 0.15 s, 1024 for 0.2 s, 2048 for 0.4 s, which is all that so few bytes may.
@pytest.mark.parametrize("side", [16, 1024, 2048])
async def test_sound_slices_are_answered_while_eight_clients_send_slow_frames(
    server: Server, slice_file: bytes, compressed_file: bytes, report: Report, side: int
) -> None:
    await server.warm_up(slice_file, compressed_file)
    hostile = post(slow_frame(side))
    sound = [post(slice_file), post(compressed_file)]
    with process_tree.watch_memory(server.pid) as memory:
        async with under_load(server.port, lambda _: hostile, ATTACKERS) as attack:
            await asyncio.sleep(2)
            async with under_load(server.port, lambda number: sound[number % 2], 4, 0.1) as load:
                await asyncio.sleep(SECONDS)
    for name, rest in (("uncompressed", 0), ("compressed", 1)):
        exchanges = [each for each in load.exchanges if each.client % 2 == rest]
        slowest = max(each.ended_at - each.sent_at for each in exchanges)
        report(f"{name}: {dict(statuses(exchanges))}, within {slowest:.1f} s")
    report(f"slow frames: {dict(statuses(attack.exchanges))}")
    assert set(statuses(load.exchanges)) == {200}
    assert {413, 422, 429, 503, 504}.issuperset(statuses(attack.exchanges))
    assert memory.growth(server.at_start) < 400_000_000


async def test_slow_frames_of_many_clients_leave_the_decoders_as_they_were(
    server: Server, compressed_file: bytes, report: Report
) -> None:
    # What the test before has killed is back when two frames meet.
    for _ in range(20):
        await server.warm_up(compressed_file)
        if len(process_tree.decoders(server.pid)) == MOST_PROCESSES:
            break
    before = process_tree.usage(server.pid)
    answers = await server.ask_all([post(slow_frame(16))] * 64)
    report(str(dict(statuses(answers))))
    assert {413, 422, 429, 503, 504}.issuperset(statuses(answers))
    assert await server.is_ready_within(5)
    await server.warm_up(compressed_file)
    after = process_tree.usage(server.pid)
    assert after.processes <= before.processes
    assert after.descriptors <= before.descriptors
