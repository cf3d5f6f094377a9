"""API keys and rates on real servers: who may ask, how often, and that no key is ever disclosed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.http.cases import DICOM, MARKER, get, head, post
from tests.security.http.cases_answers import assert_answers, assert_sound, outcome
from tests.security.http.cases_keys import (
    FIRST,
    KEY_OF_TWO,
    KEYS,
    OPENING,
    SECOND,
    TOGETHER,
    USELESS,
)
from tests.security.http.raw_http import Answer, Connection
from tests.security.servers import Server, hostile_server

NO = "401 unauthorized"
HEALTH = ("/livez", "/readyz", "/healthz")
DOCS = ("/", "/page.js", "/docs.json", "/schema.json")
MB = 1_000_000


@pytest.fixture(scope="module")
def locked(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two keys, and the default access to docs and metrics: whoever may ask."""
    folder = tmp_path_factory.mktemp("locked")
    with hostile_server(store, folder, SPINE_API_KEY=f" {FIRST} ,, {SECOND}") as server:
        yield server


def ask(*fields: str | bytes) -> bytes:
    """Post a file with header lines."""
    return post(DICOM, "application/dicom", *fields)


def assert_no_key_is_told(server: Server) -> None:
    """Search for the keys wherever they could be read."""
    places = {"the log": server.log.read_bytes()}
    for file in server.home.rglob("*"):
        if file.is_file() and "models" not in file.parts:
            places[file.name] = file.read_bytes()
    for pid in server.pids():
        process = Path(f"/proc/{pid}")
        places[f"the command line of {pid}"] = (process / "cmdline").read_bytes()
    decoders = process_tree.decoders(server.pid)
    assert decoders
    for pid in decoders:
        places["a decoder's environment"] = Path(f"/proc/{pid}/environ").read_bytes()
    for place, content in places.items():
        for key in KEYS:
            assert key.encode() not in content, place


@pytest.mark.parametrize("field", OPENING)
def test_each_key_opens_in_each_header(locked: Server, field: str) -> None:
    assert_answers(locked.port, ask(field))
    assert_answers(locked.port, get("/metrics", field))


@pytest.mark.parametrize("fields", USELESS, ids=lambda fields: ascii(fields)[:50])
def test_nothing_else_opens(locked: Server, fields: list[str | bytes]) -> None:
    answer = assert_answers(locked.port, ask(*fields), NO)
    assert answer.header("www-authenticate").startswith("Bearer")
    assert_answers(locked.port, get("/metrics", *fields), NO)


@pytest.mark.parametrize("fields", TOGETHER)
def test_one_key_opens_however_often_it_is_shown(locked: Server, fields: list[str | bytes]) -> None:
    assert_answers(locked.port, ask(*fields))


@pytest.mark.parametrize(
    "request_of",
    [
        lambda key: post(DICOM, target=f"/predict?api_key={key}&key={key}&X-API-Key={key}"),
        lambda key: post(DICOM, target=f"/predict?authorization=Bearer%20{key}"),
        lambda key: head(f"POST http://{key}@spine.test/predict HTTP/1.1", "Content-Length: 0"),
    ],
    ids=["api_key", "authorization", "user"],
)
def test_a_key_in_the_target_opens_nothing(locked: Server, request_of: object) -> None:
    assert callable(request_of)
    assert_answers(locked.port, request_of(FIRST.replace("/", "%2f")), NO)


def test_health_is_open_and_everything_else_needs_the_key(locked: Server) -> None:
    for path in HEALTH:
        assert_answers(locked.port, get(path))
    for path in (*DOCS, "/metrics"):
        assert_answers(locked.port, get(path), NO)
        assert_answers(locked.port, get(path, KEY_OF_TWO))
    for path in ("/Zqmarker", "/livez/", "/readyz/../predict", "/LIVEZ", "//livez/predict"):
        assert_answers(locked.port, get(path), f"404 not_found | 400 bad_request | {NO}")
    for method in ("GET", "OPTIONS", "HEAD", "TRACE"):
        assert_answers(
            locked.port, head(f"{method} /predict HTTP/1.1"), f"405 | 405 method_not_allowed | {NO}"
        )


def test_a_stranger_is_refused_before_the_body_is_read(locked: Server) -> None:
    announced = ("Content-Type: application/dicom", f"Content-Length: {30 * MB}")
    for fields in (announced, (*announced, "Expect: 100-continue")):
        with Connection(locked.port) as connection:
            connection.send(head("POST /predict HTTP/1.1", *fields))
            answer = connection.answer()
            assert outcome(answer) == NO  # and no 100 before it
            assert answer is not None
            assert_sound(answer)


@pytest.mark.parametrize("length", [f"Content-Length: {40 * MB}", "Transfer-Encoding: chunked"])
def test_a_stranger_reads_the_answer_behind_40_mb(locked: Server, length: str) -> None:
    piece = bytes(MB)
    if "chunked" in length:
        piece = b"%x\r\n%b\r\n" % (MB, piece)
    with Connection(locked.port) as connection:
        connection.send(head("POST /predict HTTP/1.1", length), *repeat(piece, 40))
        assert outcome(connection.answer()) == NO
        connection.finish_sending()
        assert (connection.rest(), connection.end) == (b"", "closed")


def test_a_key_stays_valid_on_its_own_request_only(locked: Server) -> None:
    with Connection(locked.port) as connection:
        connection.send(ask(KEY_OF_TWO) + ask() + ask(KEY_OF_TWO))
        assert [outcome(connection.answer()) for _ in range(3)] == ["200", NO, "200"]


def test_a_key_in_a_trailer_opens_nothing(locked: Server) -> None:
    start = head(
        "POST /predict HTTP/1.1", "Content-Type: application/dicom", "Transfer-Encoding: chunked"
    )
    body = b"%x\r\n%b\r\n0\r\nX-API-Key: %b\r\n\r\n" % (len(DICOM), DICOM, FIRST.encode())
    assert_answers(locked.port, start + body, NO)


def test_no_key_is_in_log_settings_metrics_files_or_a_decoder(
    locked: Server, compressed_file: bytes
) -> None:
    for key in KEYS:
        assert_answers(locked.port, post(compressed_file, "application/dicom", f"X-API-Key: {key}"))
        assert_answers(locked.port, ask(f"Authorization: Bearer {key}x"), NO)
        assert_answers(locked.port, post(DICOM, target=f"/predict?key={key}"), NO)
        assert_answers(locked.port, get(f"/{key}"), f"404 not_found | {NO}")
        metrics = assert_answers(locked.port, get("/metrics", f"X-API-Key: {key}"))
        assert key.encode() not in metrics.raw
    assert "SPINE_API_KEY=2 keys" in locked.log.read_text()
    assert_no_key_is_told(locked)
    assert MARKER not in locked.log.read_text()


@pytest.mark.heavy
@pytest.mark.parametrize("keys", ["", f"{FIRST},{SECOND}"], ids=["without keys", "with keys"])
@pytest.mark.parametrize(("docs", "metrics"), [("open", "closed"), ("closed", "open")])
def test_docs_and_metrics_can_be_opened_and_closed(
    serve: Serve, keys: str, docs: str, metrics: str
) -> None:
    port = serve(SPINE_API_KEY=keys, SPINE_DOCS=docs, SPINE_METRICS=metrics).port
    for paths, access in ((DOCS, docs), (("/metrics",), metrics)):
        for path in paths:
            for fields in ((), (KEY_OF_TWO,)):
                expected = "200" if access == "open" else "404 not_found"
                assert_answers(port, get(path, *fields), expected)
    for path in HEALTH:
        assert_answers(port, get(path))
    assert_answers(port, ask(KEY_OF_TWO))
    assert_answers(port, ask(), NO if keys else "200")


def burst(port: int, *fields: str, count: int = 20) -> list[Answer]:
    """Send requests at once on one connection."""
    with Connection(port) as connection:
        connection.send(ask(*fields) * count)
        answers = [connection.answer() for _ in range(count)]
    return [answer for answer in answers if answer is not None]


def assert_limited(answers: list[Answer]) -> None:
    """Check that a burst of three passed, and few besides."""
    found = Counter(map(outcome, answers))
    assert set(found) == {"200", "429 rate_limited"}
    assert found["200"] >= 3
    for answer in answers:
        assert_sound(answer)


@pytest.mark.heavy
def test_the_rate_of_an_address_is_limited_whatever_it_says_of_itself(serve: Serve) -> None:
    # A proxy is trusted here, but not this peer.
    port = serve(
        SPINE_RATE_PER_S="1", SPINE_RATE_BURST="3", SPINE_TRUSTED_PROXIES="10.0.0.0/8"
    ).port
    answers = burst(port)
    assert_limited(answers)
    wait_s = int(answers[-1].header("retry-after"))
    for number in range(30):
        forged = (
            f"X-Forwarded-For: 203.0.113.{number}",
            f"Forwarded: for=203.0.113.{number}",
            f"X-Real-IP: 203.0.113.{number}",
            f"X-API-Key: key-{number}",
            f"Authorization: Bearer key-{number}",
        )
        if outcome(burst(port, *forged, count=1)[0]) != "200":
            break
    else:
        raise AssertionError("each request passed as another client's")
    for path in HEALTH * 10:
        assert_answers(port, get(path))
    time.sleep(wait_s)
    assert_answers(port, ask())


@pytest.mark.heavy
def test_each_key_has_a_rate_of_its_own_in_either_header(serve: Serve) -> None:
    server = serve(SPINE_RATE_PER_S="1", SPINE_RATE_BURST="3", SPINE_API_KEY=f"{FIRST},{SECOND}")
    one = f"Authorization: Bearer {FIRST}", f"X-API-Key: {FIRST}"
    assert_limited([each for field in one for each in burst(server.port, field, count=10)])
    assert_limited(burst(server.port, KEY_OF_TWO))  # which no other key has used up
    assert "429 rate_limited" in map(outcome, burst(server.port, *one))
    assert_no_key_is_told(server)


@pytest.mark.heavy
def test_a_trusted_proxy_names_the_client(serve: Serve) -> None:
    server = serve(
        SPINE_RATE_PER_S="1", SPINE_RATE_BURST="3", SPINE_TRUSTED_PROXIES="10.0.0.1, 127.0.0.0/8"
    )
    port = server.port
    assert_limited(burst(port, "X-Forwarded-For: 203.0.113.1"))
    # What a client writes in front of what its proxy adds counts for nothing.
    assert_limited(burst(port, "X-Forwarded-For: 198.51.100.9, 203.0.113.2"))
    forged = [
        burst(port, f"X-Forwarded-For: 198.51.100.{i}, 203.0.113.2", count=1) for i in range(9)
    ]
    assert "429 rate_limited" in {outcome(answer) for answers in forged for answer in answers}
    assert outcome(burst(port, "X-Forwarded-For: 203.0.113.3", count=1)[0]) == "200"
    for odd in (MARKER, "Zqmarker, Zqmarker", "::1%Zqmarker", "203.0.113.4:Zqmarker", ",", ""):
        assert_answers(port, ask(f"X-Forwarded-For: {odd}"), "200 | 429 rate_limited")
    assert "zqmarker" not in server.log.read_text().lower()


@pytest.mark.heavy
@pytest.mark.parametrize(
    "spellings",
    [
        [f"2001:db8:1:2::{number:x}" for number in range(1, 10)],
        [f"[2001:db8:1:2::{number:x}]:4711" for number in range(1, 10)],
        ["203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7:80", "[::ffff:203.0.113.7]:80"] * 3,
        ["198.51.100.1, 203.0.113.8", "203.0.113.8, ::ffff:127.0.0.1", "::ffff:cb00:7108"] * 3,
        ["unknown", "_hidden", "for=203.0.113.9", "203.0.113.9.1", "[2001:db8::1", "::1::"] * 2,
    ],
)
def test_a_client_is_one_however_its_proxy_writes_its_address(
    store: Path, tmp_path: Path, spellings: list[str]
) -> None:
    # The proxy's own address is written as ::ffff:127.0.0.1 by a socket that listens on both.
    with hostile_server(
        store,
        tmp_path,
        BENTOML_HOST="::",
        SPINE_RATE_PER_S="1",
        SPINE_RATE_BURST="3",
        SPINE_TRUSTED_PROXIES="127.0.0.1",
    ) as server:
        answers = [burst(server.port, f"X-Forwarded-For: {each}", count=1)[0] for each in spellings]
        assert_limited(answers)
        assert outcome(burst(server.port, "X-Forwarded-For: 192.0.2.1", count=1)[0]) == "200"
        fields = ("X-Forwarded-For: 192.0.2.2", "X-Forwarded-For: 203.0.113.10")
        assert_limited([*burst(server.port, *fields), *burst(server.port, fields[1])])
        assert outcome(burst(server.port, fields[0], count=1)[0]) == "200"
