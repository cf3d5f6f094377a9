"""The second corpus over HTTP: framing, ends, keys, addresses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.security import process_tree
from tests.security.http.cases import DICOM, ORDINARY, chunked, form, get, head, part, post, sized
from tests.security.http.cases_answers import assert_answers, outcome
from tests.security.http.raw_http import Connection
from tests.security.second_corpus.inputs import mr, picture
from tests.security.servers import Server, hostile_server

pytestmark = pytest.mark.heavy

CHUNKS = chunked(DICOM)
KEY = "Kf9-the-right-key-0123456789"


def statuses(port: int, data: bytes, is_ended: bool = False) -> list[str]:
    """Send bytes at once; name all answers, the interim ones too, until the server ends them."""
    with Connection(port, limit_s=15) as connection:
        connection.send(data)
        if is_ended:
            connection.finish_sending()
        found = []
        while (answer := connection.answer()) is not None:
            found.append(outcome(answer))
            if answer.header("connection") == "close" and answer.status >= 200:
                break
            if not is_ended and answer.status >= 200:
                connection.finish_sending()
        return found


@pytest.mark.parametrize(
    "fields",
    [
        *(
            [f"Transfer-Encoding: {codings}"]
            for codings in (
                *("gzip, chunked", "gzip,chunked", "deflate, chunked", "compress, chunked"),
                *("x-gzip, chunked", "br, chunked", "zstd, chunked", "GZIP, CHUNKED", "gzip"),
                *("chunked, gzip", "chunked, chunked", "gzip, gzip, chunked", "gzip;q=1, chunked"),
                *("gzip,\tchunked", "xchunked, chunked", "chunked, identity", "trailers, chunked"),
            )
        ),
        ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        ["Transfer-Encoding: deflate", "X-Between: 1", "transfer-encoding: chunked"],
    ],
    ids=str,
)
def test_a_list_of_codings_is_not_taken_for_chunks(server: Server, fields: list[str]) -> None:
    found = statuses(server.port, sized(*fields, body=CHUNKS + get("/smuggled")))
    # One answer: what lies behind a body of unclear length is not a request.
    assert [each[:3] for each in found] in (["400"], ["501"], ["415"]), found
    assert_answers(server.port, ORDINARY)


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED", " chunked  ", "\tchunked"])
def test_chunks_stay_chunks(server: Server, coding: str) -> None:
    request = sized(f"Transfer-Encoding:{coding}", "TE: trailers", body=CHUNKS)
    assert statuses(server.port, request) == ["200"]


EXPECT = "Expect: 100-continue"
TYPE = "Content-Type: application/dicom"
LENGTH = f"Content-Length: {len(DICOM)}"


@pytest.mark.parametrize(
    "fields", [[EXPECT], [EXPECT, "Connection: keep-alive"], ["expect: 100-Continue"]]
)
@pytest.mark.parametrize("pause_s", [0.0, 0.6])
def test_http_1_0_gets_no_interim_answer(server: Server, fields: list[str], pause_s: float) -> None:
    start = head("POST /predict HTTP/1.0", TYPE, LENGTH, *fields)
    with Connection(server.port, limit_s=10) as connection:
        connection.send(start, DICOM, pause_s=pause_s)
        assert outcome(connection.answer()) == "200"


def test_http_1_1_still_gets_one(server: Server) -> None:
    with Connection(server.port, limit_s=10) as connection:
        connection.send(head("POST /predict HTTP/1.1", TYPE, LENGTH, EXPECT))
        assert outcome(connection.answer()) == "100"
        connection.send(DICOM)
        assert outcome(connection.answer()) == "200"


ENDED = {
    "a post": (ORDINARY, ["200"]),
    "a form": (form(part()), ["200"]),
    "chunks": (sized("Transfer-Encoding: chunked", body=CHUNKS), ["200"]),
    "a post that closes": (post(DICOM, "application/dicom", "Connection: close"), ["200"]),
    "HTTP/1.0": (head("POST /predict HTTP/1.0", TYPE, LENGTH) + DICOM, ["200"]),
    "three in line": (ORDINARY * 3, ["200"] * 3),
    "a get": (get("/livez"), ["200"]),
    "a get, then a post": (get("/livez") + ORDINARY, ["200"] * 2),
    "a refused post": (post(b"x" * 900), ["415 not_dicom"]),
    "a post to nowhere": (post(DICOM, target="/nowhere"), ["404 not_found"]),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_complete_request_is_answered_though_its_client_sends_no_more(
    server: Server, name: str
) -> None:
    request, expected = ENDED[name]
    assert statuses(server.port, request, is_ended=True) == expected


def test_a_large_post_that_ends_is_answered(server: Server) -> None:
    large = mr(pixels=np.tile(picture(), (8, 8)))
    assert statuses(server.port, post(large), is_ended=True) == ["200"]


@pytest.mark.parametrize("cut", [1, 900])
def test_an_incomplete_post_that_ends_is_not_answered_with_a_score(
    server: Server, cut: int
) -> None:
    assert "200" not in statuses(server.port, ORDINARY[:-cut], is_ended=True)
    assert_answers(server.port, ORDINARY)


@pytest.fixture(scope="module")
def locked(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key."""
    with hostile_server(store, tmp_path_factory.mktemp("locked"), SPINE_API_KEY=KEY) as server:
        yield server


@pytest.mark.parametrize("number", [20, 90])
@pytest.mark.parametrize("field", ["X-API-Key: ", "Authorization: Bearer "])
def test_many_keys_in_one_request_are_one_try(locked: Server, number: int, field: str) -> None:
    opened = 0
    for at in (0, number // 2, number):
        tries = [f"{field}guess-{n:020}" for n in range(number)]
        tries.insert(at, field + KEY)
        found = statuses(locked.port, post(DICOM, "application/dicom", *tries))
        assert found[0][:3] in ("200", "400", "401", "431"), found
        opened += found[0] == "200"
    assert opened <= 1  # whichever of them is the one that counts
    assert_answers(locked.port, post(DICOM, "application/dicom", f"X-API-Key: {KEY}"))


def test_neither_workers_nor_decoders_hold_the_key_in_their_environment(
    locked: Server, compressed_file: bytes
) -> None:
    assert_answers(locked.port, post(compressed_file, "application/dicom", f"X-API-Key: {KEY}"))
    decoders = process_tree.decoders(locked.pid)
    assert decoders
    for pid in {*decoders, *locked.workers()}:
        is_readable = KEY.encode() in Path(f"/proc/{pid}/environ").read_bytes()
        assert not is_readable, process_tree.command(pid)  # not the environment itself
    for pid in decoders:
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture(scope="module")
def proxied(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a trusted proxy, with a low rate."""
    folder = tmp_path_factory.mktemp("proxied")
    rates = {"SPINE_RATE_PER_S": "1", "SPINE_RATE_BURST": "3"}
    with hostile_server(store, folder, SPINE_TRUSTED_PROXIES="127.0.0.0/8", **rates) as server:
        yield server


def forwarded(port: int, *lines: str) -> str:
    fields = [f"X-Forwarded-For: {line}" for line in lines]
    with Connection(port) as connection:
        connection.send(post(DICOM, "application/dicom", *fields))
        return outcome(connection.answer())


ONE_CLIENT: dict[str, Callable[[int], tuple[str, ...]]] = {
    "an IPv4 address, mapped": lambda n: (
        ("203.0.113.7", "::ffff:203.0.113.7", "::FFFF:203.0.113.7", "::ffff:cb00:7107")[n % 4],
    ),
    "mapped in full": lambda n: (
        ("0:0:0:0:0:ffff:203.0.113.8", "203.0.113.8", "0000::ffff:cb00:7108")[n % 3],
    ),
    "a network of 64 bits": lambda n: (f"2001:db8:1:2::{n + 1:x}",),
    "its other half": lambda n: (f"2001:db8:1:3:{n * 4099:x}:{n * 31:x}:1:{n + 1:x}",),
    "spellings of IPv6": lambda n: (
        ("2001:db8:4:4::a", "2001:DB8:4:4::A", "2001:0db8:0004:0004:0:0:0:000a")[n % 3],
    ),
    "blanks": lambda n: (" " * (n % 3) + "203.0.113.9" + " " * (n % 2),),
    "lines before": lambda n: (f"198.51.100.{n}", "203.0.113.10"),
    "lists before": lambda n: (f"198.51.100.{n}, 10.0.0.{n}, 203.0.113.11",),
    "a proxy behind": lambda n: ("203.0.113.12, 127.0.0.1" if n % 2 else "203.0.113.12",),
    "a mapped proxy behind": lambda n: (("203.0.113.13, ::ffff:127.0.0.1", "203.0.113.13")[n % 2],),
    "ports of IPv4": lambda n: (f"203.0.113.14:{4000 + n}",),
    "ports of IPv6": lambda n: (f"[2001:db8:6:6::1]:{4000 + n}",),
    "zones": lambda n: (f"fe80::1%{n}",),
}


@pytest.mark.parametrize("name", ONE_CLIENT)
def test_a_client_is_one_however_its_address_is_written(proxied: Server, name: str) -> None:
    began = time.monotonic()
    found = [forwarded(proxied.port, *ONE_CLIENT[name](n)) for n in range(12)]
    assert set(found) <= {"200", "429 rate_limited"}
    assert found.count("200") <= 4 + time.monotonic() - began, found


@pytest.mark.parametrize(
    "address", ["198.51.100.{}", "::ffff:198.51.101.{}", "2001:db8:9:{}::1", "2001:db8:{}:1::1"]
)
def test_different_clients_stay_different(proxied: Server, address: str) -> None:
    found = [forwarded(proxied.port, address.format(20 + n)) for n in range(9)]
    assert found == ["200"] * 9
