"""The levels of a slice: discs numbered from the sacrum, and the bodies between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.levels.column import FloatArray, find_column
from model.levels.discs import Discs, find_discs

NO_COLUMN = "no vertebral column is seen"
NO_DISC = "no intervertebral disc is seen"

# The gap of a level lies within these multiples of the median; half of it follows the line through
# all gaps, because they grow steadily towards the sacrum.
_GAP_RANGE = (0.75, 1.3)


class Frame(NamedTuple):
    """The part of a map that shows the picture, not padding.

    Edges in pixels, with pixel centres at whole numbers: a map of 96 rows reaches from -0.5 to
    95.5.
    """

    top: float
    bottom: float
    left: float
    right: float


class Levels(NamedTuple):
    """The discs of one slice, from the head to the feet, in pixels of the tissues' map.

    Args:
        numbers: L5/S1 is 1, L4/L5 is 2 and so on, [n].
        centres: (row, column), pixel centres at whole numbers, [n, 2].
        along: unit vectors (row, column) through the disc, towards the feet, [n, 2].
        front: unit vectors towards the front of the body, [n, 2].
        gap: distance between neighbouring discs there, smoothed along the spine, [n].
        depth: of the disc, front to back, [n].
        is_seen: false where a disc was concluded from a gap or from a body's end, [n].
        bodies: centres of the vertebral bodies between, [max(0, n - 1), 2].
        is_certain: whether the numbers are: the picture shows what lies below the lowest disc.
        reason: why there are none; empty if there are.
    """

    numbers: NDArray[np.int64]
    centres: FloatArray
    along: FloatArray
    front: FloatArray
    gap: FloatArray
    depth: FloatArray
    is_seen: NDArray[np.bool_]
    bodies: FloatArray
    is_certain: bool
    reason: str


def find_levels(tissues: FloatArray, frame: Frame | None = None) -> Levels:
    """Find the levels of one slice.

    SPIDER's masks, by which the networks learned, leave the sacrum out: the column ends with L5/S1.

    Args:
        tissues: probabilities of background, vertebra, canal, disc, [4, H, W], feet down, as
            `preprocessing` turns every sagittal slice; the front may be on either side.
        frame: which part of the map shows the picture; all of it by default. A disc that its edge
            cuts off is left out.
    """
    column = find_column(tissues)
    if column is None:
        return _none(NO_COLUMN)
    y, x = column.centres.T
    if frame is None:
        frame = Frame(-0.5, tissues.shape[1] - 0.5, -0.5, tissues.shape[2] - 0.5)
    top, bottom, left, right = frame
    discs = find_discs(column, (y >= top) & (y <= bottom) & (x >= left) & (x <= right))
    if discs is None:
        return _none(NO_DISC)
    # Without a canal, the front is to the left, where preprocessing puts it.
    side = column.canal_side or 1
    return Levels(
        numbers=np.arange(len(discs.centres), 0, -1),
        centres=discs.centres,
        along=discs.along,
        front=side * np.stack([discs.along[:, 1], -discs.along[:, 0]], axis=1),
        gap=_gaps(discs, column.width),
        depth=discs.depth,
        is_seen=discs.is_seen,
        bodies=(discs.centres[1:] + discs.centres[:-1]) / 2,
        is_certain=discs.shows_end,
        reason="",
    )


def _gaps(discs: Discs, width: float) -> FloatArray:
    """Average the distances to both neighbours, and half follow a line along the spine: [n]."""
    distances = np.linalg.norm(np.diff(discs.centres, axis=0), axis=1)
    if not len(distances):
        return np.array([width])
    usual = float(np.median(distances))
    sums = np.convolve(distances, [1, 1])
    counts = np.convolve(np.ones(len(distances)), [1, 1])
    gap: FloatArray = np.clip(sums / counts, _GAP_RANGE[0] * usual, _GAP_RANGE[1] * usual)
    if len(gap) < 4:
        return gap
    place = np.arange(len(gap)) - (len(gap) - 1) / 2
    line = gap.mean() + place * (place @ gap) / (place @ place)
    return np.asarray((gap + line) / 2)


def _none(reason: str) -> Levels:
    empty, points = np.zeros(0), np.zeros((0, 2))
    return Levels(
        np.zeros(0, np.int64),
        *(points, points, points, empty, empty),
        np.zeros(0, bool),
        points,
        is_certain=False,
        reason=reason,
    )
