"""Clients that never end, are slow or do not read, against a real server: no other client waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.measured import Report
from tests.security import process_tree
from tests.security.http.cases import ORDINARY, get
from tests.security.http.cases_answers import assert_answers, assert_quiet, outcome
from tests.security.http.cases_large import ENDLESS, endless
from tests.security.http.cases_slow import CLIENTS, ask_and_never_read, flood, play
from tests.security.http.raw_http import Connection
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

CLOSED_WITHIN_S = 30.0
ANSWERED_WITHIN_S = 1.0
MB = 1_000_000


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_answered_and_its_connection_ended(
    server: Server, report: Report, what: str
) -> None:
    start, piece, expected = ENDLESS[what]
    before = process_tree.usage(server.pid)
    with Connection(server.port) as connection, process_tree.watch_memory(server.pid) as memory:
        began = time.monotonic()
        n_sent = connection.stream(endless(start, piece), stop_at_answer=False)
        report(f"ended after {n_sent / MB:.0f} MB and {time.monotonic() - began:.1f} s")
        answer = connection.answer()
    report(f"memory +{memory.growth(before) / MB:.0f} MB")
    assert outcome(answer) in expected.split(" | ")
    assert connection.end != "open"
    assert memory.growth(before) < 400 * MB
    assert_answers(server.port, ORDINARY)
    assert_quiet(server)


def slowest_answer(port: int, others: Sequence[Future[Any]]) -> float:
    """Ask again and again until the others are done; return the longest time of an answer."""
    slowest = 0.0
    while not all(other.done() for other in others):
        began = time.monotonic()
        assert_answers(port, ORDINARY)
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.2)
    return slowest


def test_slow_and_deaf_clients_are_closed_in_30_s_while_others_are_answered_in_1_s(
    server: Server, report: Report
) -> None:
    before = process_tree.usage(server.pid)
    with (
        ThreadPoolExecutor(len(CLIENTS) + 1) as threads,
        process_tree.watch_memory(server.pid) as memory,
    ):
        slow = [threads.submit(play, client, server.port) for client in CLIENTS]
        deaf = threads.submit(ask_and_never_read, server.port, get("/docs.json"), CLOSED_WITHIN_S)
        slowest = slowest_answer(server.port, [*slow, deaf])
    report(f"the others were answered within {slowest * 1e3:.0f} ms")
    report(f"memory +{memory.growth(before) / MB:.0f} MB")
    for client, future in zip(CLIENTS, slow, strict=True):
        connection, seconds = future.result()
        report(f"{client.name}: {connection.end} after {seconds:.0f} s")
        for expected in client.answers.split("; "):
            assert outcome(connection.answer()) == expected, client.name
        assert (connection.rest(), connection.end) == (b"", "closed"), client.name
        assert seconds < CLOSED_WITHIN_S, client.name
    connection, seconds = deaf.result()
    report(f"one that asks without end and never reads: {connection.end} after {seconds:.0f} s")
    assert connection.end != "open"
    assert slowest < ANSWERED_WITHIN_S
    assert memory.growth(before) < 400 * MB
    assert_quiet(server)


@pytest.mark.parametrize("path", ["/livez", "/Zqmarker", "/docs.json"])
def test_who_asks_without_end_and_comes_again_costs_the_others_nothing(
    server: Server, report: Report, path: str
) -> None:
    before = process_tree.usage(server.pid)
    with ThreadPoolExecutor(1) as threads, process_tree.watch_memory(server.pid) as memory:
        flooding = threads.submit(flood, server.port, get(path), 2.0)
        slowest = slowest_answer(server.port, [flooding])
    report(f"{flooding.result()} connections, memory +{memory.growth(before) / MB:.0f} MB")
    report(f"the others were answered within {slowest * 1e3:.0f} ms")
    assert slowest < ANSWERED_WITHIN_S
    assert memory.growth(before) < 400 * MB
    assert_quiet(server)
