"""DICOM files made in memory, for tests of every package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.preprocessing.dicom_files import native as make_dicom

__all__ = ["make_dicom", "noise"]


def noise(shape: tuple[int, ...], seed: int = 1) -> NDArray[np.uint16]:
    """Pixels of every value from 0 to 1000."""
    return np.random.default_rng(seed).integers(0, 1001, shape, dtype=np.uint16)
