"""Read how the pixels are laid out and check it, before any of them is touched (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.dicom.notes import unusable
from preprocessing.dicom.walk import PixelElement
from preprocessing.errors import (
    GeometryMismatch,
    LimitExceeded,
    NoPixels,
    NotGrayscale,
    UnsupportedPixelFormat,
)
from preprocessing.limits import Limits

_LARGEST_SIDE = 65535  # Rows and Columns are 16 bit
_FLOAT_BITS = {tags.FLOAT_PIXEL_DATA: 32, tags.DOUBLE_FLOAT_PIXEL_DATA: 64}


@dataclass(frozen=True)
class PixelLayout:
    """The declared shape of one object's pixels and the meaning of their bits."""

    element: PixelElement
    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_float: bool
    is_inverted: bool
    notes: tuple[str, ...] = ()  # what could not be used

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame once decoded."""
        return self.rows * self.columns * (self.bits_allocated // 8)


def read_layout(header: Header, limits: Limits) -> PixelLayout:
    """Read and check the declared geometry in Python integers, which do not overflow.

    Raises:
        NoPixels, NotGrayscale, UnsupportedPixelFormat, GeometryMismatch, LimitExceeded:
            see their names.
    """
    element = header.pixels
    if element is None or element.length == 0:
        raise NoPixels("The object has no pixel data; send an image.")
    _check_grayscale(header)
    rows, columns = _side(header, tags.ROWS, "Rows"), _side(header, tags.COLUMNS, "Columns")
    if rows * columns > limits.max_pixels:
        raise LimitExceeded(
            f"A frame has {rows} x {columns} pixels; at most {limits.max_pixels} are read.",
            "max_pixels",
        )
    is_float = element.tag in _FLOAT_BITS
    bits_allocated, bits_stored, high_bit = _bits(header, element)
    frames = _frames(header, limits)
    photometric = values.code(header.values, tags.PHOTOMETRIC_INTERPRETATION)
    return PixelLayout(
        element=element,
        rows=rows,
        columns=columns,
        frames=frames or 1,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit,
        is_signed=_is_signed(header),
        is_float=is_float,
        is_inverted=photometric == "MONOCHROME1",
        notes=_notes(header, frames, high_bit, is_float=is_float),
    )


def _integer(header: Header, tag: int) -> int | None:
    return values.integer(header.values, tag, header.big_endian)


def _check_grayscale(header: Header) -> None:
    samples = _integer(header, tags.SAMPLES_PER_PIXEL)
    photometric = values.code(header.values, tags.PHOTOMETRIC_INTERPRETATION)
    # Missing values are taken for what every MR image has.
    is_grey = samples in (None, 1) and photometric in (None, "MONOCHROME1", "MONOCHROME2")
    # A grayscale image with a palette for some of its values (PS3.3 C.8.16.2.1.1).
    presentation = values.code(header.values, tags.PIXEL_PRESENTATION)
    if not is_grey or presentation in ("COLOR", "TRUE_COLOR"):
        raise NotGrayscale(
            "Expected one sample per pixel, MONOCHROME1 or MONOCHROME2, "
            "but this is a colour or palette image; send the original grayscale slice."
        )


def _side(header: Header, tag: int, name: str) -> int:
    side = _integer(header, tag)
    if side is None or not 1 <= side <= _LARGEST_SIDE:
        raise GeometryMismatch(f"{name} is missing or not between 1 and {_LARGEST_SIDE}.")
    return side


def _frames(header: Header, limits: Limits) -> int | None:
    """Return NumberOfFrames; None where missing, unreadable or 0: one frame, as in most viewers."""
    number = values.decimal(header.values, tags.NUMBER_OF_FRAMES)
    if number is None or number == 0:
        return None
    if not number >= 1 or number != number // 1:
        raise GeometryMismatch("NumberOfFrames is not a whole number above 0.")
    if number > limits.max_frames:
        raise LimitExceeded(
            f"The object declares {number:.0f} frames; at most {limits.max_frames} are read.",
            "max_frames",
        )
    return int(number)


def _is_signed(header: Header) -> bool:
    """Return whether samples are signed; without a PixelRepresentation they are not."""
    representation = _integer(header, tags.PIXEL_REPRESENTATION)
    if representation not in (None, 0, 1):
        raise UnsupportedPixelFormat(
            "PixelRepresentation is neither 0 nor 1; export the image again."
        )
    return representation == 1


def _bits(header: Header, element: PixelElement) -> tuple[int, int, int]:
    """Return BitsAllocated, BitsStored and HighBit; an impossible HighBit is replaced."""
    if element.tag in _FLOAT_BITS:
        bits = _FLOAT_BITS[element.tag]
        return bits, bits, bits - 1
    allocated = _integer(header, tags.BITS_ALLOCATED)
    if allocated not in (8, 16, 32):
        raise UnsupportedPixelFormat(
            "BitsAllocated is missing or not 8, 16 or 32; export the slice with 16 bits."
        )
    stored = _integer(header, tags.BITS_STORED)
    if stored is None:
        stored = allocated
    if not 1 <= stored <= allocated:
        raise UnsupportedPixelFormat(
            f"BitsStored is not between 1 and BitsAllocated, which is {allocated}; "
            "export the image again."
        )
    high = _integer(header, tags.HIGH_BIT)
    if high is None or not stored - 1 <= high < allocated:
        high = stored - 1
    return allocated, stored, high


def _notes(header: Header, frames: int | None, high_bit: int, *, is_float: bool) -> tuple[str, ...]:
    """Note what is written and was not used."""
    written_bit = None if is_float else _integer(header, tags.HIGH_BIT)
    is_wrong = {
        "NumberOfFrames": frames is None and values.text(header.values, tags.NUMBER_OF_FRAMES),
        "HighBit": written_bit not in (None, high_bit),
    }
    return tuple(unusable(keyword) for keyword, wrong in is_wrong.items() if wrong)
