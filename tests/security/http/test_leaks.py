"""What clients send is not disclosed, the server calls no other, and only one port is open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.root import ROOT
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.http.cases import (
    LISTENER_PORT,
    Case,
    form,
    get,
    head,
    part,
    post,
    post_chunked,
    text_part,
)
from tests.security.http.cases_answers import FOREIGN, TRACES, assert_says_nothing, outcome
from tests.security.http.cases_bodies import BODIES
from tests.security.http.cases_boundaries import BOUNDARIES
from tests.security.http.cases_chunks import CHUNKS_AND_ORDER
from tests.security.http.cases_heads import HEADS
from tests.security.http.cases_injections import INJECTIONS
from tests.security.http.cases_marked import MARK, marked_files
from tests.security.http.cases_parts import PARTS
from tests.security.http.cases_targets import TARGETS
from tests.security.http.cases_upgrades import UPGRADES
from tests.security.http.cases_values import VALUES
from tests.security.http.raw_http import Answer, Connection
from tests.security.process_tree import Socket
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

# The second is in the UIDs of `marked_files`, the third an address that only clients name.
MARKERS = (MARK.lower(), "99887766554433", "203.0.113.77")
LOOPBACK = "0100007F"  # 127.0.0.1, as /proc/net/tcp writes it
PAGES = ("/", "/docs.json", "/schema.json", "/metrics", "/livez", "/readyz", "/healthz")
CASES: list[Case] = [
    *(*BOUNDARIES, *PARTS, *BODIES, *INJECTIONS, *CHUNKS_AND_ORDER),
    *(*HEADS, *UPGRADES, *TARGETS, *VALUES),
]


@dataclass(frozen=True)
class Traces:
    """What a server answered and did while everything with a marker in it was sent.

    Args:
        answers: with what each request was about.
        strangers: sockets that were neither the listener nor a client's connection.
        files_before: below its home and its temporary folder.
    """

    answers: list[tuple[str, Answer]]
    strangers: set[Socket]
    files_before: set[Path]


def requests() -> Iterator[tuple[str, bytes]]:
    """Everything that a marker can be put into."""
    named = f'form-data; name="file"; filename="{MARK}-John.dcm"'
    for name, data in marked_files().items():
        yield f"{name}, raw", post(data)
        yield f"{name}, in a form", form(part(data, named))
        chunk = b"%x;%b\r\n%b\r\n0\r\nX: %b\r\n\r\n" % (
            len(data),
            MARK.encode(),
            data,
            MARK.encode(),
        )
        yield f"{name}, in chunks", post_chunked(chunk)
    for name in ("threshold", "alarm_rate", "file", MARK):
        yield f"{name} in the form", form(part(), text_part(name, f"{MARK} was here"))
        yield f"{name} in the query", post(b"x", target=f"/predict?{name}={MARK}%20was%20here")
    for method in ("GET", "PUT", "TRACE", MARK.upper()):
        yield f"{method} {MARK}", head(f"{method} /{MARK}/%5A{MARK}?{MARK}={MARK} HTTP/1.1")
    for case in CASES:
        if isinstance(case.send, bytes) and any(mark in mark_of(case.send) for mark in MARKERS):
            yield case.name, case.send.replace(LISTENER_PORT, b":00009")


def mark_of(data: bytes) -> str:
    """Bytes as a text in which markers are looked for."""
    return data.decode("latin-1").lower()


@contextmanager
def watch_sockets(server: Server) -> Iterator[set[Socket]]:
    """Collect the sockets that are neither the listener nor a client's, until the block ends."""
    seen: set[Socket] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            found = process_tree.sockets(server.pids())
            seen.update(each for each in found if each.port != server.port)

    thread = threading.Thread(target=look, name="watch-sockets")
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def files_of(server: Server) -> set[Path]:
    """Every file that the server may have written; the models are another's."""
    found = [*server.home.rglob("*"), *server.temp.rglob("*")]
    return {path for path in found if path.is_file() and "models" not in path.parts}


@pytest.fixture(scope="module")
def traces(server: Server) -> Traces:
    """Send everything, and keep what came back."""
    answers = []
    with Connection(server.port) as connection:
        connection.send(post(marked_files()["a comment"]))  # what starts late has started
        connection.answer()
    before = files_of(server)
    with watch_sockets(server) as strangers:
        for name, request in requests():
            with Connection(server.port) as connection:
                connection.send(request)
                answer = connection.answer(request.startswith(b"HEAD "))
                assert answer is not None or connection.end == "closed", name
                if answer is not None:
                    answers.append((name, answer))
    return Traces(answers, strangers, before)


def test_markers_of_every_kind_were_sent_and_answered(traces: Traces) -> None:
    found = {outcome(answer) for _, answer in traces.answers}
    assert len(traces.answers) > 300
    assert {"200", "400 threshold_invalid", "404 not_found", "415 not_dicom"} <= found
    assert {"422 wrong_modality", "422 damaged_image", "422 not_finite"} <= found


def test_no_answer_repeats_what_was_sent(traces: Traces) -> None:
    for name, answer in traces.answers:
        assert answer.status < 500, name
        assert_says_nothing(answer, *MARKERS)


def test_no_answer_quotes_a_library_or_a_traceback(traces: Traces) -> None:
    for name, answer in traces.answers:
        text = answer.raw.decode("latin-1")
        words = (*FOREIGN, *TRACES, str(ROOT), "/tmp/")  # noqa: S108 (looked for, not used)
        # A page names what it serves; an error and a prediction do not.
        if answer.header("content-type") in ("application/json", "application/problem+json"):
            assert not [word for word in words if word in text], (name, text)


def test_the_log_repeats_nothing_and_reports_no_fault(server: Server, traces: Traces) -> None:
    for line in server.log.read_text(errors="replace").splitlines():
        assert not [mark for mark in MARKERS if mark in line.lower()], line
        assert not [word for word in (*TRACES, *FOREIGN, "ERROR") if word in line], line


def test_no_metric_repeats_what_was_sent(server: Server, traces: Traces) -> None:
    with Connection(server.port) as connection:
        connection.send(get("/metrics"))
        answer = connection.answer()
    assert answer is not None
    assert b"spine_predictions" in answer.body
    assert_says_nothing(answer, *MARKERS)


def test_no_file_was_made_and_none_holds_a_marker(server: Server, traces: Traces) -> None:
    assert files_of(server) == traces.files_before
    for path in files_of(server):
        content = mark_of(path.read_bytes())
        assert not [mark for mark in MARKERS if mark in content], path


def test_no_library_reports_home(server: Server, traces: Traces) -> None:
    # onnxruntime 1.32 keeps its telemetry's number in .ses, and then asks for the address of
    # mobile.events.data.microsoft.com, which is too quick for `traces` to see.
    found = [path for path in server.temp.rglob("*") if path.is_file()]
    # The server's own metrics; test_no_file_was_made_and_none_holds_a_marker reads them.
    assert not [path for path in found if not path.parent.name.startswith("spine-metrics-")]


def test_no_page_names_a_path_of_this_machine(server: Server) -> None:
    private = (str(ROOT), str(server.home), str(server.temp), "/site-packages/", str(Path.home()))
    for page in PAGES:
        with Connection(server.port) as connection:
            connection.send(get(page))
            answer = connection.answer()
        assert answer is not None
        assert answer.status == 200, page
        text = answer.raw.decode()
        assert not [path for path in private if len(path) > 2 and path in text], page


def test_nobody_was_called(traces: Traces) -> None:
    assert not traces.strangers


def test_one_tcp_listener_is_all_that_can_be_reached(server: Server, traces: Traces) -> None:
    assert process_tree.listeners(server.pids()) == [("tcp", LOOPBACK, server.port)]


def test_two_workers_share_the_one_listener(serve: Serve) -> None:
    server = serve(SPINE_WORKERS="2")
    assert process_tree.wait_until(lambda: len(server.workers()) == 2, seconds=30)
    assert process_tree.listeners(server.pids()) == [("tcp", LOOPBACK, server.port)]
