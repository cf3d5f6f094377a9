"""The second corpus over HTTP: framing, ends, keys, addresses, stalls (lines 2 to 4 and 7 to 9)."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.measured import Report
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.http.cases import DICOM, ORDINARY, chunked, form, get, head, part, post, sized
from tests.security.http.cases_answers import assert_answers, assert_quiet, outcome
from tests.security.http.raw_http import Connection
from tests.security.load.load import HOST, Answer, Lost, read_answer, under_load
from tests.security.load.load import head as load_head
from tests.security.load.load import post as load_post
from tests.security.second.inputs import mr, picture
from tests.security.servers import Server, hostile_server

OTHER = "127.0.0.9"  # an honest client's address
MB = 1_000_000
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


async def ask_from(port: int, source: str, request: bytes, limit_s: float) -> Answer | Lost:
    """Ask from another address of this machine."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
            try:
                writer.write(request)
                return await read_answer(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Lost("timeout")


async def honest(
    server: Server, source: str, request: bytes, number: int, limit_s: float
) -> list[int | str]:
    """Ask in sequence, twice a second; the statuses, or how an answer was lost."""
    found: list[int | str] = []
    for _ in range(number):
        got = await ask_from(server.port, source, request, limit_s)
        found.append(got.status if isinstance(got, Answer) else got.reason)
        await asyncio.sleep(0.5)
    return found


def announced(size: int, content_type: str = "application/dicom") -> bytes:
    return load_head("POST", "/predict", Content_Type=content_type, Content_Length=size)


FORM = "multipart/form-data; boundary=b"
CHUNKED = load_head(
    "POST", "/predict", Content_Type="application/dicom", Transfer_Encoding="chunked"
)
START = b"--b\r\n" + part(b"")
STALLED = {
    "4 MB, nothing sent": (40, announced(4_000_000)),
    "4 MB, a kilobyte sent": (40, announced(4_000_000) + mr()[:1000]),
    "4 MB, half sent": (40, announced(4_000_000) + bytes(2_000_000)),
    "4 MB, all but a byte sent": (40, announced(4_000_000) + bytes(3_999_999)),
    "4 MB, half of a form sent": (
        40,
        announced(4_000_000, FORM) + START.ljust(2_000_000),
    ),
    "400 kB, 320 sent": (220, announced(400_000) + bytes(320_000)),
    "chunks": (40, CHUNKED + b"%x\r\n" % 3_000_000 + bytes(2_000_000)),
    "large": (40, announced(30 * MB) + bytes(6_000_000)),
}


# Of the clients that stall and of those that do not.
ADDRESSES: dict[str, tuple[Callable[[int], str], str]] = {
    "one, another": (lambda n: HOST, OTHER),
    "one, the same": (lambda n: HOST, HOST),
    "many, another": (lambda n: f"127.0.{n}.1", OTHER),
}


@pytest.mark.heavy
@pytest.mark.parametrize("addresses", ADDRESSES)
@pytest.mark.parametrize("name", STALLED)
async def test_stalled_bodies_take_nobodys_room(serve: Serve, name: str, addresses: str) -> None:
    server = serve()
    number, start = STALLED[name]
    stalling, source = ADDRESSES[addresses]
    writers = []
    try:
        for n in range(number):
            _, writer = await asyncio.open_connection(
                HOST, server.port, local_addr=(stalling(n), 0)
            )
            writers.append(writer)
            writer.write(start)
        await asyncio.sleep(0.5)
        assert await honest(server, source, load_post(mr()), 6, 5) == [200] * 6
    finally:
        for writer in writers:
            writer.transport.abort()


@pytest.mark.heavy
@pytest.mark.parametrize("rate", [70_000, 200_000])
async def test_a_trickle_does_not_hold_the_large_places(serve: Serve, rate: int) -> None:
    server = serve()
    large = load_post(mr(pixels=np.tile(picture(), (10, 10))))
    assert len(large) > 8 * MB

    async def trickle() -> None:
        _, writer = await asyncio.open_connection(HOST, server.port)
        try:
            writer.write(announced(31 * MB) + bytes(5 * MB))
            while not writer.transport.is_closing():
                writer.write(bytes(rate // 10))
                await asyncio.sleep(0.1)
        finally:
            writer.transport.abort()

    tasks = [asyncio.create_task(trickle()) for _ in range(6)]
    try:
        await asyncio.sleep(2)
        found = await honest(server, OTHER, large, 4, 12)
        assert found == [200] * 4
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.heavy
async def test_an_honest_slow_line_is_served(server: Server) -> None:
    request = load_post(mr(pixels=np.tile(picture(), (6, 6))))
    reader, writer = await asyncio.open_connection(HOST, server.port)
    try:
        for start in range(0, len(request), 60_000):  # 3 MB in 8 s
            writer.write(request[start : start + 60_000])
            await asyncio.sleep(0.15)
        got = await asyncio.wait_for(read_answer(reader), 10)
    finally:
        writer.transport.abort()
    assert isinstance(got, Answer)
    assert got.status == 200


@pytest.mark.heavy
@pytest.mark.parametrize("path", ["/static_content/swagger-ui-bundle.js", "/docs.json"])
def test_slow_readers_of_the_documentation_leave_descriptors(
    serve: Serve, many_descriptors: None, path: str
) -> None:
    server = serve("prlimit", "--nofile=1024")
    with ExitStack() as connections:
        for _ in range(700):
            connection = connections.enter_context(
                Connection(server.port, limit_s=2, receive_buffer=4096)
            )
            connection.push(get(path) * 8, 0.05)
        found = asyncio.run(honest(server, OTHER, load_post(mr()), 8, 5))
    assert found == [200] * 8
    assert_quiet(server)


@pytest.mark.heavy
async def test_an_object_of_200_frames_is_answered_under_load(server: Server) -> None:
    stack = np.stack([np.roll(picture()[::2, ::2], n, axis=0) for n in range(200)])
    frames, single = load_post(mr(pixels=stack)), load_post(mr())
    async with under_load(server.port, lambda _: single, 6, 0.02):
        found = await honest(server, OTHER, frames, 4, 15)
    assert found == [200] * 4


@pytest.mark.heavy
async def test_cheap_crowds_of_frames_do_not_slow_the_others(serve: Serve, report: Report) -> None:
    server, single = serve(), load_post(mr())
    crowd = load_post(mr(pixels=np.arange(2048, dtype=np.uint16).reshape(2048, 1, 1) % 4096))

    async def median_s() -> float:
        times = []
        for _ in range(30):
            began = time.monotonic()
            got = await ask_from(server.port, OTHER, single, 20)
            assert isinstance(got, Answer)
            assert got.status == 200
            times.append(time.monotonic() - began)
        return statistics.median(times)

    alone = await median_s()
    async with under_load(server.port, lambda _: crowd, 60, 0.5):
        await asyncio.sleep(2)
        crowded = await median_s()
    report(f"median {alone * 1e3:.0f} ms alone, {crowded * 1e3:.0f} ms beside 60 such clients")
    assert crowded < max(4 * alone, 0.2)


@pytest.mark.heavy
@pytest.mark.parametrize("drain_s", ["0", "1"])
def test_who_waits_in_the_backlog_at_the_end_is_answered(serve: Serve, drain_s: str) -> None:
    server = serve(SPINE_DRAIN_S=drain_s)
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    with ExitStack() as connections:
        waiting = []
        for _ in range(200):
            waiting.append(connections.enter_context(Connection(server.port, limit_s=20)))
            waiting[-1].send(ORDINARY)
        server.process.terminate()
        time.sleep(0.3)
        os.kill(worker, signal.SIGCONT)
        found = [outcome(connection.answer())[:3] for connection in waiting]
        assert set(found) <= {"200", "503"}, found
        assert "reset" not in {connection.end for connection in waiting}
