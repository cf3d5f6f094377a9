"""Minutes at full load with 30 % bad input change neither memory nor descriptors nor latency."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.dicom_files import make_dicom, noise
from tests.measured import Report
from tests.security import process_tree
from tests.security.load.load import Client, closed, post
from tests.security.load.request_mix import refused
from tests.security.process_tree import Usage
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

MB = 1_000_000
CLIENTS = 8
BAD_SHARE = 0.3
LONG_S = 300
MB_PER_MINUTE = 1.0
# The allocator keeps one body of the largest size for up to a minute: in ten minutes that were flat
# the memory went 280 -> 308 -> 280 MB five times. Such a step in the middle of T minutes is a slope
# of 1.5 x 33 MB / T, which is what a short run allows: 62 MB/min over 48 s. It still finds one body
# in fifty that is never freed; a smaller leak takes the long run.
STEP_MB = 33.0
P99_RATIO = 1.2


@dataclass
class Soak:
    """What was measured; times on `time.monotonic`.

    Args:
        began_at: after the warm-up.
        ended_at: of the last request.
        window_s: what "first" and "last" mean.
        is_long: enough for the promises.
        samples: (time, use of the process tree), each second.
        latencies: (time, seconds) of the ordinary slices.
        unexpected: (expected status, found status or loss) -> how often.
        n_requests: of all kinds; those of vanished clients count.
    """

    began_at: float
    ended_at: float
    window_s: float
    is_long: bool
    samples: list[tuple[float, Usage]] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    unexpected: Counter[tuple[int, int | str]] = field(default_factory=Counter)
    n_requests: int = 0

    def p99_ms(self, since: float) -> float:
        """Of the ordinary slices that were sent within one window."""
        window = [s for at, s in self.latencies if since <= at < since + self.window_s]
        return float(np.percentile(window, 99)) * 1e3

    def usage(self, since: float) -> tuple[float, float, float]:
        """Medians of one window: memory, descriptors, threads."""
        window = [u for at, u in self.samples if since <= at < since + self.window_s]
        table = [(u.memory, u.descriptors, u.threads) for u in window]
        memory, descriptors, threads = np.median(table, axis=0)
        return float(memory), float(descriptors), float(threads)

    def by_window(self) -> list[int]:
        """Medians of the memory in each window after the warm-up, MB."""
        starts = np.arange(self.began_at, self.ended_at - self.window_s / 2, self.window_s)
        return [round(self.usage(float(start))[0] / MB) for start in starts]

    @property
    def mb_per_minute(self) -> float:
        """Slope of the memory after the warm-up, least squares."""
        samples = [(at, used.memory / MB) for at, used in self.samples if at >= self.began_at]
        times, memories = np.array(samples).T
        return float(np.polyfit((times - self.began_at) / 60, memories, 1)[0])

    @property
    def allowed_mb_per_minute(self) -> float:
        """The promise, or what a shorter run can show."""
        minutes = (self.ended_at - self.began_at) / 60
        return MB_PER_MINUTE + (0 if self.is_long else 1.5 * STEP_MB / minutes)


async def drive(server: Server, soak: Soak, slice_file: bytes, compressed_file: bytes) -> None:
    """Send from all clients until the time is up."""
    good = [(post(slice_file), 200), (post(compressed_file), 200)]
    good.append((post(make_dicom(noise((12, 128, 128)))), 200))
    bad = refused(slice_file)
    # The one that really sends 33 MB comes rarely, or they would be most of the load.
    largest = max(bad, key=lambda each: len(each[0]))
    bad.remove(largest)

    async def client(number: int) -> None:
        rng = random.Random(number)  # noqa: S311 (a test's choice)
        sender = Client(server.port, number, timeout_s=30)
        while time.monotonic() < soak.ended_at:
            soak.n_requests += 1
            if rng.random() >= BAD_SHARE:
                request, status = rng.choices(good, (8, 1, 1))[0]
            elif rng.random() < 0.1:
                request, _ = rng.choice(good)
                await vanish(server.port, request[: rng.randrange(len(request))])
                continue
            else:
                request, status = largest if rng.random() < 0.001 else rng.choice(bad)
            exchange = await sender.send(request)
            if status == 413:
                await sender.close()  # it has announced more than it sent
            if exchange.status != status:
                soak.unexpected[status, exchange.status] += 1
            elif request is good[0][0]:
                soak.latencies.append((exchange.sent_at, exchange.ended_at - exchange.sent_at))
        await sender.close()

    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(client(number))
        while time.monotonic() < soak.ended_at:
            usage = await asyncio.to_thread(process_tree.usage, server.pid)
            soak.samples.append((time.monotonic(), usage))
            await asyncio.sleep(1)


async def vanish(port: int, data: bytes) -> None:
    """Send something and go away."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await asyncio.sleep(0.01)
    writer.transport.abort()
    await closed(writer)


async def test_full_load_with_bad_input_leaves_everything_as_it_was(
    server: Server,
    slice_file: bytes,
    compressed_file: bytes,
    report: Report,
    pytestconfig: pytest.Config,
) -> None:
    seconds = float(pytestconfig.getoption("--soak-seconds"))
    warm_up_s = min(60.0, 0.2 * seconds)
    began_at = time.monotonic() + warm_up_s
    measured_s = seconds - warm_up_s
    soak = Soak(began_at, began_at + measured_s, min(60.0, measured_s / 3), seconds >= LONG_S)
    await server.warm_up(slice_file, compressed_file)
    await drive(server, soak, slice_file, compressed_file)

    first, last = soak.began_at, soak.ended_at - soak.window_s
    memory, descriptors, threads = zip(soak.usage(first), soak.usage(last), strict=True)
    p99 = soak.p99_ms(first), soak.p99_ms(last)
    report(f"{soak.n_requests} requests in {seconds:.0f} s, windows of {soak.window_s:.0f} s")
    report(f"memory {memory[0] / MB:.1f} -> {memory[1] / MB:.1f} MB, by window {soak.by_window()}")
    report(f"slope {soak.mb_per_minute:+.2f} MB/min, allowed {soak.allowed_mb_per_minute:.1f}")
    report(f"descriptors {descriptors[0]:.0f} -> {descriptors[1]:.0f}")
    report(f"threads {threads[0]:.0f} -> {threads[1]:.0f}")
    report(f"p99 of an ordinary slice {p99[0]:.1f} -> {p99[1]:.1f} ms, x {p99[1] / p99[0]:.2f}")
    assert not soak.unexpected
    assert soak.mb_per_minute < soak.allowed_mb_per_minute
    assert descriptors[1] <= descriptors[0] + CLIENTS  # their connections come and go
    assert threads[1] <= threads[0]
    assert max(u.memory for _, u in soak.samples) - server.at_start.memory < 400 * MB
    if soak.is_long:  # in a shorter run the noise of a shared machine decides
        assert p99[1] <= P99_RATIO * p99[0]
