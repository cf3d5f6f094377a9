"""Hostile HTTP against a real server: each exchange ends as it may, and harms no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.security import process_tree
from tests.security.http.cases import (
    DICOM,
    LISTENER_PORT,
    ORDINARY,
    Case,
    get,
    head,
    post,
)
from tests.security.http.cases_answers import assert_answers, assert_quiet, assert_sound, outcome
from tests.security.http.cases_bodies import BODIES
from tests.security.http.cases_boundaries import BOUNDARIES
from tests.security.http.cases_chunks import CHUNKS_AND_ORDER
from tests.security.http.cases_heads import HEADS
from tests.security.http.cases_injections import INJECTIONS, TRAP
from tests.security.http.cases_large import EARLY
from tests.security.http.cases_lengths import FRAMING
from tests.security.http.cases_parts import PARTS
from tests.security.http.cases_targets import TARGETS
from tests.security.http.cases_upgrades import UPGRADES
from tests.security.http.cases_values import VALUES
from tests.security.http.raw_http import HOST, Connection
from tests.security.servers import Server

CASES = [
    *(*BOUNDARIES, *PARTS, *BODIES, *INJECTIONS, *FRAMING, *CHUNKS_AND_ORDER),
    *(*HEADS, *UPGRADES, *TARGETS, *VALUES),
]
# All of them take half a minute; each eighth, from all lists, is in `make test`.
QUICK = 8


def params(cases: list[Case], quick: int = 0) -> list[object]:
    """Name cases for pytest, and mark all but each so many as heavy."""
    return [
        pytest.param(
            case,
            id=ascii(case.name)[1:-1],
            marks=[] if quick and number % quick == 0 else [pytest.mark.heavy],
        )
        for number, case in enumerate(cases)
    ]


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """A listener that the server must never connect to."""
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope="module")
def workers(server: Server) -> list[int]:
    """The processes that answer, at first."""
    return server.workers()


def exchange(port: int, case: Case, listener_port: int) -> None:
    """Play one case."""
    to_head = False
    with Connection(port) as connection:
        if isinstance(case.send, bytes):
            to_head = case.send.startswith(b"HEAD ")
            connection.send(case.send.replace(LISTENER_PORT, b":%05d" % listener_port))
        else:
            case.send(connection)
        answer = None
        for expected in case.answers.split("; "):
            answer = connection.answer(to_head)
            found = connection.end if answer is None else outcome(answer, to_head)
            assert found in expected.split(" | ")
            if answer is None:
                return
            if answer.status >= 200:
                assert_sound(answer, to_head)
        assert answer is not None
        if case.then == "open":
            assert answer.header("connection") != "close"
            connection.send(ORDINARY)
            assert outcome(connection.answer()) == "200"
            return
        if case.then == "closed":
            assert answer.header("connection") == "close"
        else:
            connection.finish_sending()
        assert (connection.rest(), connection.end) == (b"", "closed")


def assert_never_connected(listener: socket.socket) -> None:
    """Check that the listener got no connection."""
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("case", [*params(CASES, QUICK), *params(EARLY)])
def test_each_case_ends_as_it_may_and_the_next_request_is_answered(
    server: Server, workers: list[int], listener: socket.socket, case: Case
) -> None:
    exchange(server.port, case, listener.getsockname()[1])
    assert_answers(server.port, ORDINARY)
    assert all(map(process_tree.is_running, workers))
    assert_never_connected(listener)
    assert not TRAP.exists()
    assert_quiet(server)


def test_who_asks_for_many_and_vanishes_leaves_no_fault_behind(server: Server) -> None:
    for request in (ORDINARY, get("/docs.json"), get("/Zqmarker")) * 10:
        with Connection(server.port) as connection:
            connection.send(request * 20)
            connection.answer()
    assert_answers(server.port, ORDINARY)
    assert_quiet(server)


def series(port: int) -> set[str]:
    """The names and labels of all metrics."""
    lines = assert_answers(port, get("/metrics")).body.decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_unknown_paths_methods_and_values_create_no_metric_series(server: Server) -> None:
    def ask(number: int) -> None:
        for path in (f"/Zqmarker-{number}", f"/livez/{number}", f"/predict/{number}/%ff"):
            assert_answers(server.port, get(path), "404 not_found")
        for method in ("GET", "DELETE", "OPTIONS"):
            assert_answers(
                server.port, head(f"{method} /predict HTTP/1.1"), "405 method_not_allowed"
            )
        for field in (f"Forwarded: host={number}", f"User-Agent: agent-{number}", f"X-{number}: y"):
            assert_answers(server.port, post(DICOM, "application/dicom", field))
        assert_answers(server.port, post(DICOM, f"text/{number}"), "415 unsupported_media_type")
        assert_answers(
            server.port,
            post(DICOM, target=f"/predict?threshold=x{number}"),
            "400 threshold_invalid",
        )

    ask(0)  # what each of the answers creates is there now
    series(server.port)
    before = series(server.port)
    for number in range(1, 20):
        ask(number)
    assert series(server.port) == before
