"""What the file meta information says, and what a look at it may cost."""

from __future__ import annotations

import struct

import pytest

from preprocessing import is_compressed, is_deflated, read_image
from preprocessing.errors import LimitExceeded
from tests.preprocessing.codestreams import LOSSLESS, RAMP
from tests.preprocessing.dicom_files import NATIVE, encapsulated, native


@pytest.mark.parametrize(("syntax", "frame"), LOSSLESS.values(), ids=LOSSLESS)
@pytest.mark.parametrize("strip", [0, 128, 132], ids=["whole", "no preamble", "no prefix"])
def test_compressed_files_are_told_by_their_meta_information(
    syntax: str, frame: bytes, strip: int
) -> None:
    assert is_compressed(encapsulated(RAMP, syntax, [frame])[strip:])


@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_native_files_are_not_compressed(syntax: str) -> None:
    assert not is_compressed(native(RAMP, syntax))


@pytest.mark.parametrize(
    "data", [b"", b"\x02", b"\x02\0" * 99, b"\0" * 128 + b"DICM\x02\0\x10\0UI"]
)
def test_what_cannot_be_understood_is_not_compressed(data: bytes) -> None:
    assert not is_compressed(data)


def test_meta_information_of_too_many_elements_is_refused() -> None:
    data = native(RAMP)
    many = struct.pack("<HH2sH", 0x0002, 0x0016, b"AE", 0) * 300
    assert not is_compressed(data[:132] + many + data[132:])
    with pytest.raises(LimitExceeded):
        read_image(data[:132] + many + data[132:])


@pytest.mark.parametrize(("name", "syntax"), NATIVE.items())
def test_only_the_deflated_syntax_is_deflated(name: str, syntax: str) -> None:
    assert is_deflated(native(RAMP, syntax)) == (name == "deflated")
    assert not is_deflated(b"")
