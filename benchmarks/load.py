"""Drive a running service with N keep-alive clients: `python -m benchmarks.load --help`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import click

_BATCH = re.compile(r'^spine_batch_size_(bucket\{.*?le="([^"]+)".*?\}|count|sum)\S* (\S+)$', re.M)


@dataclass(frozen=True)
class Load:
    """What one run measured.

    Args:
        clients: connections, each with one request at a time.
        seconds: how long they sent.
        requests: answers of status 200.
        errors: status, or name of the exception -> how many.
        requests_per_s: of status 200.
        p50_ms, p90_ms, p99_ms: from sending a request to its whole answer.
        client_cpu_share: of one core, used by this generator; above 0.9 it measures itself.
        batches: batches of the model that the run caused.
        mean_batch: slices a batch.
        batches_above_1: of more than one slice.
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
    batches: int
    mean_batch: float
    batches_above_1: int


async def drive(url: str, bodies: list[bytes], clients: int, seconds: float) -> Load:
    """Send the bodies in turn from all clients until the time is up."""
    import aiohttp
    import numpy as np

    times: list[float] = []
    errors: Counter[str] = Counter()
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(url, connector=connector) as session:

        async def one_client(start: int) -> None:
            for body in cycle(bodies[start:] + bodies[:start]):
                if time.perf_counter() >= end:
                    return
                sent = time.perf_counter()
                try:
                    async with session.post(
                        "/predict", data=body, headers={"Content-Type": "application/dicom"}
                    ) as answer:
                        await answer.read()
                        if answer.status == 200:
                            times.append(time.perf_counter() - sent)
                        else:
                            errors[str(answer.status)] += 1
                except aiohttp.ClientError as error:
                    errors[type(error).__name__] += 1

        before = await _batches(session)
        began, cpu = time.perf_counter(), time.process_time()
        end = began + seconds
        await asyncio.gather(*(one_client(i % len(bodies)) for i in range(clients)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        after = await _batches(session)
    n_batches, n_slices, n_single = (b - a for a, b in zip(before, after, strict=True))
    p50, p90, p99 = np.percentile(times, (50, 90, 99)) * 1e3 if times else (0.0, 0.0, 0.0)
    return Load(
        clients=clients,
        seconds=round(took, 2),
        requests=len(times),
        errors=dict(errors),
        requests_per_s=round(len(times) / took, 1),
        p50_ms=round(float(p50), 2),
        p90_ms=round(float(p90), 2),
        p99_ms=round(float(p99), 2),
        client_cpu_share=round(cpu / took, 2),
        batches=n_batches,
        mean_batch=round(n_slices / n_batches, 2) if n_batches else 0.0,
        batches_above_1=n_batches - n_single,
    )


async def _batches(session: object) -> tuple[int, int, int]:
    """Read from /metrics: batches, slices in them, batches of one slice."""
    import aiohttp

    assert isinstance(session, aiohttp.ClientSession)  # noqa: S101 - our own mistake otherwise
    async with session.get("/metrics") as answer:
        text = await answer.text()
    count = total = single = 0.0
    for kind, bound, value in _BATCH.findall(text):
        if kind == "count":
            count += float(value)
        elif kind == "sum":
            total += float(value)
        elif float(bound) == 1:
            single += float(value)
    return int(count), int(total), int(single)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--url", default="http://127.0.0.1:8000", show_default=True)
@click.option("--clients", default="1,8,32", show_default=True, help="One number a run.")
@click.option("--seconds", default=20.0, show_default=True, help="Length of each run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run.")
def main(files: tuple[Path, ...], url: str, clients: str, seconds: float, as_json: bool) -> None:
    """Post FILES (DICOM, or folders of them) in turn and print what clients saw.

    Example: python -m benchmarks.load slices/ --clients 1,32 --seconds 20
    """
    paths = [p for f in files for p in ([f] if f.is_file() else sorted(f.rglob("*.dcm")))]
    if not paths:
        raise click.UsageError("no .dcm file there")
    bodies = [path.read_bytes() for path in paths]
    failed = False
    for number in clients.split(","):
        load = asyncio.run(drive(url, bodies, int(number), seconds))
        failed |= bool(load.errors) or not load.requests
        if as_json:
            click.echo(json.dumps(asdict(load)))
        else:
            click.echo("  ".join(f"{key} {value}" for key, value in asdict(load).items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
