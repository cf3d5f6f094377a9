"""Resize one axis of an image with a triangle filter that averages when it shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Rows of the result that are computed together. Each needs a narrow band of the input alone, so a
# few rows at a time leave out nearly all products with zero: 7 times faster than the whole matrix
# for 384 x 384, equal to the last bit or within 1e-7. 8 to 16 rows are equally fast; 48 take twice
# as long.
_ROWS_AT_ONCE = 12
# Pixels that a few rows of the result may read at once; it bounds the memory of their weights too.
_AT_ONCE = 1 << 20
# Larger sides are rare: their weights are not kept.
_LARGEST_CACHED_SIDE = 2048


@dataclass(frozen=True)
class _Band:
    """Some rows of the result: weights [last - first, rows] of the input's rows from `start` on."""

    first: int
    last: int
    start: int
    weights: FloatArray


def resize(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Resize both axes.

    Equal to torch's `interpolate(mode="bilinear", antialias=True)` within 1e-6.

    Args:
        pixels: [H, W].
        height: of the result.
        width: of the result.

    Returns:
        [height, width].
    """
    return resize_rows(resize_rows(pixels, height).T, width).T


def resize_rows(
    pixels: FloatArray, n_out: int, prepare: Callable[[FloatArray], FloatArray] | None = None
) -> FloatArray:
    """Resize the first axis.

    Args:
        pixels: [H, W].
        n_out: rows of the result.
        prepare: applied to each value first; in a large image to some rows at a time, to some
            twice.

    Returns:
        [n_out, W].
    """
    n_in, width = pixels.shape
    if prepare and pixels.size <= _AT_ONCE:
        pixels, prepare = prepare(pixels), None  # in one piece: fewer calls
    resized = np.empty((n_out, width), np.float32)
    for band in _bands(n_in, n_out, _rows_at_once(n_in, width, n_out)):
        rows = pixels[band.start : band.start + band.weights.shape[1]]
        rows = prepare(rows) if prepare else rows
        np.matmul(band.weights, rows, out=resized[band.first : band.last])
    return resized


def _rows_at_once(n_in: int, width: int, n_out: int) -> int:
    """Choose a number of rows whose weights, and the rows they read, stay below the limit."""
    by_rows = _AT_ONCE * n_out // (n_in * width)
    by_weights = math.isqrt(_AT_ONCE // 4 * n_out // n_in)  # they are computed in doubles
    return max(1, min(by_rows, by_weights, _ROWS_AT_ONCE))


def _bands(n_in: int, n_out: int, n_rows: int) -> Iterable[_Band]:
    """Split the rows of the result; ordinary sizes are remembered."""
    if n_in <= _LARGEST_CACHED_SIDE:
        return _cached_bands(n_in, n_out, n_rows)
    return _computed_bands(n_in, n_out, n_rows)


def _computed_bands(n_in: int, n_out: int, n_rows: int) -> Iterator[_Band]:
    for first in range(0, n_out, n_rows):
        last = min(first + n_rows, n_out)
        yield _Band(first, last, *_weights(n_in, n_out, first, last))


@lru_cache(maxsize=64)
def _cached_bands(n_in: int, n_out: int, n_rows: int) -> tuple[_Band, ...]:
    bands = tuple(_computed_bands(n_in, n_out, n_rows))
    for band in bands:
        band.weights.flags.writeable = False
    return bands


def resize_matrix(n_in: int, n_out: int) -> FloatArray:
    """Compute the triangle filter that resizes one axis.

    Returns:
        [n_out, n_in]; each row sums to 1.
    """
    matrix = np.zeros((n_out, n_in), np.float32)
    start, weights = _weights(n_in, n_out, 0, n_out)
    matrix[:, start : start + weights.shape[1]] = weights
    return matrix


def _weights(n_in: int, n_out: int, first: int, last: int) -> tuple[int, FloatArray]:
    """Compute some rows of the matrix, without the leading and trailing columns that are all zero.

    Returns:
        The first column that is not left out, and [last - first, columns].
    """
    scale = n_in / n_out
    support = max(scale, 1.0)
    centers = (np.arange(first, last)[:, None] + 0.5) * scale
    start = max(0, math.floor(centers[0, 0] - support))
    stop = min(n_in, math.ceil(centers[-1, 0] + support))
    distance = np.abs(np.arange(start, stop)[None, :] + 0.5 - centers) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    return start, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
