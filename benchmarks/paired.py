"""Compare this checkout's service with another's, in turns: `python -m benchmarks.paired --help`.

Machines are shared and drift: both servers run at the same time, one is driven while the other
idles, and what counts is the difference of the turns' medians.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.contenders.starting import contenders
from benchmarks.driver import bottleneck, drive
from benchmarks.load import find_files
from benchmarks.processes import HERE, Server, free_port, running, tree_cpu_s


@dataclass(frozen=True)
class Turn:
    """One server driven for a few seconds."""

    cpu_ms: float
    p50_ms: float
    requests_per_s: float


def turn(server: Server, files: list[Path], clients: int, seconds: float) -> Turn:
    """Drive one server."""
    before = tree_cpu_s(server.pid)
    (load,) = drive(server.port, files, [(clients, seconds)])
    if load.errors or not load.requests:
        raise click.ClickException(f"the run had errors: {load.errors}")
    if reason := bottleneck(load):
        click.echo(f"do not quote this: {reason}", err=True)
    used_ms = (tree_cpu_s(server.pid) - before) * 1e3
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
    paths = find_files(files)
    measured: dict[str, list[Turn]] = {"this": [], "other": []}
    with ExitStack() as stack:
        servers = {}
        for name, checkout in (("this", HERE), ("other", other.resolve())):
            port = free_port()
            # One worker each, whatever the checkout's default.
            contender = contenders()["this"]
            command, environ = contender.command(port, 1), contender.environ(1)
            started = running(command, port, checkout, environ=environ)
            servers[name] = stack.enter_context(started)
        for server in servers.values():
            turn(server, paths, clients, 2.0)  # warm
        for number in range(turns):
            names = ["this", "other"] if number % 2 else ["other", "this"]
            for name in names:
                measured[name].append(turn(servers[name], paths, clients, seconds))
    click.echo(f"{len(paths)} files, {clients} clients, {turns} turns of {seconds:g} s each")
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
