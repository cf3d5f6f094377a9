"""Start real servers for the security tests, each with a home and a temporary folder of its own."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.security import process_tree
from tests.security.load.load import Client, Exchange, get, post
from tests.serving.server import serve


@dataclass(frozen=True)
class Endpoint:
    """Where a service answers.

    Args:
        port: on 127.0.0.1.
    """

    port: int

    async def ask(self, request: bytes, timeout_s: float = 60.0) -> Exchange:
        """Send one request on a connection of its own."""
        client = Client(self.port, timeout_s=timeout_s)
        try:
            return await client.send(request)
        finally:
            await client.close()

    async def ask_all(self, requests: Sequence[bytes], timeout_s: float = 60.0) -> list[Exchange]:
        """Send requests at the same time, each on a connection of its own."""
        return await asyncio.gather(*(self.ask(request, timeout_s) for request in requests))

    async def warm_up(self, *files: bytes) -> None:
        """Post files, eight at a time, so that what starts late has started."""
        for _ in range(3):
            for file in files:
                answers = await self.ask_all([post(file)] * 8)
                assert {answer.status for answer in answers} == {200}, answers

    async def warm_up_alone(self, *files: bytes) -> None:
        """Post files one by one, for a server that takes no more."""
        for file in files:
            assert (await self.ask(post(file))).status == 200

    async def is_ready_within(self, seconds: float) -> bool:
        """Wait until /readyz answers 200, each try on a new connection."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            left_s = deadline - time.monotonic()
            if (await self.ask(get("/readyz"), left_s)).status == 200:
                return True
            await asyncio.sleep(0.05)
        return False


@dataclass(frozen=True)
class Server(Endpoint):
    """A running server.

    Args:
        process: the supervisor.
        log: what it wrote.
        home: its BENTOML_HOME and HOME.
        temp: its TMPDIR.
        at_start: what it used when it was ready.
    """

    process: subprocess.Popen[bytes]
    log: Path
    home: Path
    temp: Path
    at_start: process_tree.Usage

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self.process.pid

    def workers(self) -> list[int]:
        """The processes that answer."""
        return process_tree.workers(self.pid, self.port)

    def pids(self) -> list[int]:
        """All processes."""
        return process_tree.tree(self.pid)

    async def ready_workers(self) -> set[int]:
        """The workers that answer /readyz with 200 on a connection that they hold."""
        clients = [Client(self.port, timeout_s=5) for _ in range(16)]
        try:
            answers = await asyncio.gather(*(client.send(get("/readyz")) for client in clients))
            ports = {answer.port for answer in answers if answer.status == 200}
            return {
                pid for pid in self.workers() if process_tree.client_ports(pid, self.port) & ports
            }
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    async def has_ready_workers(
        self, count: int, seconds: float, but_not: frozenset[int] = frozenset()
    ) -> bool:
        """Wait until so many living workers were seen ready, those in `but_not` left out."""
        deadline = time.monotonic() + seconds
        seen: set[int] = set()
        while time.monotonic() < deadline:
            # The kernel gives connections to whom it likes: two looks may see one worker each.
            seen |= await self.ready_workers() - but_not
            if len(seen.intersection(self.workers())) >= count:
                return True
            await asyncio.sleep(0.1)
        return False


@contextmanager
def hostile_server(
    store: Path, folder: Path, prefix: Sequence[str] = (), **environ: str
) -> Iterator[Server]:
    """Serve SpineAnomaly with the models of a store.

    Args:
        store: a BENTOML_HOME.
        folder: empty; becomes home, temporary folder and log of the server.
        prefix: see `serve`.
        environ: variables of the server.
    """
    home, temp = folder / "home", folder / "temp"
    home.mkdir()
    temp.mkdir()
    (home / "models").symlink_to(store / "models")
    variables = {
        "BENTOML_HOME": str(home),
        "HOME": str(home),
        "TMPDIR": str(temp),
    }
    log = folder / "log.txt"
    with serve(log, prefix, **variables | environ) as (url, process):
        port = int(url.rpartition(":")[2])
        yield Server(port, process, log, home, temp, process_tree.usage(process.pid))
