"""Bring sagittal slices into one orientation: feet down, the patient's front to the left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from preprocessing.dicom import tags, values
from preprocessing.dicom.notes import OBLIQUE, UNKNOWN_ORIENTATION, unusable
from preprocessing.dicom.values import Item

_Scalar = TypeVar("_Scalar", bound=np.generic)

Cosines = tuple[float, ...]

# Towards the patient's left, back and head (PS3.3 C.7.6.2.1.1).
_AXES = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
# Cosines are rounded: sums that differ by less are equal.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Orientation:
    """How the pixels of a file were turned: first transposed, then flipped.

    >>> turned = Orientation(is_transposed=True, flips_rows=True).apply(np.array([[1, 2, 3]]))
    >>> turned.tolist()
    [[3], [2], [1]]
    >>> Orientation(is_transposed=True, flips_rows=True).undo(turned).tolist()
    [[1, 2, 3]]
    """

    is_transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def apply(self, pixels: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """Turn pixels of the file, [H, W], into the standard orientation."""
        return np.ascontiguousarray(self._flip(pixels.T if self.is_transposed else pixels))

    def undo(self, pixels: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """Turn what lies in the standard orientation, [H, W], back into that of the file."""
        flipped = self._flip(pixels)
        return np.ascontiguousarray(flipped.T if self.is_transposed else flipped)

    def turn_pair(self, rows: float, columns: float) -> tuple[float, float]:
        """Swap what belongs to rows and to columns where they are swapped."""
        return (columns, rows) if self.is_transposed else (rows, columns)

    def _flip(self, pixels: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        return pixels[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


AS_IT_IS = Orientation()


def read_cosines(ds: Item) -> Cosines | None:
    """Read the directions of a row and of a column, six cosines together; None where unknown.

    Where ImageOrientationPatient is missing or malformed, PatientOrientation names the axes that
    are nearest to them (PS3.3 C.7.6.1.1.1).
    """
    return _image_orientation(ds) or _patient_orientation(ds)


def read_orientation(ds: Item) -> tuple[Orientation, list[str]]:
    """Find how a slice is turned into the standard orientation.

    Returns:
        No turn where the orientation is unknown or not sagittal; and notes that say so.
    """
    cosines = _image_orientation(ds)
    is_malformed = not cosines and values.text(ds, tags.IMAGE_ORIENTATION_PATIENT)
    notes = [unusable("ImageOrientationPatient")] if is_malformed else []
    cosines = cosines or _patient_orientation(ds)
    if cosines is None:
        return AS_IT_IS, [*notes, UNKNOWN_ORIENTATION]
    orientation = to_standard(cosines)
    return (orientation, notes) if orientation else (AS_IT_IS, [*notes, OBLIQUE])


def _image_orientation(ds: Item) -> Cosines | None:
    """Return ImageOrientationPatient (PS3.3 C.7.6.2.1.1) where it is two perpendicular units."""
    cosines = values.decimals(ds, tags.IMAGE_ORIENTATION_PATIENT, 7)
    # Also false for NaN.
    if cosines is None or len(cosines) != 6 or not all(abs(cosine) <= 1.01 for cosine in cosines):
        return None
    row, column = cosines[:3], cosines[3:]
    lengths = (math.hypot(*row), math.hypot(*column))
    product = sum(a * b for a, b in zip(row, column, strict=True))
    if max(abs(length - 1) for length in lengths) > 0.05 or abs(product) > 0.05:
        return None
    return tuple(cosines)


def _patient_orientation(ds: Item) -> Cosines | None:
    first = [letters[0] for letters in values.codes(ds, tags.PATIENT_ORIENTATION, 3)]
    if len(first) != 2 or not all(letter in _AXES for letter in first):
        return None
    row, column = (_AXES[letter] for letter in first)
    return None if any(a and b for a, b in zip(row, column, strict=True)) else row + column


def to_standard(cosines: Cosines) -> Orientation | None:
    """Find the turn after which rows run to the patient's back, and columns to the feet.

    Args:
        cosines: of the direction of a row, and of a column.

    Returns:
        One of eight turns; None if the slice is more than 45 degrees from sagittal.
    """
    _, row_y, row_z, _, column_y, column_z = cosines
    # Of two perpendicular units the normal is one, too: its square is 1/2 at 45 degrees.
    if (row_y * column_z - row_z * column_y) ** 2 < 0.5 - _ROUNDING:
        return None
    upright, lying = abs(row_y) + abs(column_z), abs(row_z) + abs(column_y)
    if lying > upright + _ROUNDING:
        return Orientation(True, flips_rows=row_z > 0, flips_columns=column_y < 0)
    return Orientation(False, flips_rows=column_z > 0, flips_columns=row_y < 0)
