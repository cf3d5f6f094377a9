"""How a refusal is named; what is refused or tolerated in all is in tests/security/files."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest

from preprocessing import ImageError, errors, read_image
from preprocessing.limits import Limits
from tests.dicom_files import NATIVE, make_dicom, mr_dataset, write

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100
STORAGE = "1.2.840.10008.5.1.4.1.1."
META = 128 + 4


def code_of(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, limits=limits or Limits())
    return caught.value.code


def long_element(group: int, element: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH2sHL", group, element, vr, 0, length) + value


def item(length: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, length)


def with_bytes_before_the_rest(inserted: bytes) -> bytes:
    """Put elements at the beginning of the data set."""
    data = make_dicom(RAMP)
    start = data.index(b"\x08\x00\x16\x00UI")
    return data[:start] + inserted + data[start:]


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"", "empty_file", "no bytes"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "not_dicom", "PNG"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 200, "not_dicom", "JPEG"),
        (b"PK\x03\x04" + b"\0" * 200, "not_dicom", "ZIP"),
        (b"\x1f\x8b\x08" + b"\0" * 200, "not_dicom", "gzip"),
        (b"hello, world\n" * 20, "not_dicom", "text"),
        (b'{"a": 1}', "not_dicom", "JSON"),
        (b"http://127.0.0.1/slice.dcm", "not_dicom", "text"),
        (b"\0" * 1000, "not_dicom", "unknown"),
        (b"\x80\x04\x95" + b"\0" * 100, "not_dicom", "pickle"),
        (b"\x08", "not_dicom", "short"),
    ],
)
def test_what_is_not_dicom_is_named(data: bytes, code: str, word: str) -> None:
    with pytest.raises(ImageError, match=word) as caught:
        read_image(data)
    assert caught.value.code == code


@pytest.mark.parametrize("magic", [b"MZ", b"#!/bin/sh\n", b"\xca\xfe\xba\xbf", b"<?="])
def test_a_program_in_the_preamble_is_refused(magic: bytes) -> None:
    data = make_dicom(RAMP)
    assert code_of(magic + data[len(magic) :]) == "executable_preamble"


@pytest.mark.parametrize("modality", ["CT", "SEG"])
def test_other_modalities_are_refused(modality: str) -> None:
    assert code_of(make_dicom(RAMP, Modality=modality)) == "wrong_modality"


@pytest.mark.parametrize("sop_class", ["2", "481.2"])
def test_sop_classes_of_other_modalities_are_refused_whatever_modality_says(sop_class: str) -> None:
    assert code_of(make_dicom(RAMP, SOPClassUID=STORAGE + sop_class)) == "wrong_modality"


@pytest.mark.parametrize("sop_class", ["88.11", "4.2"])
def test_objects_that_are_no_images_are_refused(sop_class: str) -> None:
    assert code_of(make_dicom(RAMP, SOPClassUID=STORAGE + sop_class)) == "not_an_image"


def test_a_wrong_transfer_syntax_uid_does_not_hide_the_true_encoding() -> None:
    implicit = make_dicom(RAMP, NATIVE["implicit"])
    padded = b"1.2.840.10008.1.2\0"
    at = implicit.index(padded)
    length = implicit[at - 2 : at]
    assert length == b"\x12\0"
    claimed = implicit[: at - 2] + b"\x14\0" + b"1.2.840.10008.1.2.1\0" + implicit[at + 18 :]
    np.testing.assert_array_equal(read_image(claimed).pixels, RAMP)


def test_a_decimal_string_that_is_too_long_is_read() -> None:
    data = make_dicom(RAMP, RescaleSlope="1.5", RescaleIntercept="0")
    at = data.index(b"\x28\x00\x53\x10DS")
    slope = b"1.50000000000000000000"
    data = data[: at + 6] + struct.pack("<H", len(slope)) + slope + data[at + 12 :]
    np.testing.assert_array_equal(read_image(data).pixels, RAMP * 1.5)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "not_grayscale"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_grayscale"),
        ({"PixelPresentation": "COLOR"}, "not_grayscale"),
        ({"Rows": None}, "geometry_mismatch"),
        ({"Columns": 0}, "geometry_mismatch"),
        ({"Rows": 65535, "Columns": 65535}, "limit_exceeded"),
        ({"NumberOfFrames": str(2**31 - 1)}, "limit_exceeded"),
        ({"NumberOfFrames": "-1"}, "geometry_mismatch"),
        ({"NumberOfFrames": "2"}, "damaged_image"),
        ({"BitsAllocated": 1}, "unsupported_pixel_format"),
        ({"BitsAllocated": 64}, "unsupported_pixel_format"),
        ({"BitsAllocated": None}, "unsupported_pixel_format"),
        ({"BitsStored": 17}, "unsupported_pixel_format"),
        ({"PixelRepresentation": 2}, "unsupported_pixel_format"),
        ({"Rows": 4}, "damaged_image"),
        ({"Rows": 2}, "geometry_mismatch"),
    ],
    ids=str,
)
def test_a_declared_geometry_that_cannot_be_is_refused(changes: dict[str, Any], code: str) -> None:
    assert code_of(make_dicom(RAMP, **changes)) == code


@pytest.mark.parametrize(("claimed", "is_read"), [(24, True), (25, True), (26, False)])
def test_pixel_data_may_lack_no_more_than_the_byte_that_makes_it_even(
    claimed: int, is_read: bool
) -> None:
    data = make_dicom(RAMP)
    start = len(data) - RAMP.nbytes
    data = data[: start - 4] + claimed.to_bytes(4, "little") + data[start:]
    if is_read:
        np.testing.assert_array_equal(read_image(data).pixels, RAMP)
    else:
        assert code_of(data) == "damaged_image"


def test_a_shape_that_stands_behind_the_pixels_is_read() -> None:
    data = make_dicom(RAMP)
    rows, pixels = data.index(b"\x28\0\x10\0US"), data.index(b"\xe0\x7f\x10\0")
    moved = data[:rows] + data[rows + 20 : pixels] + data[pixels:] + data[rows : rows + 20]
    np.testing.assert_array_equal(read_image(moved).pixels, RAMP)


def test_an_object_without_pixel_data_has_no_pixels() -> None:
    assert code_of(write(mr_dataset(RAMP))) == "no_pixels"


def test_every_cut_of_a_file_is_refused() -> None:
    for syntax in NATIVE.values():
        data = make_dicom(RAMP, syntax)
        for length in range(len(data) - 12):
            with pytest.raises(ImageError):
                read_image(data[:length])


def test_too_large_a_header_is_refused() -> None:
    private = long_element(0x0009, 0x1001, b"OB", 17 << 20, b"\0" * (17 << 20))
    assert code_of(with_bytes_before_the_rest(private)) == "limit_exceeded"


def test_too_large_a_file_is_refused() -> None:
    assert code_of(make_dicom(RAMP) + b"\0" * 100, Limits(max_bytes=500)) == "limit_exceeded"


def deflated(data_set: bytes, after: bytes = b"") -> bytes:
    """Put another deflated data set into a file."""
    data = make_dicom(RAMP, NATIVE["deflated"])
    start = data.index(b"1.2.840.10008.1.2.1.99") + 22
    while data[start : start + 2] == b"\x02\x00":
        start += 8 + int.from_bytes(data[start + 6 : start + 8], "little")
    deflater = zlib.compressobj(wbits=-15)
    return data[:start] + deflater.compress(data_set) + deflater.flush() + after


def data_set_of(data: bytes) -> bytes:
    return data[data.index(b"\x08\x00\x16\x00UI") :]


def test_a_deflate_bomb_is_stopped_at_its_limit() -> None:
    bomb = deflated(b"\0" * (100 << 20))
    tracemalloc.start()
    assert code_of(bomb) == "limit_exceeded"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize("size", [1, 1 << 16, 1 << 20, 3 << 20])
def test_bytes_behind_the_deflated_data_set_are_never_looked_at(size: int) -> None:
    # More than one piece of the inflated, and more than one of the deflated bytes.
    pixels = np.random.default_rng(1).integers(0, 4096, (900, 1000), np.uint16)
    data = deflated(data_set_of(make_dicom(pixels)), b"\x5a" * size)
    np.testing.assert_array_equal(read_image(data).pixels, pixels)


def test_an_unknown_sequence_of_undefined_length_is_implicit_inside() -> None:
    inner = struct.pack("<HHL", 0x0008, 0x0100, 4) + b"ABCD"
    delimiters = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    unknown = long_element(0x0009, 0x1001, b"UN", 0xFFFFFFFF, item() + inner + delimiters)
    np.testing.assert_array_equal(read_image(with_bytes_before_the_rest(unknown)).pixels, RAMP)


def test_every_error_has_its_own_code_and_a_client_status() -> None:
    def tree(root: type[ImageError]) -> list[type[ImageError]]:
        return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]

    classes = tree(ImageError)[1:]
    assert len({each.code for each in classes}) == len(classes)
    assert {each.status for each in classes} == {400, 413, 415, 422}
    drawn = errors.__doc__ or ""
    for each in classes:
        assert each.__name__ in drawn
        assert each.code in drawn


MARKER = "ZZMARKERZZ"


@pytest.mark.parametrize(
    "changes",
    [
        {"Modality": MARKER},
        {"SOPClassUID": STORAGE + "999"},
        {"PhotometricInterpretation": MARKER},
        {"Rows": None},
        {"NumberOfFrames": "3"},
    ],
    ids=str,
)
def test_no_value_of_the_file_appears_in_a_message(changes: dict[str, Any]) -> None:
    everywhere = {"PatientID": MARKER, "PatientName": MARKER, "SeriesDescription": MARKER}
    with pytest.raises(ImageError) as caught:
        read_image(make_dicom(RAMP, **everywhere | changes))
    assert MARKER not in str(caught.value)
