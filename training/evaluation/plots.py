"""Draw an evaluation as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.scoring import MSE
from training.evaluation.judged import MAIN
from training.pages.pictures import save_figure

if TYPE_CHECKING:
    from training.evaluation.evaluate import Evaluation


def plot_auroc(path: Path, evaluation: Evaluation) -> None:
    """Draw each kind's AUROC with its interval, and that of the reconstruction MSE."""
    kinds = evaluation.kinds
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    groups = list(dict.fromkeys(kind.group for kind in kinds))
    for row, kind in enumerate(kinds):
        main, colour = kind.scores[MAIN], f"C{groups.index(kind.group) % 10}"
        axes.plot((main.low, main.high), (row, row), color=colour, linewidth=2)
        axes.plot(main.auroc, row, "o", color=colour)
        axes.plot(kind.scores[MSE].auroc, row, "x", color="0.5")
    axes.plot([], [], "x", color="0.5", label="reconstruction MSE")
    for number, group in enumerate(groups):
        axes.plot([], [], "o-", color=f"C{number % 10}", label=f"anomaly score: {group}")
    axes.axvline(0.5, color="0.8", zorder=0)
    axes.set_yticks(range(len(kinds)), [kind.kind for kind in kinds])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.02), xlabel="AUROC")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    save_figure(figure, path)


def plot_channels(path: Path, evaluation: Evaluation) -> None:
    """Draw a coloured table: the AUROC of each score for each kind."""
    kinds, columns = evaluation.kinds, evaluation.columns
    areas = np.array([[kind.scores[name].auroc for name in columns] for kind in kinds])
    size = (3.5 + 0.9 * len(columns), 1.6 + 0.3 * len(kinds))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.imshow(areas, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    for (row, column), area in np.ndenumerate(areas):
        colour = "white" if abs(area - 0.5) > 0.3 else "black"
        axes.text(column, row, f"{area:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(kinds)), [kind.kind for kind in kinds], fontsize=8)
    save_figure(figure, path)


def plot_alarms(path: Path, evaluation: Evaluation) -> None:
    """Draw the realised alarm rates of all repeats and what was promised."""
    alarms = evaluation.alarms
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    rates = [repeat.rate for repeat in alarms.repeats]
    highest = max([*rates, alarms.realised, alarms.counted_bound, alarms.bound]) * 1.1
    axes.hist(rates, bins=np.linspace(0, highest, 30).tolist(), color="C0", label="repeats")
    for value, style, label in (
        (alarms.realised, "-", "the model itself, on new patients"),
        (alarms.alarm_rate, ":", "nominal"),
        (alarms.bound, "--", "printed bound"),
        (alarms.counted_bound, "-.", "bound of a counted rate"),
    ):
        axes.axvline(value, color="black", linestyle=style, label=label)
    axes.set(xlabel="alarms on usual slices, each patient counting once", ylabel="repeats")
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    save_figure(figure, path)


def plot_examples(path: Path, evaluation: Evaluation) -> None:
    """Draw the first image of each kind as the model saw it."""
    plot_pictures(path, [(kind, x, "gray") for kind, x in evaluation.examples.items()])


def plot_pictures(
    path: Path,
    pictures: Sequence[tuple[str, NDArray[np.floating], str]],
    per_row: int = 7,
    side: float = 2.0,
) -> None:
    """Draw pictures in rows.

    Args:
        path: of the PNG.
        pictures: of each: its title, values in [0, 1], [H, W], and the name of its colours.
        per_row: so many.
        side: of one, in inches.
    """
    n_rows = -(-len(pictures) // per_row)
    figure = Figure(figsize=(side * per_row, 1.1 * side * n_rows), layout="constrained")
    for axes in figure.subplots(n_rows, per_row, squeeze=False).ravel():
        axes.axis("off")
    for axes, (title, values, colours) in zip(figure.axes, pictures, strict=False):
        axes.imshow(values, cmap=colours, vmin=0, vmax=1)
        axes.set_title(title, fontsize="small")
    save_figure(figure, path)
