"""Choose the window, the values that become 0 and 1: two percentiles, computed without sorting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_Counts = npt.NDArray[np.intp]
_Ranks = tuple[int, int]

# 16-bit values: their counts take 1 MB at most.
_LARGEST_COUNTED = 65535.0
# One block for an ordinary slice; a 4096 x 4096 one would take 200 MB at once.
_AT_ONCE = 1 << 18
# Up to here masks and the values beyond a guess are small; above, values are counted by blocks.
_ORDINARY = 1 << 20
# Pixels that the guess is made from; with 1024 or 8192 it takes as long.
_SAMPLE = 2048
# Sorting more of the pixels than this takes longer than partitioning all of them.
_SMALL_SHARE = 0.1
_SIGN_BIT = np.uint32(1 << 31)


def window(
    pixels: FloatArray, low_percentile: float, high_percentile: float
) -> tuple[float, float]:
    """Choose the values that become 0 and 1: two percentiles.

    Percentiles tolerate single hot pixels, which darken the whole image under min-max scaling. If
    both are the same value, but the image is not constant, the window is from minimum to maximum.

    Args:
        pixels: [H, W], finite.
        low_percentile: becomes 0.
        high_percentile: becomes 1.
    """
    low, high = percentiles(pixels, low_percentile, high_percentile)
    if not high > low:
        low, high = float(pixels.min()), float(pixels.max())
    return low, high


def percentiles(pixels: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Compute two percentiles as `numpy.percentile` does, by linear interpolation.

    An ordinary slice takes 0.1 ms for 384 x 384 pixels, `numpy.percentile` 1.1 ms: a guess from
    some of the pixels leaves 2 % of them to sort. For a large image, which may be crafted to
    make the guess bad, the values or their bits are counted.

    Args:
        pixels: [H, W], finite.
        low: 0 to 100.
        high: 0 to 100.
    """
    flat = pixels.ravel()
    places = [(flat.size - 1) * percent / 100 for percent in (low, high)]
    ranks = [(math.floor(place), math.ceil(place)) for place in places]
    if flat.size <= _ORDINARY:
        sample = np.sort(flat[:: max(1, flat.size // _SAMPLE) | 1])  # odd: not along one column
        found = [_beyond_guess(flat, sample, pair) for pair in ranks]
    else:
        found = _by_counting(flat, ranks)
    at_low, at_high = (
        below + (above - below) * (place % 1)
        for (below, above), place in zip(found, places, strict=True)
    )
    return at_low, at_high


def _beyond_guess(flat: FloatArray, sample: FloatArray, ranks: _Ranks) -> tuple[float, float]:
    """Find the values with two neighbouring ranks among those on one side of a guessed value.

    Args:
        flat: all values.
        sample: some of them, ascending; how well they represent the rest affects the speed alone,
            and where they do not, `numpy.partition` finds the values.
        ranks: counted from 0, ascending.
    """
    share = ranks[0] / flat.size
    # Three standard deviations of a sample's quantile towards the middle.
    margin = 3 * math.sqrt(sample.size * share * (1 - share)) + 2
    if share > 0.5:
        guess = sample[max(0, math.floor(share * sample.size - margin))]
        far = flat[flat > guess]
        first = flat.size - far.size
    else:
        guess = sample[min(sample.size - 1, math.ceil(share * sample.size + margin))]
        far, first = flat[flat < guess], 0
    is_small = far.size <= flat.size * _SMALL_SHARE  # else the sample was not representative
    if is_small and first <= ranks[0] and ranks[1] < first + far.size:
        far.sort()
        return float(far[ranks[0] - first]), float(far[ranks[1] - first])
    n_below = np.count_nonzero(flat < guess)
    if n_below <= ranks[0] and ranks[1] < n_below + np.count_nonzero(flat == guess):
        return float(guess), float(guess)  # a dark background is one value
    at = np.partition(flat, ranks)
    return float(at[ranks[0]]), float(at[ranks[1]])


def _by_counting(flat: FloatArray, ranks: Sequence[_Ranks]) -> list[tuple[float, float]]:
    """Find the values with these pairs of ranks without a copy of a large image."""
    wanted = [rank for pair in ranks for rank in pair]
    lowest, highest = float(flat.min()), float(flat.max())
    counts = _count_integers(flat, lowest, highest)
    if counts is None:
        found = _select(flat, wanted)
    else:
        ends = np.cumsum(counts)
        found = [lowest + float(at) for at in np.searchsorted(ends, wanted, side="right")]
    return list(zip(found[::2], found[1::2], strict=True))


def _blocks(flat: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, flat.size, _AT_ONCE):
        yield flat[start : start + _AT_ONCE]


def _count_integers(flat: FloatArray, lowest: float, highest: float) -> _Counts | None:
    """Count each value from lowest to highest; None if not all are 16-bit integers."""
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
