"""What the file meta information states, and what reading it may cost."""

from __future__ import annotations

import struct

import pytest

from preprocessing import read_image, storage_of
from preprocessing.errors import LimitExceeded
from tests.dicom_files import NATIVE, encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP


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
