"""Show what cleaning removed and let a person decide: audit.html, one file that fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.cleaning.audit import REMOVED, AuditRow, count_changes
from training.cleaning.outliers import BoolArray, ScoreArray
from training.cleaning.rca import Round
from training.pages.pictures import figure_picture, grey_picture, heat_picture
from training.pages.render import write_page

AUDIT_PAGE = "audit.html"
# Pages of more pictures show smaller ones: a browser copes with some tens of megabytes.
_SIDES = ((400, 128), (4000, 64))
_SMALLEST_SIDE = 48
_BINS = 48

Picture = NDArray[np.floating]


def write_audit_page(
    path: Path,
    rows: Sequence[AuditRow],
    rounds: Sequence[Round],
    channels: Sequence[str],
    pictures: Iterable[tuple[Picture, Picture | None]],
    *,
    not_used: Sequence[str] = (),
) -> None:
    """Write audit.html, picture after picture, aside and then renamed.

    Args:
        path: of the page.
        rows: the images to show, in this order.
        rounds: of the cleaning.
        channels: names of the scores' columns.
        pictures: of each row: its slice, [S, S] in [0, 1], and the residual map, [h, w], or None
            where there is none; taken one by one.
        not_used: what was left out before the cleaning, and why, in lines.
    """
    write_page(
        path,
        "audit.html",
        n_removed=sum(row.state == REMOVED for row in rows),
        n_images=len(rounds[-1].keep) if rounds else 0,
        rounds=[tuple(counts.values()) for counts in count_changes(rounds)],
        histograms=list(_histograms(rounds, channels)),
        rows=rows,
        not_used=not_used,
        images=_images(rows, pictures),
    )


def draw_histogram(values: ScoreArray, keep: BoolArray, name: str) -> Figure:
    """Draw how many images have which score, the kept ones below, the others on top of them.

    Args:
        values: scores, [N]; on a logarithmic axis if all are positive.
        keep: which images are kept, [N].
        name: of the score.
    """
    figure = Figure(figsize=(4.8, 2.2), layout="constrained")
    axes = figure.subplots()
    low, high = float(values.min()), float(values.max())
    is_log = low > 0
    high = high if high > low else low + abs(low or 1)
    bins = (np.geomspace if is_log else np.linspace)(low, high, _BINS + 1)
    axes.hist(
        [values[keep], values[~keep]],
        bins.tolist(),
        stacked=True,
        color=["C0", "C3"],
        label=[f"{int(keep.sum())} kept", f"{int((~keep).sum())} in quarantine"],
    )
    # Few are removed: on a plain axis their bars would not be seen next to the kept ones'.
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel=name, ylabel="images", xscale="log" if is_log else "linear")
    ticks = bins[:: _BINS // 4]
    axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
    axes.minorticks_off()
    figure.legend(loc="outside upper right", ncols=2, fontsize="small", frameon=False)
    return figure


def _histograms(rounds: Sequence[Round], channels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Draw the scores of each round: (URI, caption)."""
    for number, done in enumerate(rounds, 1):
        drawn = [(channels[0], done.scores[:, 0])]
        if done.z is not None:
            drawn.append(("highest robust z", np.maximum(done.z.highest(), 0.1)))
        for name, values in drawn:
            uri = figure_picture(draw_histogram(values, done.keep, name))
            yield uri, f"Round {number}: {name}"


def _images(
    rows: Sequence[AuditRow], pictures: Iterable[tuple[Picture, Picture | None]]
) -> Iterator[tuple[AuditRow, str, str | None]]:
    """Encode the pictures of each row when the page comes to it."""
    side = next((s for most, s in _SIDES if len(rows) <= most), _SMALLEST_SIDE)
    for row, (picture, residual) in zip(rows, pictures, strict=True):
        residual_uri = None if residual is None else heat_picture(residual, side)
        yield row, grey_picture(picture, side), residual_uri
