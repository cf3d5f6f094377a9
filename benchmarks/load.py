"""Drive a running service with N keep-alive clients: `python -m benchmarks.load --help`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.clients import HOST, Load, upload
from benchmarks.processes import HERE, Server, busy_cores_s, tree_cpu_s

# Above this share of a core the generator would soon send as fast as it can, not as it should.
MOST_CPU_SHARE = 0.7
# Answers may be seen late by this share of the latency, at the median and at the 99th percentile.
MOST_LATE_SHARE = 0.2
# Ours, or that of BentoML's own dispatcher.
_BATCH = re.compile(
    r"^(?:spine_batch_size|bentoml_service_adaptive_batch_size)_"
    r'(bucket|count|sum)(?:\{(?:[^}]*\ble="([^"]+)")?[^}]*\})? (\S+)$',
    re.MULTILINE,
)


def drive(port: int, files: Sequence[Path], phases: Sequence[tuple[int, float]]) -> list[Load]:
    """Drive a server of this machine from another process.

    Args:
        port: of the server.
        files: to send, in turn.
        phases: (clients, seconds), one after the other without a pause.
    """
    job = json.dumps({"port": port, "files": list(map(str, files)), "phases": list(phases)})
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.clients"],
        cwd=HERE,
        input=job.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Load(**load) for load in json.loads(run.stdout)]


def ask(port: int, file: bytes, who: str) -> dict[str, Any]:
    """Post one file, and return the answer.

    Raises:
        ClickException: the answer is not 200; `who` is named.
    """
    head, _, body = upload(file).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    request = urllib.request.Request(
        f"http://{HOST}:{port}/predict", body, dict(line.split(": ", 1) for line in lines)
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read(200)
        message = f"{who} answers a file with {error.status}: {text!r}"
        raise click.ClickException(message) from error
    return found


def bottleneck(load: Load) -> str:
    """Return why a run measured its generator rather than the server; empty if it did not."""
    if load.client_cpu_share > MOST_CPU_SHARE:
        return f"the generator used {load.client_cpu_share:.0%} of a core"
    for name in ("p50_ms", "p99_ms"):
        late, latency = getattr(load, f"late_{name}"), getattr(load, name)
        if latency and late > MOST_LATE_SHARE * latency:
            return f"the generator saw answers {late:.1f} ms late at {name[:3]} {latency:.1f} ms"
    return ""


@dataclass(frozen=True)
class Batches:
    """Batches of the model since a server's start.

    Args:
        count: of them.
        slices: in all of them.
        single: of one slice.
    """

    count: int = 0
    slices: int = 0
    single: int = 0

    def since(self, before: Batches) -> dict[str, float]:
        """What came since an earlier reading: batches, slices a batch, batches of two or more."""
        count = self.count - before.count
        return {
            "batches": count,
            "mean_batch": round((self.slices - before.slices) / count, 2) if count else 0.0,
            "batches_above_1": count - (self.single - before.single),
        }


def parse_batches(text: str) -> Batches:
    """Read the batches from the text of /metrics."""
    count = total = single = 0.0
    for kind, bound, value in _BATCH.findall(text):
        if kind == "count":
            count += float(value)
        elif kind == "sum":
            total += float(value)
        elif float(bound) == 1:
            single += float(value)
    return Batches(int(count), int(total), int(single))


def read_batches(port: int) -> Batches:
    """Read the batches of a server on this machine; one without /metrics has none.

    Raises:
        ClickException: no server answers there.
    """
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
            return parse_batches(answer.read().decode())
    except urllib.error.HTTPError:
        return Batches()
    except OSError as error:
        raise click.ClickException(f"no service answers on port {port}: {error}") from error


def measure(server: Server, files: Sequence[Path], clients: int, seconds: float) -> dict[str, Any]:
    """Drive a server that we started.

    Returns:
        What the clients saw; the batches; `server_cpu_ms` for each request; `others_cores`, what
        other programs used; and `not_quoted`, why the run does not count (empty if it does).
    """
    batches, cpu, others = read_batches(server.port), tree_cpu_s(server.pid), _others_cpu_s(server)
    began = time.perf_counter()
    (load,) = drive(server.port, files, [(clients, seconds)])
    took = time.perf_counter() - began
    cpu, others = tree_cpu_s(server.pid) - cpu, _others_cpu_s(server) - others
    n_asked = load.requests + sum(load.errors.values())
    return {
        **asdict(load),
        "server_cpu_ms": round(cpu * 1e3 / n_asked, 3) if n_asked else 0.0,
        "others_cores": round(max(0.0, others) / took, 2),
        **read_batches(server.port).since(batches),
        "not_quoted": bottleneck(load),
    }


def _others_cpu_s(server: Server) -> float:
    """Seconds of computing that neither the server nor we, generators included, have used."""
    return busy_cores_s() - tree_cpu_s(server.pid) - sum(os.times()[:4])


def find_files(places: Sequence[Path]) -> list[Path]:
    """List the files, and those of the folders.

    Raises:
        UsageError: there are none.
    """
    paths = [p for place in places for p in ([place] if place.is_file() else place.rglob("*.dcm"))]
    if not paths:
        raise click.UsageError("no .dcm file there")
    return sorted(path.resolve() for path in paths)


def numbers(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    """Read an option's numbers of 1 or more, with commas between them.

    Raises:
        BadParameter: they are something else.
    """
    try:
        found = [int(number) for number in text.split(",")]
    except ValueError as error:
        raise click.BadParameter("write numbers with commas between, such as 1,8,32") from error
    if min(found) < 1:
        raise click.BadParameter("use numbers of 1 or more")
    return found


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--port", default=8000, help="Of the service, on this machine.")
@click.option("--clients", callback=numbers, default="1,8,32", help="One number a run.")
@click.option("--seconds", default=20.0, type=click.FloatRange(0.1), help="Length of each run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run.")
def main(
    files: tuple[Path, ...], port: int, clients: list[int], seconds: float, as_json: bool
) -> None:
    """Post FILES (DICOM, or folders of them) in turn and print what clients saw.

    Example: python -m benchmarks.load slices/ --clients 1,32 --seconds 20
    """
    paths = find_files(files)
    failed = False
    for number in clients:
        before = read_batches(port)
        (load,) = drive(port, paths, [(number, seconds)])
        row = asdict(load) | read_batches(port).since(before)
        failed |= bool(load.errors) or not load.requests
        if as_json:
            click.echo(json.dumps(row))
        else:
            click.echo("  ".join(f"{key} {value}" for key, value in row.items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
