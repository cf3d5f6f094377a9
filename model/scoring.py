"""Slices and their reconstructions -> anomaly scores and residual maps. Plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def residual_map(x: FloatArray, x_hat: FloatArray) -> FloatArray:
    """Square the reconstruction error of each pixel.

    Args:
        x: slices in [0, 1], [B, 1, H, W].
        x_hat: their reconstructions, same shape.

    Returns:
        [B, 1, H, W]; 0 where a pixel is rebuilt exactly.

    Raises:
        ValueError: the shapes differ.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"slices {x.shape} and reconstructions {x_hat.shape} differ in shape")
    squared: FloatArray = np.square(x - x_hat)
    return squared


def reconstruction_mse(x: FloatArray, x_hat: FloatArray) -> NDArray[np.float64]:
    """Average the residual map over each slice; padding counts, as it does in training.

    Args:
        x: slices in [0, 1], [B, 1, H, W].
        x_hat: their reconstructions, same shape.

    Returns:
        [B], >= 0, summed in float64 so that a slice's place in a batch cannot change its score.
    """
    mse: NDArray[np.float64] = residual_map(x, x_hat).mean(axis=(1, 2, 3), dtype=np.float64)
    return mse
