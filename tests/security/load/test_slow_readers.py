"""Clients that read the API page slowly hold a connection each, and nothing else."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.measured import Report
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.http.cases import ORDINARY, get
from tests.security.http.cases_answers import assert_answers
from tests.security.http.raw_http import Connection

pytestmark = pytest.mark.heavy

READERS = 200
BUNDLE = get("/static_content/swagger-ui-bundle.js")
MB = 1_000_000


def test_slow_readers_of_the_page_hold_one_descriptor_each_and_are_bounded(
    serve: Serve, report: Report
) -> None:
    server = serve(SPINE_CONCURRENCY="150")
    assert_answers(server.port, BUNDLE)
    assert_answers(server.port, ORDINARY)
    before = process_tree.usage(server.pid)
    with ExitStack() as readers:
        for _ in range(READERS):
            reader = readers.enter_context(Connection(server.port, receive_buffer=4096))
            reader.send(BUNDLE * 10)  # more than the buffers of the system hold
        time.sleep(2)
        during = process_tree.usage(server.pid)
        report(f"{during.descriptors - before.descriptors} descriptors")
        report(f"memory +{(during.memory - before.memory) / MB:.0f} MB")
        assert during.descriptors - before.descriptors <= READERS
        assert during.memory - before.memory < READERS * 0.5 * MB
        assert_answers(server.port, BUNDLE, "429 overloaded")
        assert_answers(server.port, get("/readyz"))
        assert_answers(server.port, ORDINARY)
    assert process_tree.wait_until(
        lambda: process_tree.usage(server.pid).descriptors <= before.descriptors, 20
    )
    assert_answers(server.port, BUNDLE)


def test_who_reads_less_than_it_must_send_is_dropped_and_who_reads_more_is_not(
    serve: Serve, report: Report
) -> None:
    server = serve()
    (worker,) = server.workers()
    with (
        Connection(server.port, receive_buffer=4096) as slow,
        Connection(server.port, receive_buffer=4096) as steady,
    ):
        for reader in (slow, steady):
            reader.send(BUNDLE * 30)
        began = time.monotonic()
        n_slow = n_steady = 0
        held = {slow.port, steady.port}
        # A quarter and four times of the rate at which a body has to come.
        while held >= {slow.port, steady.port} and time.monotonic() - began < 60:
            for _ in range(10):
                n_slow += slow.take(1600)
                n_steady += steady.take(25_600)
                time.sleep(0.1)
            held = process_tree.client_ports(worker, server.port)
        report(f"dropped after {time.monotonic() - began:.0f} s, {n_slow / MB:.1f} MB")
        assert held == {steady.port}
        assert n_steady > 3 * n_slow
