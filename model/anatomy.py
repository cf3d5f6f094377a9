"""Compare each vertebral body and disc with its own neighbours in the same slice. Plain numpy.

Patients differ more than a lesion changes: only the same slice says how bright a body should be.
On lesions planted into patients of no training, these differences find more than any residual of a
network and than distances of its features, pixel by pixel (training/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ScoreArray = NDArray[np.float64]
MaskArray = NDArray[np.bool_]

BACKGROUND, VERTEBRA, CANAL, DISC = range(4)

# (height, width) of boxes in pixels of the half-size picture, 2.6 mm on a 250 mm field.
_SPOT = (3, 3)  # a focal lesion, 8 mm
_BODY, _ITS_PLACE = (9, 9), (15, 15)  # 23 mm of a body, and what is not its neighbour
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
    # Not argmax, which takes four times as long along this axis; of equal ones the first, as there.
    largest = tissues.max(axis=1)
    is_free = tissues[:, BACKGROUND] != largest
    vertebra = is_free & (tissues[:, VERTEBRA] == largest)
    is_free &= ~vertebra
    canal = is_free & (tissues[:, CANAL] == largest)
    disc = is_free & ~canal
    front = _bodies_side(vertebra, canal)
    return Anatomy(vertebra & front, disc & front, canal, vertebra)


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
    found = Differences(*(np.zeros_like(half) for _ in Differences._fields))
    longest = max(half.shape[1:])
    for i, shown in enumerate(map(_bounds, anatomy.body | anatomy.disc)):
        inside, bodies, discs = half[i][shown], anatomy.body[i][shown], anatomy.disc[i][shown]
        boxes = [_SPOT, _BODY, _ITS_PLACE, _NEIGHBOURS]
        sums = _box_sums(inside, bodies, boxes, longest)
        sums[2] = sums[3] - sums[2]
        (spot, body, others, _), area = _means(sums), sums[:, 1]
        is_spot = bodies & (area[0] > _ENOUGH_OF_SPOT * _SPOT[0] * _SPOT[1])
        is_body = bodies & (area[1] > _ENOUGH_OF_BODY * _BODY[0] * _BODY[1])
        is_body &= area[2] > _ENOUGH_NEIGHBOURS
        found.spot[i][shown] = np.abs(spot - body) * is_spot
        found.body[i][shown] = np.abs(body - others) * is_body
        disc, others = _means(_box_sums(inside, discs, [_DISC, _NEIGHBOURS], longest))
        found.disc[i][shown] = np.abs(disc - others) * discs
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


def _box_sums(
    half: FloatArray, mask: MaskArray, boxes: Sequence[tuple[int, int]], longest: int
) -> FloatArray:
    """Sum x and 1 over boxes around each pixel, inside a mask: two products with band matrices.

    For the part of a picture that a spine fills this takes no longer than summed-area tables, and
    it sums few values each time, so that float32 is enough.

    Args:
        half: [H, W].
        mask: same shape; outside of it, and of the picture, everything counts as 0.
        boxes: odd (height, width).
        longest: side of any picture of this model; the matrices are remembered by it.

    Returns:
        [boxes, 2, H, W].
    """
    height, width = mask.shape
    masked = np.stack([half * mask, mask.astype(np.float32)])
    sums = np.empty((len(boxes), *masked.shape), np.float32)
    for (rows, columns), out in zip(boxes, sums, strict=True):
        down, right = _band(longest, rows), _band(longest, columns)
        np.matmul(down[:height, :height] @ masked, right[:width, :width], out=out)
    return sums


@lru_cache(maxsize=16)
def _band(side: int, box: int) -> FloatArray:
    """1 where two pixels lie in one box around either, else 0, [side, side]."""
    pixels = np.arange(side)
    band: FloatArray = (np.abs(pixels[:, None] - pixels) <= box // 2).astype(np.float32)
    band.flags.writeable = False
    return band


def _means(sums: FloatArray) -> FloatArray:
    """Divide what `_box_sums` gave, [boxes, 2, H, W] -> [boxes, H, W]; 0 for an empty box."""
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 1], 1), np.float32)


def _bounds(mask: MaskArray) -> tuple[slice, slice]:
    """Bound what is marked, [H, W]; one pixel where nothing is."""
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(s[0]), int(s[-1]) + 1) if len(s) else slice(0, 1) for s in sides)
    return rows, columns
