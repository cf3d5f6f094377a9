"""Generate load in a process of its own: N keep-alive clients that upload files as curl -F does.

A plain protocol over sockets: what the generator costs, the server on the same cores cannot use.
Clients send one request at a time, each beginning with another file. Next to the clients a thread
sends stamps through a socket pair; how late the loop sees them is how late it sees answers. A run
in which the generator was the bottleneck is not quoted; see `bottleneck`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

from benchmarks.client import HOST, Connection, upload
from benchmarks.lateness import lateness

# Above this share of a core the generator would soon send as fast as it can, not as it should.
MOST_CPU_SHARE = 0.7
# Answers may be seen late by this share of the latency, at the median and at the 99th percentile.
MOST_LATE_SHARE = 0.2
_PATIENCE_S = 60.0
# When all connect at the same moment, one worker process takes all of them, or two share them: the
# run would measure that luck.
_BETWEEN_CLIENTS_S = 0.002


@dataclass(frozen=True)
class Load:
    """What one run measured.

    Args:
        clients: connections, each with one request at a time.
        seconds: from the first request to the last answer.
        requests: answers of status 200.
        errors: status, or what became of the connection -> how many.
        requests_per_s: of status 200.
        p50_ms, p90_ms, p99_ms: from sending a request to its whole answer, of status 200.
        client_cpu_share: of one core, used by the generator.
        client_cpu_ms: of the generator, a request.
        late_p50_ms, late_p99_ms: how late the generator sees what arrived.
    """

    clients: int
    seconds: float
    requests: int
    errors: dict[str, int]
    requests_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    client_cpu_share: float
    client_cpu_ms: float
    late_p50_ms: float
    late_p99_ms: float


def bottleneck(load: Load) -> str:
    """Say why a run measured its generator rather than the server; empty if it did not."""
    if load.client_cpu_share > MOST_CPU_SHARE:
        return f"the generator used {load.client_cpu_share:.0%} of a core"
    for name in ("p50_ms", "p99_ms"):
        late, latency = getattr(load, f"late_{name}"), getattr(load, name)
        if latency and late > MOST_LATE_SHARE * latency:
            return f"the generator saw answers {late:.1f} ms late at {name[:3]} {latency:.1f} ms"
    return ""


def drive(port: int, files: Sequence[Path], phases: Sequence[tuple[int, float]]) -> list[Load]:
    """Drive a server of this machine from another process.

    Args:
        port: of the server.
        files: to send, in turn.
        phases: (clients, seconds), one after the other without a pause.
    """
    job = json.dumps({"port": port, "files": list(map(str, files)), "phases": list(phases)})
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.driver"],
        cwd=Path(__file__).parents[1],
        input=job.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Load(**load) for load in json.loads(run.stdout)]


@dataclass
class _Tally:
    """What the clients of one run saw."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    waiting: int = 0


async def _client(port: int, requests: Iterator[bytes], end: float, tally: _Tally) -> None:
    """Send requests until the time is up, on one connection as long as the server keeps it."""
    loop, connection = asyncio.get_running_loop(), None
    for request in requests:
        if time.perf_counter() >= end:
            break
        if connection is None or not connection.is_open:
            try:
                _, connection = await loop.create_connection(Connection, HOST, port)
            except OSError:
                tally.errors["refused"] += 1
                await asyncio.sleep(0.05)
                continue
        tally.waiting += 1
        sent = time.perf_counter()
        status = await connection.ask(request)
        took = time.perf_counter() - sent
        tally.waiting -= 1
        if status == "200":
            tally.seconds.append(took)
        else:
            tally.errors[status] += 1
    if connection is not None:
        connection.close()


async def run(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Send the requests in turn from all clients until the time is up."""
    tally = _Tally()
    with lateness() as late:
        began, cpu = time.perf_counter(), time.process_time()
        running = []
        for number in range(clients):
            mine = islice(cycle(requests), number, None)
            running.append(asyncio.create_task(_client(port, mine, began + seconds, tally)))
            await asyncio.sleep(_BETWEEN_CLIENTS_S)
        ended, left = await asyncio.wait(running, timeout=seconds + _PATIENCE_S)
        for task in left:
            task.cancel()
        for task in ended:
            task.result()  # raises our own mistakes
        tally.errors.update({"unanswered": tally.waiting} if tally.waiting else {})
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    n_asked = len(tally.seconds) + tally.errors.total()
    return Load(
        clients=clients,
        seconds=round(took, 3),
        requests=len(tally.seconds),
        errors=dict(tally.errors),
        requests_per_s=round(len(tally.seconds) / took, 2),
        p50_ms=percentile_ms(tally.seconds, 50),
        p90_ms=percentile_ms(tally.seconds, 90),
        p99_ms=percentile_ms(tally.seconds, 99),
        client_cpu_share=round(cpu / took, 3),
        client_cpu_ms=round(cpu * 1e3 / n_asked, 3) if n_asked else 0.0,
        late_p50_ms=percentile_ms(late, 50),
        late_p99_ms=percentile_ms(late, 99),
    )


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Interpolate a percentile linearly, in milliseconds; 0 of nothing."""
    if not seconds:
        return 0.0
    ordered = sorted(seconds)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return round((ordered[low] + (ordered[high] - ordered[low]) * (place - low)) * 1e3, 3)


def main() -> None:
    """Read a job as JSON from stdin, write what was measured to stdout."""
    job = json.load(sys.stdin)
    requests = [upload(Path(file).read_bytes()) for file in job["files"]]

    async def all_phases() -> list[Load]:
        return [await run(job["port"], requests, n, seconds) for n, seconds in job["phases"]]

    json.dump([asdict(load) for load in _run_loop(all_phases())], sys.stdout)


def _run_loop(loads: Coroutine[None, None, list[Load]]) -> list[Load]:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.run(loads)
    return uvloop.run(loads)


if __name__ == "__main__":
    main()
