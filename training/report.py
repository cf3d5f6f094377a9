"""Write the records of a run: metrics.csv, loss.png, errors.png."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.pages.pictures import save_figure
from training.steps import StretchMetrics
from training.writing import write_csv

METRICS_FILE = "metrics.csv"
RUN_FILE = "run.json"
LOSS_PLOT = "loss.png"
ERRORS_PLOT = "errors.png"


def write_metrics(path: Path, history: Sequence[StretchMetrics]) -> None:
    """Write a line for each stretch of steps."""
    columns = [field.name for field in fields(StretchMetrics)]
    write_csv(path, columns, (asdict(metrics).values() for metrics in history))


def read_metrics(path: Path) -> dict[tuple[str, int], StretchMetrics]:
    """Read what `write_metrics` wrote before an interruption: (network, step) -> line."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = [
            StretchMetrics(
                row["network"],
                int(row["step"]),
                float(row["learning_rate"]),
                float(row["loss"]),
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]
    return {(line.network, line.step): line for line in lines}


def plot_loss(path: Path, history: Sequence[StretchMetrics]) -> None:
    """Plot the loss of both networks over the steps of the final training."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    networks = sorted({metrics.network for metrics in history})
    for axes, name in zip(
        figure.subplots(1, len(networks), squeeze=False)[0], networks, strict=True
    ):
        lines = [metrics for metrics in history if metrics.network == name]
        axes.plot([line.step for line in lines], [line.loss for line in lines], marker=".")
        axes.set(title=name, xlabel="step", ylabel="loss", yscale="log")
    save_figure(figure, path)


def plot_errors(
    path: Path,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    keep: NDArray[np.bool_],
    threshold: float,
) -> None:
    """Plot the training slices' errors by the first network and by the last.

    Args:
        path: of the PNG.
        before: by the network trained on everything, [N].
        after: by the network trained on the cleaned set, [N].
        keep: which slices are in the cleaned set, [N].
        threshold: the default decision's.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    highest = float(max(before.max(), after.max(), threshold)) * 1.02 or 1.0
    bins = np.linspace(0, highest, 60).tolist()
    titles = ("before cleaning", "after cleaning")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, errors, title in zip((upper, lower), (before, after), titles, strict=True):
        parts = [errors[keep], errors[~keep]]
        axes.hist(parts, bins=bins, stacked=True, label=["kept", "removed"], color=["C0", "C3"])
        axes.set(title=title, ylabel="training slices")
    lower.axvline(threshold, color="black", linestyle="--", label="threshold")
    lower.set_xlabel("reconstruction MSE")
    lower.legend()
    save_figure(figure, path)
