"""Compare each vertebral body and disc with its own neighbours in the same slice. Plain numpy.

Patients differ more than a lesion changes: only the same slice says how bright a body should be.
On lesions planted into patients of no training, these differences find more than any residual of a
network and than distances of its features, pixel by pixel (training/LOG.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ScoreArray = NDArray[np.float64]
MaskArray = NDArray[np.bool_]

BACKGROUND, VERTEBRA, CANAL, DISC = range(4)

# (height, width) of boxes in pixels of the half-size picture, 2.6 mm on a 250 mm field.
_SPOT, _AROUND_SPOT = (3, 3), (9, 9)  # a focal lesion, and the body around it: 8 and 23 mm
_BODY, _ITS_PLACE = (9, 9), (15, 15)  # a whole body, and what is not its neighbour
_NEIGHBOURS = (61, 41)  # two bodies above and two below
_DISC = (3, 3)

_ENOUGH_OF_SPOT = 0.9  # a box must lie in its tissue by this share, or it measures the rim
_ENOUGH_OF_BODY = 0.6
_ENOUGH_NEIGHBOURS = 30.0  # pixels; fewer are nothing to compare with


class Differences(NamedTuple):
    """How much each place differs from its neighbours, absolute, in the units of x; [B, H, W]."""

    spot: FloatArray
    body: FloatArray
    disc: FloatArray


class Anatomy(NamedTuple):
    """Where the tissues are, in the half-size picture, [B, H, W]."""

    body: MaskArray
    disc: MaskArray
    canal: MaskArray
    vertebra: MaskArray  # bodies and posterior elements


def find_anatomy(tissues: FloatArray) -> Anatomy:
    """Take the most probable tissue of each pixel.

    Posterior elements are segmented as vertebra too: bodies and discs are what lies on the side of
    the canal that has more of it.

    Args:
        tissues: logits or probabilities of background, vertebra, canal, disc, [B, 4, H, W].
    """
    labels = tissues.argmax(axis=1)
    vertebra, canal = labels == VERTEBRA, labels == CANAL
    front = _bodies_side(vertebra, canal)
    return Anatomy(vertebra & front, (labels == DISC) & front, canal, vertebra)


def compare_neighbours(half: FloatArray, anatomy: Anatomy) -> Differences:
    """Compare local means inside each tissue.

    With b_k(M) the mean of x over those pixels of a k-sized box that lie in the tissue M:

    - spot: |b_3x3 - b_9x9| in the bodies, where the 3 x 3 box lies in the body.
    - body: |b_9x9 - b_n|, b_n the mean of bodies in a 61 x 41 box without its inner 15 x 15.
    - disc: |b_3x3 - b_61x41| in the discs.

    Args:
        half: slices in [0, 1], [B, H, W].
        anatomy: of the same pixels.
    """
    shown = _bounds(anatomy.body | anatomy.disc)
    inside, bodies, discs = half[shown], anatomy.body[shown], anatomy.disc[shown]
    sums = _BoxSums(inside, bodies)
    spots, around, one, near, wide = map(
        sums, (_SPOT, _AROUND_SPOT, _BODY, _ITS_PLACE, _NEIGHBOURS)
    )
    is_spot = bodies & (spots[1] > _ENOUGH_OF_SPOT * _SPOT[0] * _SPOT[1])
    others = wide - near
    is_body = bodies & (one[1] > _ENOUGH_OF_BODY * _BODY[0] * _BODY[1])
    is_body &= others[1] > _ENOUGH_NEIGHBOURS
    sums = _BoxSums(inside, discs)
    found = Differences(*(np.zeros_like(half) for _ in Differences._fields))
    found.spot[shown] = np.abs(_mean(spots) - _mean(around)) * is_spot
    found.body[shown] = np.abs(_mean(one) - _mean(others)) * is_body
    found.disc[shown] = np.abs(_mean(sums(_DISC)) - _mean(sums(_NEIGHBOURS))) * discs
    return found


def halve(x: FloatArray) -> FloatArray:
    """Average 2 x 2 pixels: [B, 1, S, S] -> [B, S/2, S/2]."""
    half: FloatArray = 0.25 * (
        x[:, 0, ::2, ::2] + x[:, 0, 1::2, ::2] + x[:, 0, ::2, 1::2] + x[:, 0, 1::2, 1::2]
    )
    return half


def canal_contrast(half: FloatArray, anatomy: Anatomy) -> ScoreArray:
    """ln(mean canal / mean body), 0 where one of them has less than a handful of pixels, [B]."""
    n_canal, n_body = (mask.sum(axis=(1, 2)) for mask in (anatomy.canal, anatomy.body))
    canal, body = (
        (half * mask).sum(axis=(1, 2), dtype=np.float64) / np.maximum(n, 1) + 1e-3
        for mask, n in ((anatomy.canal, n_canal), (anatomy.body, n_body))
    )
    return np.where((n_canal >= 5) & (n_body >= 5), np.log(canal / body), 0.0)


def _bodies_side(vertebra: MaskArray, canal: MaskArray) -> MaskArray:
    """Mark the side of the canal's centre line on which more vertebra lies, [B, H, W].

    Rows without canal take the line of the nearest row that has one; without any, all counts.
    """
    rows, columns = np.arange(canal.shape[1]), np.arange(canal.shape[2])
    n_canal = canal.sum(axis=2)
    centre = (canal @ columns) / np.maximum(n_canal, 1)
    front = np.ones_like(vertebra)
    for i, has_canal in enumerate(n_canal > 0):
        if has_canal.any():
            line = np.interp(rows, rows[has_canal], centre[i, has_canal])[:, None]
            left = columns < line
            is_left = (vertebra[i] & left).sum() >= (vertebra[i] & ~left).sum()
            front[i] = left if is_left else columns > line
    return front


class _BoxSums:
    """Sums of x and of 1 over boxes around each pixel, inside a mask, from summed-area tables.

    Args:
        half: [B, H, W].
        mask: same shape; outside of it, and of the picture, everything counts as 0.
    """

    def __init__(self, half: FloatArray, mask: MaskArray) -> None:
        n, height, width = half.shape
        self._shape = (height, width)
        # Half the largest box all around, so that every corner of every box is a plain slice; zero
        # before the picture, its last sums behind it. Not np.pad: that took half of the time.
        top, left = (side // 2 + 1 for side in _NEIGHBOURS)
        table = np.zeros((2, n, height + 2 * top - 1, width + 2 * left - 1))
        inner = table[:, :, top : top + height, left : left + width]
        np.multiply(half, mask, out=inner[0])
        inner[1] = mask
        np.cumsum(inner, axis=2, out=inner)
        np.cumsum(inner, axis=3, out=inner)
        table[:, :, top + height :, left : left + width] = inner[:, :, -1:]
        table[:, :, :, left + width :] = table[:, :, :, left + width - 1 : left + width]
        self._table = table

    def __call__(self, box: tuple[int, int]) -> ScoreArray:
        """Sums of x, then of 1, [2, B, H, W], for a box of odd (height, width)."""
        sums = self._table
        for axis, (side, length) in enumerate(zip(box, self._shape, strict=True), 2):
            middle = _NEIGHBOURS[axis - 2] // 2
            first, last = middle - side // 2, middle + side // 2 + 1
            upper = sums[(slice(None),) * axis + (slice(last, last + length),)]
            sums = upper - sums[(slice(None),) * axis + (slice(first, first + length),)]
        return sums


def _mean(sums: ScoreArray) -> FloatArray:
    """Divide, 0 where there is nothing; a table's sums are exact to far less than half a pixel."""
    total, area = sums
    return np.where(area > 0.5, total / np.maximum(area, 0.5), 0).astype(np.float32)


def _bounds(mask: MaskArray) -> tuple[slice, slice, slice]:
    """Bound what is marked in any slice of the batch; one pixel where nothing is."""
    sides = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    rows, columns = (slice(int(s[0]), int(s[-1]) + 1) if len(s) else slice(0, 1) for s in sides)
    return slice(None), rows, columns
