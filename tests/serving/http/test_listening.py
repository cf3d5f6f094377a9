"""Workers that share a listening socket hold as many connections each."""

import asyncio
import mmap
import socket
from typing import Any

import pytest
import uvicorn

from serving.http import listening, shares
from serving.http.listening import Listening
from serving.http.shares import Shares

pytestmark = pytest.mark.asyncio


@pytest.fixture
def memory() -> mmap.mmap:
    """A table for two workers; the test's process is both."""
    return mmap.mmap(-1, 2 * 2 * 8)


class Worker:
    """What one worker has: its place in the table and its connections."""

    def __init__(self, memory: mmap.mmap, index: int, listener: socket.socket) -> None:
        self.table = Shares(memory, index)
        self.open: set[asyncio.BaseTransport] = set()
        config: Any = type("NoTLS", (), {"ssl": None})
        self.listening = Listening(
            listener.dup(), self.protocol, config, self.table, lambda: len(self.open)
        )
        self.table.hold(0)

    def protocol(self) -> asyncio.Protocol:
        """A protocol that says when it has a connection."""
        held = self.open

        class Held(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                held.add(transport)

        return Held()


async def connect(port: int, count: int) -> list[socket.socket]:
    """Open connections, one after the other as fast as it goes."""
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]


async def until(workers: list[Worker], n_open: int) -> list[int]:
    """Wait until so many connections are held; how many by each."""
    async with asyncio.timeout(10):
        while sum(len(worker.open) for worker in workers) < n_open:
            await asyncio.sleep(0.005)
    return [len(worker.open) for worker in workers]


async def end(workers: list[Worker], clients: list[socket.socket]) -> None:
    """Close all."""
    for worker in workers:
        worker.listening.close()
        for transport in worker.open:
            transport.close()
    for client in clients:
        client.close()
    await asyncio.sleep(0)
    for worker in workers:
        worker.listening._listener.close()


async def test_two_workers_take_half_of_a_burst_each(
    memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is just now, each waits for the other.
    monkeypatch.setattr(shares, "SILENT_AFTER_MS", 10**9)
    monkeypatch.setattr(listening, "HELD_BACK_S", 60.0)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        workers = [Worker(memory, index, listener) for index in range(2)]
        clients = await connect(listener.getsockname()[1], 21)
        for worker in workers:
            worker.listening.start(asyncio.get_running_loop())
        counts = await until(workers, 21)
        await end(workers, clients)
    assert abs(counts[0] - counts[1]) <= 1


async def test_a_worker_that_takes_none_in_time_is_not_waited_for(
    memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "SILENT_AFTER_MS", 10**9)  # the table believes that it lives
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        idle, busy = (Worker(memory, index, listener) for index in range(2))
        clients = await connect(listener.getsockname()[1], 40)
        monkeypatch.setattr(listening, "IN_VAIN_S", 60.0)
        looks: list[float] = []
        plain = busy.listening._pause

        def pause(seconds: float) -> None:
            looks.append(seconds)
            plain(seconds)

        monkeypatch.setattr(busy.listening, "_pause", pause)
        busy.listening.start(asyncio.get_running_loop())
        assert await until([busy], 40) == [40]
        # Only for the first of them did it wait.
        assert len(looks) <= listening.HELD_BACK_S / listening.LOOK_AGAIN_S + 1
        idle.listening._loop = asyncio.get_running_loop()
        await end([idle, busy], clients)


async def test_a_worker_that_is_dead_or_leaves_holds_nobody_back(
    memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "SILENT_AFTER_MS", 1000)
    # Not the machine's clock, which may have started a moment ago.
    monkeypatch.setattr(shares, "_now_ms", lambda: 5000)
    mine, other = Shares(memory, 0), Shares(memory, 1)
    assert mine.are_above(5)  # the other has never said a word
    other.hold(4)
    assert not mine.are_above(5)
    assert mine.are_above(4)
    other.leave()
    assert mine.are_above(5)
    other.hold(0)  # a connection that ends after that
    assert mine.are_above(5)


async def test_without_files_the_next_try_waits(
    memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "NO_FILES_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(memory, 0, listener)
        plain = worker.listening._listener

        class Full:
            """A listener whose process has no file left, twice."""

            n_failures = 0

            def accept(self) -> Any:
                self.n_failures += 1
                if self.n_failures <= 2:
                    raise OSError(24, "Too many open files")
                return plain.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(plain, name)

        worker.listening._listener = Full()  # type: ignore[assignment]
        clients = await connect(listener.getsockname()[1], 1)
        worker.listening.start(asyncio.get_running_loop())
        assert await until([worker], 1) == [1]
        await end([worker], clients)


async def test_memory_is_returned_once_when_all_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returned: list[int] = []
    monkeypatch.setattr(listening, "trim_heap", lambda: returned.append(1))
    server = listening.FairServer(uvicorn.Config(app="none:none", log_config=None))
    waiting = asyncio.ensure_future(asyncio.sleep(60))
    for n_requests, tasks, expected in (
        (0, set(), 0),
        (5, {waiting}, 0),
        (5, set(), 1),
        (5, set(), 1),
    ):
        server.server_state.total_requests = n_requests
        server.server_state.tasks = tasks
        for counter in range(listening.IDLE_TICKS):
            await server.on_tick(counter)
        assert len(returned) == expected
    waiting.cancel()
