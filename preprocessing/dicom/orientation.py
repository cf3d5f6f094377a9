"""Bring slices into the one orientation that their plane has by custom.

Sagittal: feet down, the patient's front to the left. Coronal: feet down, the patient's right to the
left. Axial: back down, the patient's right to the left.
"""

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
# The axes along which the rows and the columns of a plane run, each with its sense.
_STANDARD = (
    ((1, 1), (2, -1)),  # sagittal: to the back, to the feet
    ((0, 1), (2, -1)),  # coronal: to the left, to the feet
    ((0, 1), (1, 1)),  # axial: to the left, to the back
)
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
        No turn where the orientation is unknown or oblique; and notes that say so.
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
    """Find the turn after which a row and a column run as the plane of a slice has it by custom.

    Args:
        cosines: of the direction of a row, and of a column.

    Returns:
        One of eight turns; None if the slice is more than 45 degrees from each of the three planes.
    """
    row, column = cosines[:3], cosines[3:]
    for (x, x_sign), (y, y_sign) in _STANDARD:
        # That of the normal across the plane: of two perpendicular units it is one, too, and its
        # square is 1/2 at 45 degrees.
        across = row[x] * column[y] - row[y] * column[x]
        if across * across >= 0.5 - _ROUNDING:
            is_transposed = abs(row[y]) + abs(column[x]) > abs(row[x]) + abs(column[y]) + _ROUNDING
            down, right = (row, column) if is_transposed else (column, row)
            return Orientation(is_transposed, down[y] * y_sign < 0, right[x] * x_sign < 0)
    return None
