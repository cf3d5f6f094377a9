"""Notice what surrounds a picture without being declared: a frame of one value, or of NaN."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# Fewer pixels than this share are single faults, not the outside of a picture.
_SMALLEST_SHARE = 0.01
# Of the range of values: air and masked background lie nearer than this to the darkest tissue.
_GAP = 0.1
_SAMPLES_ALONG_A_SIDE = 48
_BANDS_IN_A_SIDE = 32  # no slice of SPIDER has dark bands of this width at more than two sides
_SMALLEST_SIDE = 8  # in a smaller picture every line is border


def has_undeclared_frame(pixels: FloatArray, low: float, high: float) -> bool:
    """Return whether one value that is unlike the picture's own fills some of its border.

    It is the value of a corner. It makes up a band at each side; or two sides, and is not dark, as
    air is; or a part of the picture, and no other value is near it.

    Args:
        pixels: [H, W], finite.
        low: the smallest of them.
        high: the largest of them.
    """
    gap = (high - low) * _GAP
    if not gap > 0 or min(pixels.shape) < _SMALLEST_SIDE:
        return False
    rows, columns = (max(2, side // _BANDS_IN_A_SIDE) for side in pixels.shape)
    bands = (pixels[:rows], pixels[-rows:], pixels[:, :columns], pixels[:, -columns:])
    if all((band == pixels[0, 0]).all() for band in bands):
        return True
    last = -1
    sides = (pixels[0], pixels[last], pixels[:, 0], pixels[:, last])
    every = [max(1, side // _SAMPLES_ALONG_A_SIDE) for side in pixels.shape]
    sample = pixels[:: every[0], :: every[1]].astype(np.float64)
    for value in {float(pixels[row, column]) for row in (0, last) for column in (0, last)}:
        if value > low + gap:
            n_sides = sum(bool((side == value).all()) for side in sides if side[0] == value)
            if n_sides >= 2:
                return True
        distance = np.abs(sample - value)
        is_alone = np.count_nonzero(distance < gap) == np.count_nonzero(distance == 0)
        if is_alone and np.count_nonzero(distance == 0) >= _SMALLEST_SHARE * sample.size:
            return True
    return False


def is_outside(holes: BoolArray) -> bool:
    """Return whether holes surround a picture, rather than lie in it.

    From each there is a way to the edge, along a row or a column, through holes alone.

    Args:
        holes: pixels without a value, [H, W].
    """
    if holes.all() or holes.mean() < _SMALLEST_SHARE:
        return False
    reached = np.zeros_like(holes)
    for axis in (0, 1):
        reached |= np.logical_and.accumulate(holes, axis)
        backwards = np.flip(np.logical_and.accumulate(np.flip(holes, axis), axis), axis)
        reached |= backwards
    return bool((reached == holes).all())
