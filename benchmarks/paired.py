"""Compare this checkout's service with another's, in turns: `python -m benchmarks.paired --help`.

Machines are shared and drift: both servers run at the same time, one is driven while the other
idles, and what counts is the difference of the turns' medians.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.load import drive

HERE = Path(__file__).parents[1]
STARTED_WITHIN_S = 60


@dataclass(frozen=True)
class Turn:
    """One server driven for a few seconds."""

    cpu_ms: float
    p50_ms: float
    requests_per_s: float


@contextmanager
def serve(checkout: Path, home: Path) -> Iterator[tuple[str, int]]:
    """Serve a checkout with this environment's packages and this store's models.

    Yields:
        (URL, process id of the supervisor).
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    models = Path(os.environ.get("BENTOML_HOME", HERE / ".bentoml")) / "models"
    home.mkdir()
    (home / "models").symlink_to(models)
    process = subprocess.Popen(  # noqa: S603 - our own service
        [sys.executable, "-m", "bentoml", "serve", "service:SpineAnomaly", "--port", str(port)],
        cwd=checkout,
        env=os.environ
        | {
            "BENTOML_HOME": str(home),
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            "BENTOML_DO_NOT_TRACK": "True",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz"):  # noqa: S310 - our own service
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise click.ClickException("a server did not start")


def tree_cpu_s(pid: int) -> float:
    """Seconds of computing that a process and its living descendants have used."""
    import psutil

    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return float(sum(used.user + used.system for used in times))


def turn(url: str, pid: int, bodies: list[bytes], clients: int, seconds: float) -> Turn:
    """Drive one server."""
    before = tree_cpu_s(pid)
    load = asyncio.run(drive(url, bodies, clients, seconds))
    if load.errors or not load.requests:
        raise click.ClickException(f"the run had errors: {load.errors}")
    used_ms = (tree_cpu_s(pid) - before) * 1e3
    return Turn(used_ms / load.requests, load.p50_ms, load.requests_per_s)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--other", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--clients", default=8, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Length of each turn.")
@click.option("--turns", default=8, show_default=True, help="Of each server.")
def main(files: tuple[Path, ...], other: Path, clients: int, seconds: float, turns: int) -> None:
    """Post FILES in turn to this checkout's service and to that of OTHER.

    Example: python -m benchmarks.paired slices/ --other ../before --clients 8
    """
    paths = [p for f in files for p in ([f] if f.is_file() else sorted(f.rglob("*.dcm")))]
    bodies = [path.read_bytes() for path in paths]
    if not bodies:
        raise click.UsageError("no .dcm file there")
    measured: dict[str, list[Turn]] = {"this": [], "other": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            "this": stack.enter_context(serve(HERE, folder / "this")),
            "other": stack.enter_context(serve(other, folder / "other")),
        }
        for url, pid in servers.values():
            turn(url, pid, bodies, clients, 2.0)  # warm
        for number in range(turns):
            names = ["this", "other"] if number % 2 else ["other", "this"]
            for name in names:
                measured[name].append(turn(*servers[name], bodies, clients, seconds))
    click.echo(f"{len(bodies)} files, {clients} clients, {turns} turns of {seconds:g} s each")
    for name, runs in measured.items():
        columns = []
        for field in ("cpu_ms", "p50_ms", "requests_per_s"):
            found = sorted(getattr(run, field) for run in runs)
            columns.append(
                f"{field} {statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"
            )
        click.echo(f"{name:6}" + "  ".join(columns))
    pairs = zip(measured["this"], measured["other"], strict=True)
    differences = [mine.cpu_ms - theirs.cpu_ms for mine, theirs in pairs]
    click.echo(f"cpu_ms of a request, this - other, median {statistics.median(differences):+.3f}")


if __name__ == "__main__":
    main()
