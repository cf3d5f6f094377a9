"""Under more load than it can take, the server refuses some, loses none and recovers at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterable

import pytest

from tests.dicom_files import make_dicom, noise
from tests.measured import Report
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.load.load import Answer, Exchange, get, head, post, statuses
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

MB = 1_000_000
MEMORY_BYTES = 400 * MB
READY_AGAIN_S = 5.0
CONNECTIONS = 1000


def problem_codes(exchanges: Iterable[Exchange], *expected: int) -> dict[int | str, set[str]]:
    """Check each answer that is not 200; return the codes of each status."""
    codes: dict[int | str, set[str]] = {}
    for exchange in exchanges:
        answer = exchange.outcome
        assert isinstance(answer, Answer), exchange
        assert answer.status in (200, *expected), answer
        if answer.status == 200:
            continue
        assert answer.headers["content-type"] == "application/problem+json", answer
        codes.setdefault(answer.status, set()).add(json.loads(answer.body)["code"])
        if answer.status in (429, 503):
            assert int(answer.headers["retry-after"]) >= 1, answer
    return codes


async def assert_itself_again(server: Server, *files: bytes) -> None:
    """The server is ready in 5 s and answers as before."""
    assert await server.is_ready_within(READY_AGAIN_S)
    for file in files:
        assert (await server.ask(post(file))).status == 200


async def test_a_thousand_connections_at_once_are_all_answered(
    server: Server,
    slice_file: bytes,
    compressed_file: bytes,
    many_descriptors: None,
    report: Report,
) -> None:
    await server.warm_up(slice_file, compressed_file)
    with process_tree.watch_memory(server.pid) as memory:
        exchanges = await server.ask_all([post(slice_file)] * CONNECTIONS)
        report(f"{dict(statuses(exchanges))}, memory +{memory.growth(server.at_start) / MB:.0f} MB")
        codes = problem_codes(exchanges, 429, 503)
        assert codes.get(429, set()) <= {"overloaded"}
        assert codes.get(503, set()) <= {"too_many_connections"}
        assert statuses(exchanges)[200] > 0
        await assert_itself_again(server, slice_file, compressed_file)
    assert memory.growth(server.at_start) < MEMORY_BYTES


async def test_a_thousand_forms_that_are_announced_too_large_are_all_refused(
    server: Server, slice_file: bytes, many_descriptors: None, report: Report
) -> None:
    large = head("POST", "/predict", Content_Type="application/dicom", Content_Length=40 * MB)
    with process_tree.watch_memory(server.pid) as memory:
        exchanges = await server.ask_all([large + slice_file] * CONNECTIONS)
        report(f"{dict(statuses(exchanges))}, memory +{memory.growth(server.at_start) / MB:.0f} MB")
        problem_codes(exchanges, 413, 429, 503)
        assert statuses(exchanges)[200] == 0
        await assert_itself_again(server, slice_file)
    assert memory.growth(server.at_start) < MEMORY_BYTES


async def test_hundred_of_the_largest_bodies_at_once_stay_within_the_memory(
    server: Server, slice_file: bytes, many_descriptors: None, report: Report
) -> None:
    largest = make_dicom(noise((39, 640, 640)))
    assert 31 * MB < len(largest) < 32 * MB
    await server.ask(post(largest))
    with process_tree.watch_memory(server.pid) as memory:
        exchanges = await server.ask_all([post(largest)] * 100, timeout_s=120)
        report(f"{dict(statuses(exchanges))}, memory +{memory.growth(server.at_start) / MB:.0f} MB")
        problem_codes(exchanges, 429, 503, 504)
        await assert_itself_again(server, slice_file)
    assert memory.growth(server.at_start) < MEMORY_BYTES


async def test_small_limits_answer_some_and_tell_the_others_to_come_again(
    serve: Serve, slice_file: bytes, report: Report
) -> None:
    server = serve(SPINE_QUEUE="1", SPINE_CONCURRENCY="2")
    await server.warm_up_alone(slice_file)
    exchanges = await server.ask_all([post(slice_file)] * 64)
    report(str(dict(statuses(exchanges))))
    assert problem_codes(exchanges, 429) == {429: {"overloaded"}}
    assert statuses(exchanges)[200] >= 2
    await assert_itself_again(server, slice_file)


async def test_an_idle_server_is_never_too_busy_for_one_file_of_many_frames(serve: Serve) -> None:
    # Retry-After would be a promise that no later try keeps.
    server = serve(SPINE_QUEUE="1", SPINE_CONCURRENCY="1")
    assert (await server.ask(post(make_dicom(noise((16, 64, 64)))))).status == 200


async def test_a_file_that_takes_longer_than_the_deadline_is_answered_with_504(
    serve: Serve, slice_file: bytes, compressed_file: bytes, report: Report
) -> None:
    server = serve(SPINE_DEADLINE_S="1")
    await server.warm_up_alone(slice_file)
    stuck = process_tree.decoders(server.pid)
    for decoder in stuck:
        os.kill(decoder, signal.SIGSTOP)
    waits = server.ask(post(compressed_file))
    exchange, ready = await asyncio.gather(waits, server.ask(get("/readyz")))
    for decoder in stuck:
        os.kill(decoder, signal.SIGCONT)
    report(f"{exchange.status} after {exchange.ended_at - exchange.sent_at:.1f} s")
    assert problem_codes([exchange], 504) == {504: {"deadline_exceeded"}}
    assert ready.status == 200
    await assert_itself_again(server, slice_file)


async def test_waiting_counts_towards_the_deadline(
    serve: Serve, slice_file: bytes, report: Report
) -> None:
    server = serve(SPINE_DEADLINE_S="1")
    await server.warm_up_alone(slice_file)
    long_file = make_dicom(noise((30, 64, 64)))
    exchanges = await server.ask_all([post(long_file)] * 64)
    longest = max(exchange.ended_at - exchange.sent_at for exchange in exchanges)
    report(f"{dict(statuses(exchanges))}, the longest after {longest:.1f} s")
    assert problem_codes(exchanges, 429, 504)
    # The deadline itself, and as much again for sending 16 MB on a busy machine.
    assert longest < 10
    await assert_itself_again(server, slice_file)


async def test_fewer_descriptors_than_connections_stop_nothing_for_long(
    serve: Serve, slice_file: bytes, report: Report
) -> None:
    server = serve("sh", "-c", 'ulimit -n 100; exec "$@"', "sh")
    workers = server.workers()
    exchanges = await server.ask_all([post(slice_file)] * 300)
    report(str(dict(statuses(exchanges))))
    assert statuses(exchanges)[200] > 0
    assert not {500, "timeout"} & set(statuses(exchanges))
    await assert_itself_again(server, slice_file)
    assert server.workers() == workers
