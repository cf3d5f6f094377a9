"""Print results on stdout: for people as tables, for scripts as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from training.evaluate import GroupScore


def print_fit(state: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Say what was trained on, what came out, and what to do next."""
    if as_json:
        _print_json(state | {"run": str(folder)})
        return
    counts, split, metrics = state["counts"], state["split"], state["metrics"]
    table = Table(show_header=False, box=None)
    table.add_row("model", state["model"])
    table.add_row("run", str(folder))
    for part in ("train", "validation", "holdout"):
        of = split[part]
        table.add_row(part, f"{of['images']} slices of {of['patients']} patients")
    table.add_row("removed", f"{state['n_removed']} slices, shown in audit.html")
    for done in state["rounds"]:
        table.add_row(
            f"round {done['round']}",
            f"{done['quarantined']} to quarantine, {done['returned']} back,"
            f" {done['in_quarantine']} in it",
        )
    if counts["duplicates"] or counts["excluded"]:
        table.add_row("left out", f"{counts['duplicates']} copies, {counts['excluded']} excluded")
    table.add_row("threshold", f"{state['decision']['threshold']:.5f}")
    table.add_row(
        "held out",
        f"median MSE {metrics['heldout_mse_median']:.5f},"
        f" {metrics['heldout_alarm_rate']:.1%} above the threshold",
    )
    table.add_row("seconds", ", ".join(f"{k} {v:g}" for k, v in state["seconds"].items()))
    console = Console()
    console.print(table)
    if counts["skipped"]:
        reasons = ", ".join(f"{n} {code}" for code, n in state["skipped_codes"].items())
        console.print(f"skipped {counts['skipped']} files: {reasons}; listed in run.json")
    data = " ".join(Path(path).as_posix() for path in state["options"]["data"])
    console.print(f"next: python -m training evaluate {state['model']} {data}", soft_wrap=True)


def print_phantoms(out: Path, count: int, as_json: bool) -> None:
    """Say where the files are."""
    if as_json:
        _print_json({"out": str(out), "count": count, "truth": str(out / "truth.csv")})
        return
    console = Console()
    console.print(f"{count} phantoms and truth.csv in {out}", soft_wrap=True)
    console.print(f"next: python -m training fit {out}", soft_wrap=True)


def print_evaluation(tag: str, rows: Sequence[GroupScore], as_json: bool) -> None:
    """Print one line a group."""
    if as_json:
        _print_json({"model": tag, "groups": [asdict(row) for row in rows]})
        return
    table = Table(title=f"{tag}: reconstruction MSE")
    for column in ("group", "images", "median MSE", "above held-out p95", "alarms", "AUROC"):
        table.add_column(column, justify="left" if column == "group" else "right")
    for row in rows:
        table.add_row(
            row.group,
            str(row.n_images),
            f"{row.median_mse:.5f}",
            f"{row.above_p95:.0%}",
            f"{row.alarms:.0%}",
            f"{row.auroc:.2f}",
        )
    Console().print(table)


def _print_json(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
