"""The load generator, against servers of a few lines that answer as each test wants."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import click
import pytest

from benchmarks.clients import HOST, Load, percentile_ms, run, upload
from benchmarks.load import ask, bottleneck, drive
from serving.http.multipart import parse_multipart

Answer = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
# A generator that was not a bottleneck.
FINE = Load(
    clients=1,
    seconds=1.0,
    requests=100,
    errors={},
    requests_per_s=100.0,
    p50_ms=10.0,
    p90_ms=12.0,
    p99_ms=20.0,
    client_cpu_share=0.1,
    client_cpu_ms=0.2,
    late_p50_ms=0.1,
    late_p99_ms=1.0,
)


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads whole requests; yields its port and the bodies that came."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length
                bodies.append(await reader.readexactly(int(length[1])))
                await answer(writer, bodies[-1])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


async def ok(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(OK)


def test_an_upload_is_the_form_that_the_service_reads() -> None:
    head, _, body = upload(b"the file").partition(b"\r\n\r\n")
    boundary = head.partition(b"boundary=")[2]
    (part,) = parse_multipart(bytearray(body), boundary)
    assert (part.name, part.is_file, bytes(part.content)) == ("file", True, b"the file")
    assert f"Content-Length: {len(body)}\r\n".encode() in head


async def test_each_client_begins_with_another_file_and_goes_through_all() -> None:
    requests = [upload(name) for name in (b"one", b"two", b"three")]
    async with served(ok) as (port, bodies):
        load = await run(port, requests, clients=3, seconds=0.2)
    first = [re.findall(rb"\r\n\r\n(\w+)\r\n", body)[0] for body in bodies[:3]]
    assert sorted(first) == [b"one", b"three", b"two"]
    assert load.requests == len(bodies)
    assert not load.errors


async def test_an_answer_that_comes_in_pieces_counts_once_it_is_whole() -> None:
    async def slowly(writer: asyncio.StreamWriter, body: bytes) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with served(slowly) as (port, bodies):
        load = await run(port, [upload(b"x")], clients=1, seconds=0.1)
    assert load.requests == len(bodies) > 0


async def test_other_statuses_are_counted_and_their_times_are_not() -> None:
    async def refuse(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n")

    async with served(refuse) as (port, bodies):
        load = await run(port, [upload(b"x")], clients=2, seconds=0.1)
    assert load.errors == {"429": len(bodies)}
    assert (load.requests, load.requests_per_s, load.p50_ms) == (0, 0.0, 0.0)


async def test_a_connection_that_ends_before_the_answer_is_an_error_and_is_opened_again() -> None:
    async def hang_up(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.close()

    async with served(hang_up) as (port, bodies):
        load = await run(port, [upload(b"x")], clients=1, seconds=0.1)
    assert sum(load.errors.values()) == len(bodies) > 1
    assert set(load.errors) <= {"closed", "reset"}


async def test_a_server_that_closes_as_it_said_loses_no_request() -> None:
    async def last(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        writer.close()

    async with served(last) as (port, bodies):
        load = await run(port, [upload(b"x")], clients=1, seconds=0.1)
    assert load.requests == len(bodies) > 1
    assert not load.errors


async def test_an_answer_without_a_length_is_unreadable() -> None:
    async def chunked(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    async with served(chunked) as (port, _):
        load = await run(port, [upload(b"x")], clients=1, seconds=0.1)
    assert set(load.errors) == {"unreadable"}


async def test_nobody_listening_is_refused() -> None:
    async with served(ok) as (port, _):
        pass
    load = await run(port, [upload(b"x")], clients=1, seconds=0.2)
    assert set(load.errors) == {"refused"}


async def test_phases_follow_one_another_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "file.dcm"
    file.write_bytes(b"content")
    async with served(ok) as (port, bodies):
        loads = await asyncio.to_thread(drive, port, [file], [(1, 0.1), (3, 0.1)])
    assert [load.clients for load in loads] == [1, 3]
    assert sum(load.requests for load in loads) == len(bodies)
    assert all(b"content" in body for body in bodies)


def test_percentiles_are_interpolated() -> None:
    # Of 1, 2, 3, 4 s the median lies between 2 and 3, and 90 % of the way is 3.7.
    assert percentile_ms([4.0, 1.0, 3.0, 2.0], 50) == 2500.0
    assert percentile_ms([4.0, 1.0, 3.0, 2.0], 90) == 3700.0
    assert percentile_ms([], 50) == 0.0


async def test_a_single_question_returns_the_answer_or_names_who_refused() -> None:
    async with served(ok) as (port, bodies):
        assert await asyncio.to_thread(ask, port, b"the file", "this service") == {}
    assert b"the file" in bodies[0]

    async def refuse(writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nnone")

    async with served(refuse) as (port, _):
        with pytest.raises(click.ClickException, match="this service answers a file with 422"):
            await asyncio.to_thread(ask, port, b"the file", "this service")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"client_cpu_share": 0.71}, "the generator used 71% of a core"),
        ({"late_p50_ms": 2.1}, "the generator saw answers 2.1 ms late at p50 10.0 ms"),
        ({"late_p99_ms": 4.1}, "the generator saw answers 4.1 ms late at p99 20.0 ms"),
    ],
)
def test_a_run_that_measured_its_generator_says_why(changed: dict[str, float], reason: str) -> None:
    assert bottleneck(replace(FINE, **changed)) == reason  # type: ignore[arg-type]
