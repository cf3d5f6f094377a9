"""Turn a slice into the model's input: window, resize, pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from preprocessing.resizing import resize_rows
from preprocessing.window import window

if TYPE_CHECKING:
    from preprocessing.dicom.reader import Slice

FloatArray = npt.NDArray[np.float32]

_SMALLEST_SIZE, _LARGEST_SIZE = 8, 1024
# Between these a window is a float32 that one can divide by, and differences stay finite.
_SAFE_RANGE = (1e-30, 1e30)


@dataclass(frozen=True)
class InputSpec:
    """How a slice becomes the model's input; saved with the model, so that it never differs."""

    size: int = 128  # vertebrae and discs stay visible: about 2 mm a pixel on a 250 mm field
    low_percentile: float = 0.5  # air and noise floor
    high_percentile: float = 99.5  # fat near the coil and single hot pixels

    def __post_init__(self) -> None:
        """Refuse sizes and percentiles out of range."""
        if not _SMALLEST_SIZE <= self.size <= _LARGEST_SIZE:
            raise ValueError(
                f"size must be {_SMALLEST_SIZE} to {_LARGEST_SIZE} pixels, not {self.size}"
            )
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ValueError(
                "percentiles must satisfy 0 <= low_percentile < high_percentile <= 100, not "
                f"{self.low_percentile} and {self.high_percentile}"
            )


def to_input(image: Slice, spec: InputSpec) -> FloatArray:
    """Scale the intensity of a slice and fit it into a square of the model's size.

    Args:
        image: a slice in modality units, [H, W], finite.
        spec: the model's input.

    Returns:
        [1, S, S] in [0, 1], aspect preserved in millimetres, centred, zero around; all zero for a
        constant image.
    """
    low, high = window(image.pixels, spec.low_percentile, spec.high_percentile)
    height, width = fitted_shape(image.pixels.shape, image.spacing_mm, spec.size)
    by_rows = resize_rows(image.pixels, height, lambda rows: scale_intensity(rows, low, high))
    resized = resize_rows(by_rows.T, width).T
    x = np.zeros((1, spec.size, spec.size), np.float32)
    top, left = (spec.size - height) // 2, (spec.size - width) // 2
    # Weights sum to 1 up to rounding: hold the promise of [0, 1].
    np.clip(resized, 0.0, 1.0, out=x[0, top : top + height, left : left + width])
    return x


def scale_intensity(pixels: FloatArray, low: float, high: float) -> FloatArray:
    """Map a window to [0, 1] and clip.

    Args:
        pixels: [H, W], finite.
        low: becomes 0.
        high: becomes 1.

    Returns:
        [H, W] in [0, 1]; zeros for an empty window.
    """
    if not high > low:
        return np.zeros_like(pixels)
    if not _SAFE_RANGE[0] < high - low < _SAFE_RANGE[1]:
        return np.clip((pixels.astype(np.float64) - low) / (high - low), 0, 1).astype(np.float32)
    with np.errstate(over="ignore"):  # a pixel far outside the window may become infinite, and 1
        scaled = pixels - np.float32(low)
        scaled /= np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def fitted_shape(
    shape: tuple[int, ...], spacing_mm: tuple[float, float], size: int
) -> tuple[int, int]:
    """Fit the slice's physical extent into a square of `size` pixels, keeping its aspect.

    Args:
        shape: (rows, columns).
        spacing_mm: between the centres of rows and of columns.
        size: of the square.

    Returns:
        (height, width) in pixels, the larger of which is `size`.
    """
    height_mm, width_mm = shape[0] * spacing_mm[0], shape[1] * spacing_mm[1]
    scale = size / max(height_mm, width_mm)
    return max(1, round(height_mm * scale)), max(1, round(width_mm * scale))
