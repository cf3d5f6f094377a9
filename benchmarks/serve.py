"""Compare this service with its alternatives: `python -m benchmarks.serve --help`.

Each round starts each contender in turn, in another order each time, since machines drift.
Compare numbers of one run only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.environment import environment
from benchmarks.load import numbers
from serving.process.resources import usable_cores

if TYPE_CHECKING:
    from benchmarks.contenders.starting import Contender
    from benchmarks.rounds import Plan, Results
    from benchmarks.slices import FileSet

MIX, ALIKE = "mix", "370 kB"
_NAMES = ("this", "stock", "fastapi_torch", "fastapi_keras", "floor")
NOT_QUOTED = 3  # the exit code: all was measured, but not all of it counts


def plan_of(sets: Sequence[FileSet], folder: Path, clients: Sequence[int], seconds: float) -> Plan:
    """Write the files into a folder and lay out the loads.

    Args:
        sets: the mix, and files of one size.
        folder: empty.
        clients: of the mix; the others are sent by 1 and by 32.
        seconds: of each load.
    """
    from benchmarks.rounds import Plan
    from benchmarks.slices import write

    loads = [(MIX, n) for n in clients] + [(ALIKE, n) for n in (1, 32) if n in clients]
    return Plan(
        files={one.name: write(one.files, folder / str(n)) for n, one in enumerate(sets)},
        loads=sorted(loads, key=lambda load: load[1]),
        burst_files=ALIKE,
        seconds=seconds,
        warm_s=min(2.0, seconds),
        # Long enough for 64 clients to fill every queue.
        burst_s=min(6.0, 4 * seconds),
    )


def measure(chosen: Sequence[Contender], plan: Plan, workers: int, rounds: int) -> Results:
    """Play all rounds.

    Raises:
        ClickException: a contender does not start, refuses a file, or computes something else.
    """
    from benchmarks.rounds import Results, check_scores, play, start_alone

    results = Results()
    for number in range(rounds):
        turned = [*chosen[number % len(chosen) :], *chosen[: number % len(chosen)]]
        scores = {}
        for contender in turned:
            click.echo(f"round {number + 1} of {rounds}: {contender.name}, one worker", err=True)
            scores[contender.name] = start_alone(contender, plan, results)
        check_scores(scores)
        for contender in turned:
            click.echo(f"round {number + 1} of {rounds}: {contender.name}", err=True)
            play(contender, plan, workers, results)
    return results


def _chosen(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    names = text.split(",") if text else []
    if unknown := set(names) - set(_NAMES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: choose of {', '.join(_NAMES)}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--only", callback=_chosen, default="", help="Contenders, with commas between.")
@click.option("--clients", callback=numbers, default="1,8,32,128", help="Of the mix of files.")
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1), help="Length of each load.")
@click.option("--rounds", default=3, type=click.IntRange(1), help="Of all contenders.")
@click.option("--workers", default=usable_cores(), type=click.IntRange(1), help="Of each.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Files for the mix.")
@click.option("--keras", type=click.Path(exists=True), help="A Python that has TensorFlow.")
@click.option("--keep-going", is_flag=True, help="Exit 0 even if a load is not quoted.")
@click.option("--quick", is_flag=True, help="One short round, to see that it works.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File to write.")
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="File to write.")
def main(
    only: list[str],
    clients: list[int],
    seconds: float,
    rounds: int,
    workers: int,
    data: Path | None,
    keras: str | None,
    keep_going: bool,
    quick: bool,
    json_file: Path | None,
    png_file: Path | None,
) -> None:
    """Drive this service, its alternatives and the floor in turns, and print what each took.

    The alternatives: the same model behind `bentoml.depends` and `batchable`, FastAPI with torch,
    and with --keras the original's design. The floor receives a file and answers, no more.

    Example: python -m benchmarks.serve --only this,stock --rounds 2 --json results.json
    """
    from benchmarks.contenders.starting import contenders
    from benchmarks.slices import alike, mix, of_folder
    from benchmarks.tables import RECORD_WIDTH, long_tables
    from training.writing import json_text

    if quick:
        clients, seconds, rounds = [1, 8], 0.5, 1
    known = contenders(keras)
    if "fastapi_keras" in only and not keras:
        raise click.UsageError("name a Python that has TensorFlow with --keras")
    chosen = [contender for name, contender in known.items() if not only or name in only]
    sets = [of_folder(data) if data else mix(), alike()]
    if not sets[0].files:
        raise click.UsageError("no .dcm file there")
    settings = {"workers": workers, "rounds": rounds, "seconds": seconds, "clients": clients}
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "command": _command(settings, only, data, keras),
        **environment({one.python for one in chosen} - {sys.executable}),
        "settings": settings,
        "files": {one.name: one.description for one in sets},
        "contenders": {one.name: one.title for one in chosen},
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        plan = plan_of(sets, Path(folder), clients, seconds)
        results |= asdict(measure(chosen, plan, workers, rounds))
    click.echo(long_tables(results))
    for file in (json_file, png_file):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
    if json_file:
        json_file.write_text(json_text(results, RECORD_WIDTH) + "\n", "utf-8")
    if png_file:
        from benchmarks.plots import draw

        draw(results, png_file)
    sys.exit(0 if keep_going else _exit_code(results))


def _command(
    settings: dict[str, Any], only: list[str], data: Path | None, keras: str | None
) -> str:
    """Return what to type for the same run, without the user's paths."""
    words = ["python -m benchmarks.serve"]
    for name, value in settings.items():
        words.append(f"--{name} {','.join(map(str, value)) if name == 'clients' else value}")
    words += [f"--only {','.join(only)}"] if only else []
    words += ["--data DATA"] if data else []
    words += ["--keras PYTHON"] if keras else []
    return " ".join(words)


def _exit_code(results: dict[str, Any]) -> int:
    """Print on stderr what is not quoted; return the exit code."""
    refused = [
        f"{one['contender']}, {one['files']}, {one['clients']} clients, round {number}: {reason}"
        for one in results["loads"] + results["bursts"]
        for number, reason in enumerate(one["not_quoted"], 1)
        if reason
    ]
    for line in refused:
        click.echo(f"not quoted: {line}", err=True)
    return NOT_QUOTED if refused else 0


if __name__ == "__main__":
    main()
