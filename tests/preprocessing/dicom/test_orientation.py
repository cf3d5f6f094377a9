"""However the file has turned a slice, it is the same picture."""

from __future__ import annotations

from math import cos, radians, sin
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preprocessing import InputSpec, read_frames, read_image, to_input
from preprocessing.dicom.notes import OBLIQUE, UNKNOWN_ORIENTATION, unusable
from preprocessing.dicom.orientation import Orientation, to_standard
from tests.dicom_files import make_dicom, noise

STANDARD = noise((6, 5))
ROW, COLUMN = (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)  # to the back, to the feet
LEFT = (1.0, 0.0, 0.0)
# The directions of a row and of a column, as each plane has them by custom.
PLANES = {"sagittal": (ROW, COLUMN), "coronal": (LEFT, COLUMN), "axial": (LEFT, ROW)}
# As far from each plane as a slice can be.
DIAGONAL = (*np.array([1, -1, 0]) / np.sqrt(2), *np.array([1, 1, -2]) / np.sqrt(6))
SPACING = [2.0, 0.5]
TURNS = [
    Orientation(is_transposed, flips_rows, flips_columns)
    for is_transposed in (False, True)
    for flips_rows in (False, True)
    for flips_columns in (False, True)
]


def negative(axis: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-cosine for cosine in axis)


def as_filed(turn: Orientation, plane: str = "sagittal") -> dict[str, Any]:
    """Describe a file whose slice is brought upright by a turn."""
    row: tuple[float, ...]
    column: tuple[float, ...]
    row, column = PLANES[plane]
    row = negative(row) if turn.flips_columns else row
    column = negative(column) if turn.flips_rows else column
    cosines = column + row if turn.is_transposed else row + column
    spacing = SPACING[::-1] if turn.is_transposed else SPACING
    return {"ImageOrientationPatient": list(cosines), "PixelSpacing": spacing}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("turn", TURNS, ids=repr)
def test_each_of_the_eight_turns_gives_the_same_slice_and_is_undone(
    turn: Orientation, plane: str
) -> None:
    filed = turn.undo(STANDARD)
    image = read_image(make_dicom(filed, **as_filed(turn, plane)))
    np.testing.assert_array_equal(image.pixels, STANDARD)
    assert image.spacing_mm == (2.0, 0.5)
    assert (image.orientation, image.notes) == (turn, ())
    np.testing.assert_array_equal(image.orientation.undo(image.pixels), filed)
    upright = read_image(make_dicom(STANDARD, **as_filed(Orientation())))
    spec = InputSpec(size=16)
    np.testing.assert_array_equal(to_input(image, spec), to_input(upright, spec))


def test_a_mirrored_picture_is_turned_by_hand() -> None:
    # Rows run to the front, so 1 is the back; columns run to the head, so the first row is low.
    image = read_image(
        make_dicom(
            np.array([[1, 2], [3, 4]], np.uint16), ImageOrientationPatient=[0, -1, 0, 0, 0, 1]
        )
    )
    assert image.pixels.tolist() == [[4, 3], [2, 1]]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (["P", "F"], Orientation()),
        (["A", "F"], Orientation(flips_columns=True)),
        (["AL", "HP"], Orientation(flips_rows=True, flips_columns=True)),
        (["F", "P"], Orientation(is_transposed=True)),
        (["H", "A"], Orientation(True, flips_rows=True, flips_columns=True)),
    ],
)
def test_letters_name_the_orientation_where_cosines_are_missing(
    orientation: list[str], turn: Orientation
) -> None:
    image = read_image(make_dicom(STANDARD, PatientOrientation=orientation))
    assert (image.orientation, image.notes) == (turn, ())
    assert image.facts.image_orientation_patient is not None


def test_cosines_decide_where_letters_contradict_them() -> None:
    changes: dict[str, Any] = {
        "ImageOrientationPatient": [*ROW, *COLUMN],
        "PatientOrientation": ["A", "H"],
    }
    assert read_image(make_dicom(STANDARD, **changes)).orientation == Orientation()


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, (UNKNOWN_ORIENTATION,)),
        ({"PatientOrientation": ["", ""]}, (UNKNOWN_ORIENTATION,)),
        ({"PatientOrientation": ["P", "A"]}, (UNKNOWN_ORIENTATION,)),
        ({"PatientOrientation": ["CR", "V"]}, (UNKNOWN_ORIENTATION,)),
        (
            {"ImageOrientationPatient": [0, 1, 0, 0, 1, 0]},
            (unusable("ImageOrientationPatient"), UNKNOWN_ORIENTATION),
        ),
        (
            {"ImageOrientationPatient": [0, 1, 0], "PatientOrientation": ["P", "F"]},
            (unusable("ImageOrientationPatient"),),
        ),
        ({"ImageOrientationPatient": [f"{cosine:.6f}" for cosine in DIAGONAL]}, (OBLIQUE,)),
    ],
)
def test_what_is_not_turned_is_said(changes: dict[str, Any], notes: tuple[str, ...]) -> None:
    image = read_image(make_dicom(STANDARD, **changes))
    np.testing.assert_array_equal(image.pixels, STANDARD)
    assert (image.orientation, image.notes) == (Orientation(), notes)


def turned_out(degrees: float) -> tuple[float, ...]:
    """Turn the mirrored sagittal plane about the long axis of the body."""
    return (sin(radians(degrees)), -cos(radians(degrees)), 0.0, *COLUMN)


def turned_within(degrees: float) -> tuple[float, ...]:
    """Turn the sagittal slice within its plane."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return (0.0, c, s, 0.0, s, -c)


@pytest.mark.parametrize(("degrees", "is_sagittal"), [(0, 1), (30, 1), (45, 1), (46, 0), (80, 0)])
def test_a_slice_belongs_to_the_plane_within_45_degrees(degrees: int, is_sagittal: int) -> None:
    # Its rows run to the front, and to the left: in a coronal slice that is as it should be.
    assert to_standard(turned_out(degrees)) == Orientation(flips_columns=bool(is_sagittal))


@pytest.mark.parametrize(
    ("degrees", "turn"),
    [
        (44, Orientation()),
        (45, Orientation()),
        (46, Orientation(True, flips_rows=True)),
        (134, Orientation(True, flips_rows=True)),
        (180, Orientation(flips_rows=True, flips_columns=True)),
        (-90, Orientation(True, flips_columns=True)),
    ],
)
def test_within_the_plane_the_nearest_quarter_turn_is_taken(
    degrees: int, turn: Orientation
) -> None:
    assert to_standard(turned_within(degrees)) == turn


def test_frames_of_an_enhanced_object_are_turned_each_by_its_own_orientation() -> None:
    def group(cosines: tuple[float, ...]) -> Dataset:
        plane, whole = Dataset(), Dataset()
        plane.ImageOrientationPatient = list(cosines)
        whole.PlaneOrientationSequence = Sequence([plane])
        return whole

    data = make_dicom(
        np.stack([STANDARD, STANDARD[::-1], STANDARD]),
        PerFrameFunctionalGroupsSequence=Sequence(
            [group(ROW + COLUMN), group(ROW + negative(COLUMN)), group(DIAGONAL)]
        ),
    )
    frames = list(read_frames(data))
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, STANDARD)
    assert [frame.notes for frame in frames] == [(), (), (OBLIQUE,)]
