"""Compare each vertebral body and disc with its own neighbours in the same slice. Plain numpy.

Patients differ from each other by more than a lesion changes a slice, so only the same slice shows
how bright a body should be. On lesions planted into patients that no network was trained on, these
differences find more than the networks' residuals and than pixel-wise distances between their
features (training/LOG.md).
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

# (height, width) of boxes in pixels of the half-size picture, 2.6 mm each on a 250 mm field. Small:
# a focal lesion or the middle of a disc, 8 mm. Middle: a body, 23 mm. Near: what is too close to be
# compared with. Wide: two bodies above and two below.
_BOXES = ((3, 3), (9, 9), (15, 15), (61, 41))
_SMALL, _MIDDLE, _NEAR, _WIDE = range(4)

# Fewest pixels of a box that must lie in its tissue, so that it does not measure the rim; fewest
# pixels of neighbours to compare with.
_ENOUGH_OF_SPOT = 0.9 * 3 * 3
_ENOUGH_OF_BODY = 0.6 * 9 * 9
_ENOUGH_NEIGHBOURS = 30.0


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
    # argmax takes four times as long along this axis; of equal ones the first counts, as there.
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
    maps = np.zeros((len(Differences._fields), *half.shape), np.float32)
    for i in range(len(half)):
        shown, found = _differences(half[i], anatomy.body[i], anatomy.disc[i])
        for whole, part in zip(maps, found, strict=True):
            whole[i][shown] = part
    return Differences(*maps)


def largest_differences(half: FloatArray, anatomy: Anatomy) -> FloatArray:
    """Find the largest value of each map of `compare_neighbours`, without the maps: [B, 3]."""
    largest = np.empty((len(half), len(Differences._fields)), np.float32)
    for i in range(len(half)):
        found = _differences(half[i], anatomy.body[i], anatomy.disc[i])[1]
        largest[i] = [part.max() for part in found]
    return largest


def _differences(
    half: FloatArray, body: MaskArray, disc: MaskArray
) -> tuple[tuple[slice, slice], Differences]:
    """Compare neighbours in one slice, [H, W]: the part that a spine fills, and its maps."""
    longest, shown = max(half.shape), _bounds(body | disc)
    half, body, disc = half[shown], body[shown], disc[shown]
    sums = _box_sums(half, (body, disc), longest)
    np.subtract(sums[_WIDE], sums[_NEAR], out=sums[_NEAR])  # now of the neighbours alone
    area = sums[:, :, :, 1]
    means = sums[:, :, :, 0] / np.maximum(area, np.float32(1))  # [boxes, H, tissues, W]
    area, of_body, of_disc = area[:, :, 0], means[:, :, 0], means[:, :, 1]
    is_spot = body & (area[_SMALL] > _ENOUGH_OF_SPOT)
    is_body = body & (area[_MIDDLE] > _ENOUGH_OF_BODY) & (area[_NEAR] > _ENOUGH_NEIGHBOURS)
    return shown, Differences(
        spot=np.abs(of_body[_SMALL] - of_body[_MIDDLE]) * is_spot,
        body=np.abs(of_body[_MIDDLE] - of_body[_NEAR]) * is_body,
        disc=np.abs(of_disc[_SMALL] - of_disc[_WIDE]) * disc,
    )


def halve(x: FloatArray) -> FloatArray:
    """Average 2 x 2 pixels: [B, 1, S, S] -> [B, S/2, S/2]."""
    half: FloatArray = 0.25 * (
        x[:, 0, ::2, ::2] + x[:, 0, 1::2, ::2] + x[:, 0, ::2, 1::2] + x[:, 0, 1::2, 1::2]
    )
    return half


def canal_contrast(half: FloatArray, anatomy: Anatomy) -> ScoreArray:
    """Compute ln(mean canal / mean body), 0 where one of them has fewer than 5 pixels: [B]."""
    contrast = np.zeros(len(half))
    for i, (picture, *masks) in enumerate(zip(half, anatomy.canal, anatomy.body, strict=True)):
        n_canal, n_body = map(np.count_nonzero, masks)
        if min(n_canal, n_body) >= 5:
            canal, body = np.stack(masks, dtype=np.float32).reshape(2, -1) @ picture.ravel()
            contrast[i] = np.log((canal / n_canal + 1e-3) / (body / n_body + 1e-3))
    return contrast


def _bodies_side(vertebra: MaskArray, canal: MaskArray) -> MaskArray:
    """Mark the side of the canal's centre line on which more vertebra lies, [B, H, W].

    Rows without canal take the line of the nearest row that has one. Without any, all is marked.
    """
    rows, columns = np.arange(canal.shape[1]), np.arange(canal.shape[2])
    # In each row: pixels of the canal, sum of their columns.
    sums_of = np.stack([np.ones_like(columns), columns], axis=1, dtype=np.float32)
    canal_rows = canal.astype(np.float32) @ sums_of
    front = np.ones_like(vertebra)
    for i, (n_canal, sums) in enumerate(canal_rows.transpose(0, 2, 1)):
        has_canal = np.flatnonzero(n_canal)
        if len(has_canal):
            centre = sums[has_canal] / n_canal[has_canal]
            line = np.interp(rows, has_canal, centre)[:, None]
            left = columns < line
            n_left = np.count_nonzero(vertebra[i] & left)
            is_left = 2 * n_left >= np.count_nonzero(vertebra[i])
            front[i] = left if is_left else columns > line
    return front


def _box_sums(half: FloatArray, masks: Sequence[MaskArray], longest: int) -> FloatArray:
    """Sum x and 1 over each box around each pixel, inside masks: products with band matrices.

    For the part of a picture that a spine fills this is quicker than summed-area tables, and it
    sums few values at a time, so that float32 is enough. All boxes and masks go through together,
    because the calls cost more than the sums.

    Args:
        half: [H, W].
        masks: same shape; outside of one, and of the picture, everything counts as 0.
        longest: side of the whole picture; the matrices are cached by it.

    Returns:
        [boxes, H, masks, 2, W].
    """
    (height, width), (down, across) = half.shape, _bands(longest)
    planes = np.empty((height, len(masks), 2, width), np.float32)
    for i, mask in enumerate(masks):
        np.multiply(half, mask, out=planes[:, i, 0])
        planes[:, i, 1] = mask
    rows = down[:, :height, :height] @ planes.reshape(height, -1)
    sums = rows.reshape(len(_BOXES), -1, width) @ across[:, :width, :width]
    return np.asarray(sums.reshape(len(_BOXES), *planes.shape), np.float32)


@lru_cache(maxsize=4)
def _bands(side: int) -> tuple[FloatArray, FloatArray]:
    """Mark with 1 which pixels lie in the box around another: down, across, [boxes, S, S] each."""
    pixels = np.arange(side)
    distance = np.abs(pixels[:, None] - pixels)
    down, across = (
        np.stack([distance <= length // 2 for length in lengths]).astype(np.float32)
        for lengths in zip(*_BOXES, strict=True)
    )
    return down, across


def _bounds(mask: MaskArray) -> tuple[slice, slice]:
    """Find the bounding box of what is marked, [H, W]; one pixel where nothing is."""
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(s[0]), int(s[-1]) + 1) if len(s) else slice(0, 1) for s in sides)
    return rows, columns
