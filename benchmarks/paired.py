"""Compare this checkout's service with another's, in turns: `python -m benchmarks.paired --help`.

Machines are shared and drift: both servers run at the same time, one is driven while the other
idles, and what counts is the median of the turns' differences.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.contenders.starting import contenders
from benchmarks.load import ask, find_files, measure, numbers
from benchmarks.processes import HERE, Server, free_port, running
from benchmarks.tables import header, line, spread

_FIELDS = {
    "p50_ms": "p50, ms",
    "server_cpu_ms": "CPU-ms a request",
    "requests_per_s": "requests/s",
}
_SCORES = ("reconstruction_mse", "anomaly_score", "p_value")
_WARM_S = 2.0

Row = dict[str, Any]


def count_equal(this: Server, other: Server, files: Sequence[Path]) -> dict[str, int]:
    """Count the files to which both servers answer the same of each score, to the last digit."""
    n_equal = dict.fromkeys(_SCORES, 0)
    for path in files:
        ours, theirs = (ask(server.port, path.read_bytes(), "a server") for server in (this, other))
        for name in _SCORES:
            n_equal[name] += ours[name] == theirs[name]
    return n_equal


def turn(server: Server, files: Sequence[Path], clients: int, seconds: float) -> Row:
    """Drive one server.

    Raises:
        ClickException: a request was not answered with 200.
    """
    row = measure(server, files, clients, seconds)
    if row["errors"] or not row["requests"]:
        raise click.ClickException(f"the run had errors: {row['errors']}")
    if row["not_quoted"]:
        click.echo(f"do not quote this: {row['not_quoted']}", err=True)
    return row


def table(pairs_by_clients: dict[int, list[tuple[Row, Row]]]) -> str:
    """Write markdown: medians of the turns with their ranges, and the median of the differences.

    Args:
        pairs_by_clients: number of clients -> (this, other) of each turn.
    """
    lines = header(["clients", "", "this", "other", "this - other", "in percent"])
    for clients, pairs in pairs_by_clients.items():
        for field, title in _FIELDS.items():
            ours, theirs = ([row[field] for row in rows] for rows in zip(*pairs, strict=True))
            both = list(zip(ours, theirs, strict=True))
            difference = statistics.median(mine - other for mine, other in both)
            share = statistics.median(mine / other - 1 for mine, other in both)
            cells = (spread({field: values}, field) for values in (ours, theirs))
            lines.append(line([str(clients), title, *cells, f"{difference:+.2f}", f"{share:+.1%}"]))
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--other", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--clients", callback=numbers, default="1,32", help="With commas between.")
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1), help="Length of each turn.")
@click.option("--turns", default=8, type=click.IntRange(1), help="Of each server.")
@click.option("--workers", default=1, type=click.IntRange(1), help="Processes of each server.")
@click.option("--quick", is_flag=True, help="One short turn, to see that it works.")
def main(
    files: tuple[Path, ...],
    other: Path,
    clients: list[int],
    seconds: float,
    turns: int,
    workers: int,
    quick: bool,
) -> None:
    """Post FILES in turn to this checkout's service and to that of OTHER.

    Without FILES (DICOM, or folders of them) phantoms of many sizes and encodings are sent. Each
    checkout is started as it starts in production, with the model that this one's store serves.

    Example: python -m benchmarks.paired slices/ --other ../before --turns 12
    """
    from model.errors import ModelError
    from model.store.served import choose_served
    from serving.settings import settings

    if quick:
        seconds, turns = 0.5, 1
    try:
        model = choose_served(settings().model)
    except ModelError as error:
        raise click.ClickException(str(error)) from error
    this = contenders()["this"]
    environ = this.environ(workers) | {"SPINE_MODEL": model.name}
    with ExitStack() as stack:
        if files:
            paths = find_files(files)
        else:
            from benchmarks.slices import mix, write

            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="paired-"))
            paths = write(mix().files, Path(folder))
        servers = []
        for checkout in (HERE, other.resolve()):
            port = free_port()
            started = running(this.command(port, workers, checkout), port, checkout, environ)
            servers.append(stack.enter_context(started))
        ours, theirs = servers
        n_equal = count_equal(ours, theirs, paths)
        for server in servers:
            turn(server, paths, max(clients), min(_WARM_S, seconds))
        found: dict[int, list[tuple[Row, Row]]] = {n: [] for n in clients}
        for number in range(turns):
            for n, pairs in found.items():
                # Each is the first in every other turn.
                order = (ours, theirs) if number % 2 else (theirs, ours)
                rows = {server.port: turn(server, paths, n, seconds) for server in order}
                pairs.append((rows[ours.port], rows[theirs.port]))
    click.echo(f"{model.name}: {turns} turns of {seconds:g} s, {workers} worker processes each")
    counts = ", ".join(f"{name} of {n}" for name, n in n_equal.items())
    click.echo(f"equal to the last digit of {len(paths)} files: {counts}\n")
    click.echo(table(found))


if __name__ == "__main__":
    main()
