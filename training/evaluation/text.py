"""Put an evaluation into words and rows of text, for both the terminal and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.scoring import MSE
from training.evaluation.judged import MAIN

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation
    from training.evaluation.false_alarms import FalseAlarms
    from training.evaluation.table import KindResult, MacroResult, ScoreResult

HEADINGS = (
    "kind",
    "images",
    "patients",
    "AUROC (95 %)",
    "sens. at 95 % spec.",
    "paired win",
    "flagged",
    "pixel AP (chance)",
    "MSE AUROC",
    "best channel",
)


def macro_row(macro: MacroResult) -> tuple[str, ...]:
    """Format an average over kinds, in the order of HEADINGS."""
    precision = _optional(macro.pixel_precision)
    name = f"{macro.name} (macro)"
    return (name, "", "", *_main(macro.scores), "", precision, *_others(macro.scores))


def kind_row(kind: KindResult) -> tuple[str, ...]:
    """Format one kind of anomaly, in the order of HEADINGS."""
    precision = _optional(kind.pixel_precision)
    if kind.pixel_chance is not None:
        precision += f" ({kind.pixel_chance:.2f})"
    counts = (str(kind.n_images), str(kind.n_patients))
    flagged = f"{kind.flagged:.0%}"
    return (kind.kind, *counts, *_main(kind.scores), flagged, precision, *_others(kind.scores))


def best_channel(scores: dict[str, ScoreResult]) -> tuple[str, float]:
    """Name the channel with the highest AUROC: chosen with hindsight, a ceiling, not a result."""
    channels = [name for name in scores if name not in (MAIN, MSE)]
    best = max(channels, key=lambda name: scores[name].auroc)
    return best, scores[best].auroc


def describe_images(evaluation: Evaluation) -> str:
    """Describe the images behind the numbers."""
    text = f"{evaluation.n_usual} usual images of {evaluation.n_patients} patients"
    if evaluation.n_masked:
        text += f", {evaluation.n_masked} of them with masks, into which lesions were planted"
    return f"{text}: {evaluation.statement}."


def describe_alarms(alarms: FalseAlarms) -> str:
    """Describe how many usual slices are flagged, and what was promised."""
    return (
        f"At the nominal alarm rate of {alarms.alarm_rate:.1%}, {alarms.realised:.1%} of the usual"
        f" slices are flagged, each patient counting once (95 % interval {alarms.low:.1%} to"
        f" {alarms.high:.1%}, {alarms.n_patients} patients), and {alarms.patient_alarms:.1%} of the"
        f" patients as a whole. With {alarms.n_calibration_patients} calibration patients the"
        f" printed bound is {alarms.bound:.1%}. In {len(alarms.repeats)} repeats, each with another"
        f" random split into calibration and new patients, {alarms.within_bound:.0%} stay within it"
        f" and {alarms.within_counted_bound:.0%} within {alarms.counted_bound:.1%}, the bound for a"
        " rate that is counted on so few new patients."
    )


def _main(scores: dict[str, ScoreResult]) -> tuple[str, str, str]:
    main = scores[MAIN]
    area = f"{main.auroc:.2f} ({main.low:.2f}-{main.high:.2f})"
    return area, f"{main.sensitivity:.2f}", _optional(main.paired_win)


def _others(scores: dict[str, ScoreResult]) -> tuple[str, str]:
    name, area = best_channel(scores)
    return f"{scores[MSE].auroc:.2f}", f"{name} {area:.2f}"


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
