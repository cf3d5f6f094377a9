"""Print results on stdout: for people as tables, for scripts as JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from model.errors import ModelError
from model.store.find import DEFAULT_NAME
from model.store.served import choose_served
from training.data.patients import BY_PATIENT

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation

# Enough to see a training run, not for a model that is of any use.
TRIAL = "--rounds 1 --steps 100 --anatomy-steps 50 --inspector-steps 100 --cap 0.9"


def print_fit(state: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Print what was trained on, what came out, and what to do next."""
    if as_json:
        _print_json(state | {"run": str(folder)})
        return
    counts, split, metrics = state["counts"], state["split"], state["metrics"]
    table = Table(show_header=False, box=None)
    table.add_row("model", state["model"])
    table.add_row("run", str(folder))
    for part in ("train", "holdout"):
        of = split[part]
        table.add_row(part, f"{of['images']} slices of {of['patients']} patients")
    table.add_row("removed", f"{state['n_removed']} slices, shown in audit.html")
    for done in state["rounds"]:
        table.add_row(
            f"round {done['round']}",
            f"{done['quarantined']} to quarantine, {done['returned']} back,"
            f" {done['in_quarantine']} in it",
        )
    if counts["excluded"]:
        table.add_row("excluded", f"{counts['excluded']} files")
    rate = state["calibration"]
    table.add_row(
        "alarm rate",
        f"{rate['alarm_rate']:.1%} by {rate['slices']} slices of {rate['patients']} patients;"
        f" realised at most {rate['bound']:.1%} in 9 of 10 trainings",
    )
    table.add_row("threshold", f"{state['decision']['threshold']:.5f} of the MSE")
    table.add_row(
        "held out",
        f"{metrics['heldout_alarm_rate']:.1%} alarms, median MSE"
        f" {metrics['heldout_mse_median']:.5f},"
        f" {metrics['heldout_above_threshold']:.1%} above the threshold",
    )
    table.add_row("seconds", ", ".join(f"{k} {v:g}" for k, v in state["seconds"].items()))
    console = _console()
    console.print(table)
    rest = state | {"skipped": state["skipped_codes"]}
    for line in describe_rest(rest, " (listed in run.json)"):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    options, name = state["options"], state["model"].partition(":")[0]
    words = ["evaluate", state["model"], *options["data"]]
    # A run that an earlier version began does not name its file of exclusions.
    given = {
        "--masks": options["masks"],
        "--exclude": options.get("exclude_file"),
        "--group-by": options["group_by"] if options["group_by"] != BY_PATIENT else "",
    }
    for option, value in given.items():
        words += [option, value] if value else []
    console.out(f"next: {command(*words)}", highlight=False)
    console.out(_what_is_served(state["model"]), highlight=False)
    console.out(f"to serve this one: SPINE_MODEL={name}:latest make serve", highlight=False)


def describe_rest(found: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Describe what was not used, and why the patients may be told apart wrongly, in lines.

    Args:
        found: has doubt, duplicates, left_out_reasons and skipped (counts by code).
        where: it is listed, in words that follow the counts.
    """
    if copies := found["duplicates"]:
        yield f"copies of other images, pixel for pixel, left out: {len(copies)}{where}"
    if reasons := found["left_out_reasons"]:
        yield f"frames of other kinds, left out: {sum(reasons.values())}{where}"
        yield from (f"  {n}: {reason}" for reason, n in reasons.items())
    if codes := found["skipped"]:
        listed = ", ".join(f"{n} {code}" for code, n in codes.items())
        yield f"skipped {sum(codes.values())} files: {listed}{where}"
    if found["doubt"]:
        yield f"note: {found['doubt']}"


def command(*words: object) -> str:
    """Write a command of `python -m training` that can be typed as it is, in the same folder."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return shlex.join([str(python), "-m", "training", *map(str, words)])


def _what_is_served(trained: str) -> str:
    """Describe which model `make serve` takes, now that one more is in the store."""
    try:
        chosen = choose_served(DEFAULT_NAME)
    except ModelError:
        return "make serve serves the released model"
    is_trained = "this one, " if chosen.name == trained else ""
    return f"make serve serves {is_trained}{chosen.name}, {chosen.reason}"


def print_phantoms(out: Path, count: int, as_json: bool) -> None:
    """Print where the files are."""
    if as_json:
        _print_json({"out": str(out), "count": count, "truth": str(out / "truth.csv")})
        return
    console = _console()
    console.out(f"{count} phantoms and truth.csv in {out}", highlight=False)
    # By make, which installs torch: drawing phantoms needs none.
    trial = shlex.join(["make", "train", f"DATA={out}", "NAME=trial", f"ARGS={TRIAL}"])
    console.out(f"next, in minutes: {trial}", highlight=False)


def print_evaluation(evaluation: Evaluation, folder: Path, as_json: bool) -> None:
    """Print averages, then one line for each kind of anomaly, then the false alarms."""
    from training.evaluation import page as evaluation_page
    from training.evaluation import text as evaluation_text

    if as_json:
        _print_json(evaluation_page.as_json(evaluation) | {"out": str(folder)})
        return
    table = Table(title=f"{evaluation.model}: {evaluation.suite}")
    for column in evaluation_text.HEADINGS:
        table.add_column(column, justify="left" if column == "kind" else "right")
    for macro in evaluation.macros:
        table.add_row(*evaluation_text.macro_row(macro), style="bold")
    table.add_section()
    for kind in evaluation.kinds:
        table.add_row(*evaluation_text.kind_row(kind))
    console = _console()
    console.print(table)
    console.print(evaluation_text.describe_images(evaluation))
    console.print(evaluation_text.describe_alarms(evaluation.alarms))
    console.print(f"saved in {folder}: evaluation.html, evaluation.json, plots", soft_wrap=True)


def _console() -> Console:
    """Use the terminal's width; a file or a pipe has none, and the tables need space."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _print_json(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
