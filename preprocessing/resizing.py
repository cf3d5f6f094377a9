"""Resize one axis of an image with a triangle filter that averages when it shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# An ordinary slice goes through in one piece; beyond, pieces keep weights and copies small: those
# of one axis of 65535 pixels would take 230 MB.
_AT_ONCE = 1 << 20
# Larger sides are rare and their matrices large: they are not kept.
_LARGEST_CACHED_SIDE = 2048


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
        prepare: applied to each value before; some rows at a time, some of them twice.

    Returns:
        [n_out, W].
    """
    n_in = pixels.shape[0]
    if pixels.size <= _AT_ONCE and n_in <= _LARGEST_CACHED_SIDE:
        resized: FloatArray = _cached_matrix(n_in, n_out) @ (prepare(pixels) if prepare else pixels)
        return resized
    resized = np.empty((n_out, pixels.shape[1]), np.float32)
    n_at_once = _rows_at_once(pixels, n_out)
    for first in range(0, n_out, n_at_once):
        last = min(first + n_at_once, n_out)
        start, weights = _weights(n_in, n_out, first, last)
        rows = pixels[start : start + weights.shape[1]]
        np.matmul(weights, prepare(rows) if prepare else rows, out=resized[first:last])
    return resized


def _rows_at_once(pixels: FloatArray, n_out: int) -> int:
    """Choose how many rows of the result keep weights, and rows that are read, below the limit."""
    n_in = pixels.shape[0]
    by_rows = _AT_ONCE * n_out // pixels.size
    by_weights = math.isqrt(_AT_ONCE // 4 * n_out // n_in)  # they are computed in doubles
    return max(1, min(by_rows, by_weights, n_out))


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
    """Compute some rows of the matrix, without the columns before and behind that are all zero.

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


@lru_cache(maxsize=32)
def _cached_matrix(n_in: int, n_out: int) -> FloatArray:
    matrix = resize_matrix(n_in, n_out)
    matrix.flags.writeable = False
    return matrix
