"""A stopping server first fails readiness, answers what it has, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from serving.settings import Settings
from tests.dicom_files import make_dicom, noise
from tests.measured import Report
from tests.security import process_tree
from tests.security.conftest import Serve
from tests.security.load.load import DICOM, Exchange, get, head, post, statuses, under_load
from tests.security.load.slow import trickle
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

CLIENTS = 16
ENDED_WITHIN_S = 25.0
DRAINING = {"SPINE_DRAIN_S": str(Settings().drain_s)}
TRICKLING = 20


@dataclass
class Probe:
    """What /readyz answered, asked again and again on new connections."""

    exchanges: list[Exchange] = field(default_factory=list)

    async def run(self, server: Server) -> None:
        """Ask until the connection is refused."""
        while not self.exchanges or self.exchanges[-1].status != "refused":
            self.exchanges.append(await server.ask(get("/readyz")))
            await asyncio.sleep(0.02)

    @property
    def failed_at(self) -> float:
        """When readiness first failed."""
        return next(each.ended_at for each in self.exchanges if each.status != 200)


async def exit_code(server: Server, since: float) -> int | None:
    """Wait until the server ends; None when it does not in time."""
    left_s = since + ENDED_WITHIN_S - time.monotonic()
    await asyncio.to_thread(
        process_tree.wait_until, lambda: server.process.poll() is not None, left_s
    )
    return server.process.poll()


async def assert_nothing_is_left(server: Server, pids: list[int]) -> None:
    """No process, no folder, no listener."""
    assert await asyncio.to_thread(process_tree.all_ended, pids, 1) == []
    assert list(server.temp.iterdir()) == []
    assert (await server.ask(get("/readyz"))).status == "refused"


@pytest.mark.parametrize("n_workers", [1, 2])
async def test_sigterm_under_load_fails_readiness_first_and_answers_what_was_sent(
    serve: Serve, slice_file: bytes, compressed_file: bytes, report: Report, n_workers: int
) -> None:
    limits = {"SPINE_DEADLINE_S": "20", "SPINE_MAX_FRAMES": "600"}
    server = serve(SPINE_WORKERS=str(n_workers), **limits, **DRAINING)
    assert await server.has_ready_workers(n_workers, 15)
    await server.warm_up(slice_file, compressed_file)
    pixels = noise((64, 64))
    # Under the load its frames take three times as long as the drain.
    long_file = post(make_dicom(np.broadcast_to(pixels, (600, *pixels.shape))))
    files = [post(slice_file), post(compressed_file)]
    probe = Probe()
    async with under_load(server.port, lambda number: files[number % 2], CLIENTS) as load:
        probing = asyncio.create_task(probe.run(server))
        await asyncio.sleep(1)
        in_the_middle = asyncio.create_task(server.ask(long_file))
        await asyncio.sleep(0.5)
        assert not in_the_middle.done()
        pids = server.pids()
        told_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = await exit_code(server, told_at)
        ended_at = time.monotonic()
        await probing
    long_one = await in_the_middle
    report(f"exit {code} after {ended_at - told_at:.1f} s, the long one {long_one.status}")
    report(f"statuses: {dict(statuses(load.exchanges))}")
    report(f"/readyz: {dict(statuses(probe.exchanges))}")
    assert code == 0
    assert long_one.status == 200
    # Everything that was on its way at the signal.
    assert set(statuses(e for e in load.exchanges if e.sent_at < told_at)) == {200}
    # Later ones too, on a connection that the server had kept; a new one may come too late.
    kept = [e for e in load.since(told_at) if not e.is_first]
    assert set(statuses(kept)) <= {200}
    assert set(statuses(load.since(told_at))) <= {200, 503, "closed", "reset"}
    failing = [e for e in probe.exchanges if e.ended_at >= probe.failed_at]
    assert failing[0].status == 503
    assert 200 not in statuses(failing)
    assert [e for e in load.exchanges if e.status == 200 and e.ended_at > probe.failed_at]
    await assert_nothing_is_left(server, pids)


@pytest.mark.parametrize("drain_s", ["0", DRAINING["SPINE_DRAIN_S"]])
async def test_who_connects_around_the_end_is_answered_or_refused_but_never_reset(
    serve: Serve, slice_file: bytes, report: Report, drain_s: str
) -> None:
    server = serve(SPINE_WORKERS="2", SPINE_DRAIN_S=drain_s)
    assert await server.has_ready_workers(2, 15)
    await server.warm_up(slice_file)
    exchanges: list[Exchange] = []

    async def ask_on_new_connections() -> None:
        while not exchanges or exchanges[-1].status != "refused":
            exchanges.append(await server.ask(post(slice_file)))

    clients = [asyncio.create_task(ask_on_new_connections()) for _ in range(CLIENTS)]
    await asyncio.sleep(1)
    told_at = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    await asyncio.gather(*clients)
    report(f"drain of {drain_s} s: {dict(statuses(exchanges))}")
    assert set(statuses(exchanges)) <= {200, 503, "refused"}
    assert [e for e in exchanges if e.status == 200 and e.sent_at > told_at]
    assert await exit_code(server, told_at) == 0


async def test_clients_that_trickle_do_not_hold_up_the_end(
    serve: Serve, slice_file: bytes, compressed_file: bytes, report: Report
) -> None:
    # Their slow bodies take fifteen seconds: both signals are waited for in the same ones.
    servers = {number: serve(**DRAINING) for number in (signal.SIGTERM, signal.SIGINT)}
    body = head("POST", "/predict", Content_Type=DICOM, Content_Length=370_000)
    starts = ((body, b"\0"), (b"POST /predict HTTP/1.1\r\n", b"A: 1\r\n"), (b"", b""))

    async def end(number: signal.Signals, server: Server) -> None:
        await server.warm_up(slice_file, compressed_file)
        slow = [
            asyncio.create_task(trickle(server.port, start, piece, 0.5, 60))
            for start, piece in starts
            for _ in range(TRICKLING)
        ]
        await asyncio.sleep(2)
        pids = server.pids()
        told_at = time.monotonic()
        server.process.send_signal(number)
        code = await exit_code(server, told_at)
        report(f"{number.name}: exit {code} after {time.monotonic() - told_at:.1f} s")
        assert code == 0
        await asyncio.gather(*slow)
        await assert_nothing_is_left(server, pids)

    await asyncio.gather(*(end(number, server) for number, server in servers.items()))


async def test_an_idle_server_ends_at_once_on_sigint_and_a_second_one_hurts_nothing(
    serve: Serve, report: Report
) -> None:
    server = serve(SPINE_WORKERS="2", **DRAINING)
    assert await server.has_ready_workers(2, 15)
    pids = server.pids()
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):  # uvicorn's own commands
        server.process.send_signal(number)
        await asyncio.sleep(1)
    assert server.pids() == pids
    told_at = time.monotonic()
    for _ in range(2):
        server.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
    code = await exit_code(server, told_at)
    report(f"exit {code} after {time.monotonic() - told_at:.1f} s")
    assert code == 0
    await assert_nothing_is_left(server, pids)
    assert "Traceback" not in server.log.read_text()
