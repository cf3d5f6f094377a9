"""Compute two percentiles of an image by counting, without a copy of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_Counts = npt.NDArray[np.intp]

# 16-bit values: their counts take 1 MB at most.
_LARGEST_COUNTED = 65535.0
# One block for an ordinary slice; a 4096 x 4096 one would take 200 MB at once.
_AT_ONCE = 1 << 18
# Up to here sorting in part is as quick as counting bits, and its copy is small.
_LARGEST_SORTED = 1 << 20
_SIGN_BIT = np.uint32(1 << 31)


def percentiles(pixels: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Compute two percentiles as `numpy.percentile` does, by linear interpolation.

    Integers, which most slices hold, are counted: 0.4 ms for 384 x 384 against 1.1 ms. So are the
    bits of the floats of a large image, which `numpy.percentile` would copy.

    Args:
        pixels: [H, W], finite.
        low: 0 to 100.
        high: 0 to 100.
    """
    flat = pixels.ravel()
    lowest, highest = float(flat.min()), float(flat.max())
    counts = _count_integers(flat, lowest, highest)
    if counts is None and flat.size <= _LARGEST_SORTED:
        at_low, at_high = np.percentile(flat, (low, high))
        return float(at_low), float(at_high)
    places = [(flat.size - 1) * percent / 100 for percent in (low, high)]
    ranks = [rank for place in places for rank in (math.floor(place), math.ceil(place))]
    if counts is not None:
        found = [lowest + at for at in np.searchsorted(np.cumsum(counts), ranks, side="right")]
    else:
        found = _select(flat, ranks)
    below_low, above_low, below_high, above_high = map(float, found)
    return (
        below_low + (above_low - below_low) * (places[0] % 1),
        below_high + (above_high - below_high) * (places[1] % 1),
    )


def _blocks(flat: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, flat.size, _AT_ONCE):
        yield flat[start : start + _AT_ONCE]


def _count_integers(flat: FloatArray, lowest: float, highest: float) -> _Counts | None:
    """Count each value from lowest to highest; None if not all are integers of 16 bit."""
    if max(-lowest, highest) > _LARGEST_COUNTED or not lowest.is_integer():
        return None
    counts = np.zeros(int(highest - lowest) + 1, np.intp)
    for block in _blocks(flat):
        integers = block.astype(np.int32)
        if (integers != block).any():
            return None
        counts += np.bincount(integers - int(lowest), minlength=counts.size)
    return counts


def _select(flat: FloatArray, ranks: Sequence[int]) -> list[float]:
    """Find the values with these ranks, counted from 0, by the two halves of their bits."""
    upper = np.zeros(1 << 16, np.intp)
    for block in _blocks(flat):
        upper += np.bincount(_ordered_bits(block) >> 16, minlength=upper.size)
    ends = np.cumsum(upper)
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(1 << 16, np.intp) for half in halves}
    for block in _blocks(flat):
        bits = _ordered_bits(block)
        for half, counts in lower.items():
            within = bits[bits >> 16 == half] & np.uint32(0xFFFF)
            counts += np.bincount(within, minlength=counts.size)
    found = []
    for rank, half in zip(ranks, map(int, halves), strict=True):
        before = int(ends[half] - upper[half])
        low_bits = int(np.searchsorted(np.cumsum(lower[half]), rank - before, side="right"))
        found.append(_value(half << 16 | low_bits))
    return found


def _ordered_bits(block: FloatArray) -> npt.NDArray[np.uint32]:
    """Turn floats into integers of the same order: flip all bits of negatives, else the sign."""
    bits = block.view(np.uint32)
    return np.where(bits & _SIGN_BIT, ~bits, bits | _SIGN_BIT)


def _value(ordered: int) -> float:
    """Undo `_ordered_bits` for one integer."""
    sign = int(_SIGN_BIT)
    bits = ordered ^ sign if ordered & sign else ~ordered & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
