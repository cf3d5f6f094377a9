"""Modality LUT, padding of integers and floats, and what surrounds a picture undeclared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preprocessing import read_image
from preprocessing.dicom.notes import FRAME, NAN_PADDING, UNKNOWN_ORIENTATION, unusable
from preprocessing.errors import DamagedImage, NotFinite
from tests.dicom_files import NATIVE, make_dicom, noise
from training.phantoms.phantom import phantom_slice

FLOATS = [np.float32, np.float64]
PADDING: dict[Any, str] = {np.float32: "FloatPixelPadding", np.float64: "DoubleFloatPixelPadding"}
LOWEST = float(np.finfo(np.float32).min)


def read(pixels: npt.NDArray[Any], **changes: Any) -> tuple[list[list[float]], tuple[str, ...]]:
    image = read_image(make_dicom(pixels, **changes))
    return image.pixels.tolist(), tuple(note for note in image.notes if note != UNKNOWN_ORIENTATION)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
@pytest.mark.parametrize("value", [-9999.0, np.nan, np.inf, LOWEST])
def test_declared_padding_of_float_pixels_becomes_the_lowest_of_the_rest(
    syntax: str, dtype: type, value: float
) -> None:
    pixels: npt.NDArray[Any] = np.array([[value, 5], [7.5, value]], dtype)
    image = read_image(make_dicom(pixels, syntax, **{PADDING[dtype] + "Value": value}))
    assert image.pixels.tolist() == [[5, 5], [7.5, 5]]


def test_padding_beyond_float32_is_padding() -> None:
    pixels = np.array([[-1e308, 5], [7, 9]])
    assert read(pixels, DoubleFloatPixelPaddingValue=-1e308)[0] == [[5, 5], [7, 9]]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_range_of_float_padding_is_padding(dtype: type) -> None:
    pixels: npt.NDArray[Any] = np.array([[-10, -8, -7.5], [-7, 2, 3]], dtype)
    name = PADDING[dtype]
    changes = {name + "Value": -10.0, name + "RangeLimit": -7.5}
    assert read(pixels, **changes)[0] == [[-7, -7, -7], [-7, 2, 3]]


def test_padding_of_a_float_monochrome1_image_is_dark_too() -> None:
    changes: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1"}
    pixels = np.array([[np.nan, 7, 9]], np.float32)
    # Inverted: 9 is dark, 7 is 2 above it.
    found, _ = read(pixels, FloatPixelPaddingValue=np.nan, **changes)
    assert found[0][0] == found[0][2] == found[0][1] - 2


def test_an_image_of_declared_nan_alone_is_constant() -> None:
    pixels = np.full((3, 3), np.nan, np.float32)
    assert read(pixels, FloatPixelPaddingValue=np.nan)[0] == [[0] * 3] * 3


def picture(dtype: type = np.float32) -> npt.NDArray[Any]:
    return noise((40, 40)).astype(dtype) + 50


def test_undeclared_nan_around_a_picture_is_padding_and_said() -> None:
    turned = picture()
    rows, columns = np.indices(turned.shape)
    turned[rows + columns < 12] = np.nan  # a corner, as of a turned field of view
    turned[:3] = np.nan
    expected = np.where(np.isnan(turned), np.nanmin(turned), turned)
    found, notes = read(turned)
    np.testing.assert_array_equal(found, expected)
    assert notes == (NAN_PADDING,)


@pytest.mark.parametrize("place", [np.s_[10:20, 10:20], np.s_[0, 0], np.s_[:, :]], ids=str)
def test_undeclared_nan_in_a_picture_is_refused(place: Any) -> None:
    spoilt = picture()
    spoilt[place] = np.nan
    with pytest.raises(NotFinite):
        read(spoilt)
    spoilt[:5] = np.nan
    spoilt[place] = np.inf
    with pytest.raises(NotFinite):
        read(spoilt)


def test_nan_that_is_not_the_declared_padding_is_refused() -> None:
    spoilt = picture()
    spoilt[20, 20] = np.nan
    with pytest.raises(NotFinite):
        read(spoilt, FloatPixelPaddingValue=-1.0)


FRAMED: dict[str, Any] = {
    "white": (np.s_[[0, -1], :], 3000),
    "grey": (np.s_[[0, 1, -1], :], 500),
    "two sides": (np.s_[:, [0, -1]], 1050),
    "far below": (np.s_[:, :4], -2000),
    "a corner far below": (np.s_[:8, :10], -9999),
    "far above": (np.s_[-6:, -6:], 30000),
}


@pytest.mark.parametrize(("place", "value"), FRAMED.values(), ids=FRAMED)
def test_an_undeclared_frame_of_one_value_is_said(place: Any, value: int) -> None:
    framed = picture(np.int16)
    framed[place] = value
    found, notes = read(framed)
    np.testing.assert_array_equal(found, framed)
    assert notes == (FRAME,)
    assert read(framed, PixelPaddingValue=value)[1] == ()


def test_a_dark_band_at_all_four_sides_is_a_frame() -> None:
    framed = np.pad(picture(np.int16), 3)
    assert read(framed)[1] == (FRAME,)


@pytest.mark.parametrize("value", [0, 40])
def test_a_dark_border_is_air(value: int) -> None:
    masked = picture(np.int16)
    masked[:6] = masked[:, -3:] = value
    assert read(masked)[1] == ()


def test_usual_pictures_have_no_undeclared_frame() -> None:
    assert read(picture(np.uint16))[1] == ()
    assert read(np.full((9, 9), 7, np.uint16))[1] == ()
    for number in range(8):
        assert phantom_slice(5, number).notes == ()


def lut(
    descriptor: list[int], data: bytes, vr: str = "US", *, is_big: bool = False
) -> dict[str, Any]:
    item = Dataset()
    item.add_new(0x00283002, vr, descriptor)
    item.add_new(0x00283004, "LO", "US")
    entries = np.frombuffer(data, "<u2")
    item.add_new(0x00283006, "OW", entries.byteswap().tobytes() if is_big else data)
    return {"ModalityLUTSequence": Sequence([item])}


WORDS = np.array([10, 20, 40, 80], "<u2").tobytes()


@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_the_modality_lut_is_applied_in_place_of_the_slope(syntax: str) -> None:
    # Stored 5 is the first entry; what lies beyond the table has its ends.
    pixels = np.array([[0, 5, 6], [7, 8, 99]], np.uint16)
    changes = lut([4, 5, 16], WORDS, is_big=syntax == NATIVE["big endian"])
    image = read_image(make_dicom(pixels, syntax, RescaleSlope="7", **changes))
    assert image.pixels.tolist() == [[10, 10, 20], [40, 80, 80]]


def test_the_first_entry_of_a_signed_image_is_signed() -> None:
    pixels = np.array([[-3, -2, -1, 0]], np.int16)
    assert read(pixels, **lut([4, -3, 16], WORDS, "SS"))[0] == [[10, 20, 40, 80]]


def test_no_entries_mean_65536() -> None:
    table = np.arange(65536, dtype="<u2")[::-1].tobytes()
    pixels = np.array([[0, 1, 65535]], np.uint16)
    assert read(pixels, **lut([0, 0, 16], table))[0] == [[65535, 65534, 0]]


def test_entries_of_eight_bits_lie_in_bytes_or_in_words() -> None:
    pixels = np.array([[0, 1, 2, 3]], np.uint8)
    for data in (bytes([9, 8, 7, 6]), bytes([9, 0, 8, 0, 7, 0, 6, 0])):
        assert read(pixels, **lut([4, 0, 8], data))[0] == [[9, 8, 7, 6]]


@pytest.mark.parametrize(
    ("descriptor", "data"), [([5, 0, 16], WORDS), ([0, 0, 16], WORDS), ([4, 0, 16], b"")]
)
def test_an_incomplete_modality_lut_is_refused(descriptor: list[int], data: bytes) -> None:
    with pytest.raises(DamagedImage, match="LUTDescriptor"):
        read(noise((3, 3)), **lut(descriptor, data))


def with_slope(written: bytes) -> bytes:
    """Write into the bytes what pydicom would refuse."""
    data = make_dicom(noise((3, 3)), RescaleSlope="1.00", RescaleIntercept="0")
    assert len(written) == 4
    return data.replace(b"DS\4\x001.00", b"DS\4\0" + written)


@pytest.mark.parametrize("written", [b"1_0 ", b"0x2 ", b"two ", b"1,5 ", "٢".encode() * 2, b"0.0 "])
def test_a_slope_that_is_no_decimal_string_counts_as_1_and_is_said(written: bytes) -> None:
    image = read_image(with_slope(written))
    np.testing.assert_array_equal(image.pixels, noise((3, 3)))
    assert unusable("RescaleSlope") in image.notes


def test_a_high_bit_that_cannot_be_is_replaced_and_said() -> None:
    pixels = noise((4, 4))
    for high_bit in (3, 16, 99):
        found, notes = read(pixels, BitsStored=12, HighBit=high_bit)
        np.testing.assert_array_equal(found, pixels)
        assert notes == (unusable("HighBit"),)
    # 12 bits that end at the highest one: shifted down.
    assert read(np.array([[0x1230]], np.uint16), BitsStored=12, HighBit=15) == ([[0x123]], ())
    assert read(np.array([[0x0120]], np.uint16), BitsStored=8, HighBit=11) == ([[0x12]], ())


@pytest.mark.parametrize("written", ["1_", "0x", "\u0663", "a "])
def test_a_number_of_frames_that_is_no_number_means_one_and_is_said(written: str) -> None:
    data = make_dicom(noise((3, 3)), NumberOfFrames=1)
    encoded = written.encode()
    data = data.replace(b"IS\2\x001 ", b"IS" + bytes([len(encoded), 0]) + encoded)
    image = read_image(data)
    assert image.frames == 1
    assert unusable("NumberOfFrames") in image.notes


def test_1_0_frames_are_not_ten() -> None:
    data = make_dicom(noise((10, 3, 3)))
    assert read_image(data).frames == 10
    written = make_dicom(np.zeros((3, 3), np.uint16), NumberOfFrames=1)
    written = written.replace(b"IS\2\x001 ", b"IS\4\x001_0 ")
    assert read_image(written).frames == 1
