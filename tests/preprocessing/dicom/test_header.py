"""What the file meta information states, and what reading it may cost."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preprocessing import read_frames, read_image, storage_of
from preprocessing.errors import DamagedImage, LimitExceeded
from tests.dicom_files import NATIVE, encapsulated, make_dicom, mr_dataset, write
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.security.files.corpus_files import native


@pytest.mark.parametrize(("syntax", "frame"), LOSSLESS.values(), ids=LOSSLESS)
@pytest.mark.parametrize("strip", [0, 128, 132], ids=["whole", "no preamble", "no prefix"])
def test_compressed_files_are_told_by_their_meta_information(
    syntax: str, frame: bytes, strip: int
) -> None:
    assert storage_of(encapsulated(RAMP, syntax, [frame])[strip:]) == "compressed"


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x02\0" * 99, b"\0" * 128 + b"DICM\x02\0\x10\0UI"]
)
def test_what_cannot_be_understood_is_not_compressed(data: bytes) -> None:
    assert storage_of(data) == "native"


def test_meta_information_of_too_many_elements_is_refused() -> None:
    data = make_dicom(RAMP)
    many = struct.pack("<HH2sH", 0x0002, 0x0016, b"AE", 0) * 300
    assert storage_of(data[:132] + many + data[132:]) == "native"
    with pytest.raises(LimitExceeded):
        read_image(data[:132] + many + data[132:])


@pytest.mark.parametrize(("name", "syntax"), NATIVE.items())
def test_only_the_deflated_syntax_is_deflated(name: str, syntax: str) -> None:
    assert storage_of(make_dicom(RAMP, syntax)) == ("deflated" if name == "deflated" else "native")


def deflated(inserted: bytes) -> bytes:
    """Deflate a file with more elements at the end of its group 0008."""
    data = make_dicom(RAMP, NATIVE["explicit"])
    start, place = data.index(b"\x08\0\x16\0UI"), data.index(b"\x10\0\x20\0LO")
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(data[start:place] + inserted + data[place:]) + deflater.flush()
    return make_dicom(RAMP, NATIVE["deflated"])[: data_set_start()] + body


def data_set_start() -> int:
    """Where the data set of a deflated file begins: after the group length's bytes."""
    data = make_dicom(RAMP, NATIVE["deflated"])
    return 128 + 4 + 12 + int.from_bytes(data[140:144], "little")


EMPTY = struct.pack("<HH2sH", 0x0009, 0x1001, b"LO", 0)
EMPTY_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def undefined(vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHL", 0x0009, 0x1001, vr, 0, 0xFFFFFFFF) + value + SEQUENCE_END


@pytest.mark.parametrize(
    "crowd",
    [
        EMPTY * 30_000,
        undefined(b"SQ", EMPTY_ITEM * 30_000),
        undefined(b"UN", EMPTY_ITEM * 30_000),
        undefined(b"OB", EMPTY_ITEM * 30_000),
        undefined(b"SQ", EMPTY_ITEM[:4] + b"\xff" * 4 + EMPTY * 30_000),
    ],
    ids=["elements", "items", "unknown items", "fragments", "elements of an item"],
)
def test_a_deflated_header_holds_no_more_than_its_bytes_allow(crowd: bytes) -> None:
    few, many = deflated(EMPTY * 100), deflated(crowd)
    assert len(many) < len(few) + 2_000
    np.testing.assert_array_equal(read_image(few).pixels, RAMP)
    with pytest.raises(LimitExceeded, match="more than 25"):
        read_image(many)


def test_a_deflated_object_of_two_hundred_frames_is_read() -> None:
    frames = np.random.default_rng(1).integers(0, 4096, (200, 24, 32), np.uint16)
    ds = mr_dataset(frames)
    ds.PerFrameFunctionalGroupsSequence = Sequence([_groups(n) for n in range(200)])
    ds.PixelData = frames.tobytes()
    ds["PixelData"].VR = "OW"
    images = list(read_frames(write(ds, NATIVE["deflated"])))
    np.testing.assert_array_equal([image.pixels for image in images], frames)
    assert images[9].facts.echo_time == 19.0


def _groups(number: int) -> Dataset:
    """A frame's functional groups, with as many private elements as vendors add."""
    groups, echo, private = Dataset(), Dataset(), Dataset()
    echo.EffectiveEchoTime = 10.0 + number
    for element in range(100):
        private.add_new(0x20050000 + (0x1000 + element), "LO", f"{number}:{element}")
    groups.MREchoSequence = Sequence([echo])
    groups.add_new(0x20051401, "SQ", Sequence([private]))
    return groups


def test_deflated_blocks_that_hold_nothing_are_refused() -> None:
    data = make_dicom(RAMP, NATIVE["deflated"])
    start = data_set_start()
    np.testing.assert_array_equal(
        read_image(data[:start] + b"\0\0\0\xff\xff" * 10_000 + data[start:]).pixels, RAMP
    )
    with pytest.raises(DamagedImage, match="next to nothing"):
        read_image(data[:start] + b"\0\0\0\xff\xff" * 100_000 + data[start:])


@pytest.mark.parametrize(("length", "is_read"), [(256, True), (512, True), (514, False)])
def test_a_value_that_is_too_long_for_a_code_or_a_name_counts_as_missing(
    length: int, is_read: bool
) -> None:
    data = native(RAMP, Manufacturer="Q" * length)  # pydicom writes none of these
    assert read_image(data).facts.manufacturer == ("Q" * length if is_read else None)
