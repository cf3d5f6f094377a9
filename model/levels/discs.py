"""Find the discs along a column that was laid straight. Plain numpy."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.levels.column import Column, FloatArray, smooth

# Chosen on the training patients of SPIDER (training/LOG.md). Shares of the column's width.
_CENTRAL = 0.28  # to either side of the curve: what the profile averages over
_CONTRAST_WIDTH, _DISC_WIDTH = 0.09, 0.06  # standard deviations of the smoothing
_GAP_RANGE = (0.7, 1.5)  # between two discs, before enough of them are known
_LEAST_AREA = 0.02  # of the width squared: with less, a disc has no measurable shape
# Probabilities.
_LEAST_DISC, _LEAST_BODY, _LEAST_MASS = 0.2, 0.4, 0.15
# Shares of the gap.
_TOO_NEAR = 0.5  # two peaks of one disc
_BESIDE = 0.7  # a disc has a body so near
_REACH = 0.36  # a disc ends here
_BEGIN_OF_BODY, _HOLE_OF_BODY = 0.15, 0.3
_WHOLE_BODY, _TO_DISC = 0.6, 0.08  # a last body so long has a disc below, so far from its end
_CUT_OFF = 0.14  # a centre nearer to the picture's edge is that of a disc cut off
_SACRUM = 0.5  # the picture must go on so far below L5/S1 to show the sacrum
# Radians against the curve; the ends of the curve are less sure.
_LARGEST_TILT, _LARGEST_TILT_AT_END = 0.5, 0.95
_LEAST_ELONGATION = 2.5  # ratio of the variances, from which the tilt is measurable


class Discs(NamedTuple):
    """The discs of a column, from the head to the feet.

    Args:
        centres: (row, column), [n, 2].
        along: unit vectors through the disc, towards the feet, [n, 2].
        depth: front to back, pixels, [n].
        is_seen: false where a disc follows from its neighbours or from a body's end alone, [n].
        shows_end: whether the picture shows the column's lower end.
    """

    centres: FloatArray
    along: FloatArray
    depth: FloatArray
    is_seen: NDArray[np.bool_]
    shows_end: bool


def find_discs(column: Column, is_inside: NDArray[np.bool_]) -> Discs | None:
    """Find the discs; None without any.

    Args:
        column: laid straight.
        is_inside: which of its places lie in the picture, [L].
    """
    central = np.abs(column.across) <= _CENTRAL * column.width
    body = column.body[:, central].mean(axis=1) * is_inside
    disc = column.disc[:, central].mean(axis=1) * is_inside
    peaks, gap = _peaks(body, disc, column.width / column.step)
    if not len(peaks):
        return None
    places, is_seen = _fill(peaks, gap)
    is_body = smooth(body, 1) > _LEAST_BODY
    lower, is_cut = _end_of_body(is_body, is_inside, places[-1], gap)
    if lower - places[-1] > _WHOLE_BODY * gap and not is_cut:
        places, is_seen = np.append(places, lower + _TO_DISC * gap), np.append(is_seen, False)
    is_whole = _is_whole(places, is_inside, gap)
    if not is_whole.any():
        return None
    below = int(places[-1] + _SACRUM * gap)
    shows_end = (
        not is_cut and bool(is_whole[-1]) and below < len(is_inside) and bool(is_inside[below])
    )
    return Discs(*_measure(column, places[is_whole], is_seen[is_whole], gap), shows_end)


def _peaks(body: FloatArray, disc: FloatArray, width: float) -> tuple[FloatArray, float]:
    """Find where discs are seen and the usual gap between two, in places."""
    contrast, seen = smooth(disc - body, _CONTRAST_WIDTH * width), smooth(disc, _DISC_WIDTH * width)
    middle = contrast[1:-1]
    is_peak = (middle >= contrast[:-2]) & (middle > contrast[2:]) & (seen[1:-1] > _LEAST_DISC)
    found = np.flatnonzero(is_peak) + 1
    gap = float(np.median(np.diff(found))) if len(found) > 1 else width
    gap = min(max(gap, _GAP_RANGE[0] * width), _GAP_RANGE[1] * width)
    kept = list[int]()
    for peak in found:
        nearby = body[max(0, int(peak - _BESIDE * gap)) : int(peak + _BESIDE * gap) + 1]
        if nearby.max() < _LEAST_BODY:
            continue
        if kept and peak - kept[-1] < _TOO_NEAR * gap:
            if contrast[peak] > contrast[kept[-1]]:
                kept[-1] = int(peak)
        else:
            kept.append(int(peak))
    if len(kept) > 1:
        gap = float(np.median(np.diff(kept)))
    return np.asarray(kept, float), gap


def _fill(peaks: FloatArray, gap: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Put the missing discs between two that are several gaps apart: places, which are seen."""
    places, is_seen = [peaks[0]], [True]
    for begin, end in pairwise(peaks):
        n_gaps = max(1, round((end - begin) / gap))
        places += list(begin + (end - begin) * np.arange(1, n_gaps + 1) / n_gaps)
        is_seen += [False] * (n_gaps - 1) + [True]
    return np.asarray(places), np.asarray(is_seen)


def _end_of_body(
    is_body: NDArray[np.bool_], is_inside: NDArray[np.bool_], disc: float, gap: float
) -> tuple[float, bool]:
    """Follow the body below the last disc: its last place, whether the picture's edge cuts it."""
    start = min(len(is_body), round(disc + _BEGIN_OF_BODY * gap))
    is_outside = np.flatnonzero(~is_inside[start:])
    n_shown = int(is_outside[0]) if len(is_outside) else len(is_body) - start
    found = np.flatnonzero(is_body[start : start + n_shown])
    holes = np.diff(found, prepend=0) > _HOLE_OF_BODY * gap
    found = found[: int(np.argmax(holes))] if holes.any() else found
    last = int(found[-1]) if len(found) else 0
    return start + last, n_shown - last <= _HOLE_OF_BODY * gap


def _is_whole(places: FloatArray, is_inside: NDArray[np.bool_], gap: float) -> NDArray[np.bool_]:
    """Return which discs the picture does not cut off."""
    inside, margin = np.flatnonzero(is_inside), _CUT_OFF * gap
    if not len(inside):
        return np.zeros(len(places), bool)
    return np.asarray((places >= inside[0] + margin) & (places <= inside[-1] - margin))


def _measure(
    column: Column, places: FloatArray, is_seen: NDArray[np.bool_], gap: float
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
    """Measure centre, direction and depth by the moments of each disc's probability."""
    step, along = column.step, np.arange(len(column.centres), dtype=float)
    mass = np.where(column.disc > _LEAST_MASS, column.disc, 0)
    # Sums over the places across: of 1, u and u squared.
    sums = mass @ np.stack([np.ones_like(column.across), column.across, column.across**2], axis=1)
    at = places
    for _ in range(2):  # again around the centre that was found
        window = (np.abs(along - at[:, None]) < _REACH * gap).astype(float)
        zero, u, uu = (window @ sums).T
        a, aa, au = (
            window @ np.stack([along * sums[:, 0], along**2 * sums[:, 0], along * sums[:, 1]], 1)
        ).T
        has_shape = is_seen & (zero * step > _LEAST_AREA * column.width**2)
        total = np.where(has_shape, zero, 1)
        at = np.where(has_shape, a / total, places)
    u = np.where(has_shape, u / total, 0)
    c_aa, c_uu = (aa / total - at**2) * step**2, uu / total - u**2
    c_au = (au / total - at * u) * step
    spread = np.hypot((c_uu - c_aa) / 2, c_au)
    long, short = (c_aa + c_uu) / 2 + spread, (c_aa + c_uu) / 2 - spread
    tilt = 0.5 * np.arctan2(2 * c_au, c_uu - c_aa)
    largest = np.full(len(places), _LARGEST_TILT)
    largest[[0, -1]] = _LARGEST_TILT_AT_END
    has_shape &= long > _LEAST_ELONGATION * short
    tilt = np.where(has_shape & (np.abs(tilt) < largest), tilt, 0)
    depth = np.where(has_shape, np.sqrt(12 * np.maximum(long, 0)), np.nan)  # of a uniform bar
    usual = float(np.median(depth[has_shape])) if has_shape.any() else column.width
    centres, direction = column.place(at)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    turned = np.cos(tilt)[:, None] * direction - np.sin(tilt)[:, None] * normal
    return centres + u[:, None] * normal, turned, np.where(has_shape, depth, usual), is_seen
