"""Stalled bodies, trickles, slow readers, crowds of frames, an end (lines 2 to 4 and 8)."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest

from tests.measured import Report
from tests.security.conftest import Serve
from tests.security.http.cases import ORDINARY, get, part
from tests.security.http.cases_answers import assert_quiet, outcome
from tests.security.http.raw_http import Connection
from tests.security.load.load import HOST, Answer, Lost, read_answer, under_load
from tests.security.load.load import head as load_head
from tests.security.load.load import post as load_post
from tests.security.second_corpus.inputs import mr, picture
from tests.security.servers import Server

OTHER = "127.0.0.9"  # an honest client's address
MB = 1_000_000


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
        await asyncio.sleep(1.5)  # a second of silence is no stall
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
        # The first one comes behind 5600 requests that a processor must answer.
        found = asyncio.run(honest(server, OTHER, load_post(mr()), 8, 15))
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
