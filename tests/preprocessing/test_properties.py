"""Any bytes and any change of a valid file give slices or a known error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from preprocessing import Slice, read_image, to_input
from tests.dicom_files import NATIVE, encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.preprocessing.properties import SMALL, assert_slices_or_error, ordinary

FACTS = read_image(make_dicom(np.zeros((2, 2), np.uint8))).facts
NATIVE_FILES = [make_dicom(RAMP, syntax, RescaleSlope="2") for syntax in NATIVE.values()]
NATIVE_FILES += [make_dicom(np.stack([RAMP, RAMP]).astype(np.float32))]
COMPRESSED_FILES = [encapsulated(RAMP, syntax, [frame]) for syntax, frame in LOSSLESS.values()]
HEADER = NATIVE_FILES[1][:140]

Change = tuple[int, int, bytes]


def changes(files: list[bytes]) -> st.SearchStrategy[tuple[bytes, list[Change]]]:
    """Draw a file and cuts (position, bytes removed, bytes inserted) in it."""
    change = st.tuples(
        st.integers(0, max(map(len, files))),
        st.integers(0, 12),
        st.binary(max_size=12) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xfe\xff\xdd\xe0" * 2]),
    )
    return st.tuples(st.sampled_from(files), st.lists(change, min_size=1, max_size=4))


def mutated(file: bytes, cuts: list[Change]) -> bytes:
    for position, removed, inserted in cuts:
        file = file[:position] + inserted + file[position + removed :]
    return file


@ordinary
@given(st.binary(max_size=600))
def test_any_bytes_are_a_slice_or_a_known_error(data: bytes) -> None:
    assert_slices_or_error(data)


@ordinary
@given(st.binary(max_size=600))
def test_any_bytes_after_the_prefix_are_a_slice_or_a_known_error(data: bytes) -> None:
    assert_slices_or_error(HEADER + data)


@settings(ordinary, max_examples=400)
@given(changes(NATIVE_FILES))
def test_any_change_of_a_native_file_is_a_slice_or_a_known_error(
    case: tuple[bytes, list[Change]],
) -> None:
    assert_slices_or_error(mutated(*case))


@settings(ordinary, max_examples=100)
@given(changes(COMPRESSED_FILES))
def test_any_change_of_a_compressed_file_is_a_slice_or_a_known_error(
    case: tuple[bytes, list[Change]],
) -> None:
    assert_slices_or_error(mutated(*case))


@pytest.mark.heavy
@settings(ordinary, max_examples=20_000)
@given(changes(NATIVE_FILES + COMPRESSED_FILES))
def test_thousands_of_changes_are_slices_or_known_errors(case: tuple[bytes, list[Change]]) -> None:
    assert_slices_or_error(mutated(*case))


@ordinary
@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=40),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    st.floats(0.01, 20),
    st.floats(0.01, 20),
)
def test_any_finite_slice_becomes_an_input_between_0_and_1(
    pixels: np.ndarray[tuple[int, int], np.dtype[np.float32]], row_mm: float, column_mm: float
) -> None:
    x = to_input(Slice(pixels, (row_mm, column_mm), 1, 1, FACTS), SMALL)
    assert x.shape == (1, 16, 16)
    assert 0 <= x.min() <= x.max() <= 1


@ordinary
@given(
    arrays.arrays(np.int16, (5, 7)),
    st.sampled_from(list(NATIVE.values())),
    st.booleans(),
)
def test_any_signed_image_keeps_its_values_in_every_native_syntax(
    pixels: np.ndarray[tuple[int, int], np.dtype[np.int16]], syntax: str, is_bare: bool
) -> None:
    data = make_dicom(pixels, syntax)[128 if is_bare else 0 :]
    np.testing.assert_array_equal(read_image(data).pixels, pixels)
