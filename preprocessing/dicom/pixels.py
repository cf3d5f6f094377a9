"""Fetch the stored samples of each frame, native or compressed, as integers or floats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.decoding.codestream import check_codestream, check_rle
from preprocessing.decoding.process import DecodeTime, decode_in_child
from preprocessing.decoding.stored import check_stored
from preprocessing.dicom import encapsulation, tags
from preprocessing.dicom.geometry import PixelLayout
from preprocessing.dicom.header import Header
from preprocessing.dicom.walk import PixelElement
from preprocessing.errors import DamagedImage, GeometryMismatch, LimitExceeded
from preprocessing.limits import Limits
from preprocessing.transfer_syntaxes import COMPRESSED, JPEG_LOSSY, LOSSY, RLE

# What one compressed frame may compute: any, the largest besides, and for its bytes.
_CPU_S, _CPU_S_OF_LARGEST, _BYTES_A_CPU_S = 0.15, 1.0, 1_000_000

Samples = npt.NDArray[np.integer[Any] | np.floating[Any]]


@dataclass(frozen=True)
class Frame:
    """Where the cells of one frame lie, and which of their bits are stored.

    Args:
        data: bytes that hold the cells.
        start: of the first cell in them.
        dtype: of a cell, with its byte order.
        is_swapped: 8-bit cells lie in big-endian words, counted from `origin`.
        origin: see above.
        bits_stored: of each cell.
        high_bit: the highest of these.
        is_signed: that one is a sign.
    """

    data: bytes | bytearray
    start: int
    dtype: np.dtype[Any]
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_swapped: bool = False
    origin: int = 0

    def samples(self, first: int, last: int) -> Samples:
        """Read some pixels, in row-major order, with overlay bits removed and the sign applied.

        Overlays used to live in the unused bits of a cell (retired, PS3.5 8.1.2).
        """
        width = self.dtype.itemsize
        start, stop = self.start + first * width, self.start + last * width
        # Sliced, not viewed: pixel data begins at any byte, and numpy is slow when unaligned.
        raw = self._swapped(start, stop) if self.is_swapped else self.data[start:stop]
        cells = np.frombuffer(raw, self.dtype)
        if self.dtype.kind == "f":
            return cells
        bits = width * 8
        cells = cells.astype(f"u{width}", copy=False)
        # Shifted to the top, the sign bit is the machine's; shifted back, it is extended.
        if self.high_bit < bits - 1:
            cells = np.left_shift(cells, bits - 1 - self.high_bit)
        stored: Samples = cells.view(f"i{width}" if self.is_signed else cells.dtype)
        if self.bits_stored < bits:
            out = stored if stored.flags.writeable else None
            stored = np.right_shift(stored, bits - self.bits_stored, out=out)
        return stored

    def output(self, n_pixels: int) -> npt.NDArray[np.float32]:
        """Return memory for the values: that of the cells, if this process owns them and they fit.

        The caller must read each pixel before it overwrites it.
        """
        if isinstance(self.data, bytearray) and self.dtype.itemsize == 4:
            return np.frombuffer(self.data, np.float32, n_pixels)
        return np.empty(n_pixels, np.float32)

    def _swapped(self, start: int, stop: int) -> bytes:
        """Undo the swap of byte pairs: 8-bit samples in big-endian OW words (PS3.5 8.1.1)."""
        before, after = (start - self.origin) % 2, (stop - self.origin) % 2
        words = self.data[start - before : stop + after]
        words += words[-1:] * (len(words) % 2)
        swapped = np.frombuffer(words, "u2").byteswap().tobytes()
        return swapped[before : before + stop - start]


def check_compression(transfer_syntax: str | None, element: PixelElement) -> None:
    """Refuse pixel data whose encapsulation contradicts the transfer syntax (PS3.5 8.2, A.4).

    Raises:
        DamagedImage: see above.
    """
    is_encapsulated = transfer_syntax in COMPRESSED
    if element.length is None and not is_encapsulated:
        raise DamagedImage(
            "The transfer syntax and the pixel data disagree about compression; export it again."
        )
    if is_encapsulated and element.tag != tags.PIXEL_DATA:
        raise DamagedImage("Float pixel data cannot be compressed; export the image again.")


def read_stored(
    header: Header, layout: PixelLayout, limits: Limits, numbers: Iterable[int]
) -> Iterator[Frame]:
    """Yield the frames with these numbers, counted from 1, decompressed.

    Raises:
        ImageError: the pixel data is cut short, damaged or does not fit the declared geometry.
    """
    check_compression(header.transfer_syntax, layout.element)
    if header.transfer_syntax in COMPRESSED or layout.element.length is None:
        yield from _compressed(header, layout, limits, numbers)
    else:
        yield from _native(header, layout, layout.element.length, numbers)


def _native(
    header: Header, layout: PixelLayout, length: int, numbers: Iterable[int]
) -> Iterator[Frame]:
    start, expected = layout.element.start, layout.frame_bytes * layout.frames
    found = min(length, len(header.data) - start)
    # Some writers count the byte that makes the length even and leave it out.
    if length > found + 1:
        raise encapsulation.cut_short()
    if found < expected:
        raise DamagedImage(
            f"{layout.frames} x {layout.rows} x {layout.columns} pixels need {expected} bytes, "
            f"but the pixel data has {found}; send the complete file."
        )
    is_swapped = layout.bits_allocated == 8 and header.big_endian and layout.element.vr != b"OB"
    if is_swapped:
        expected = min(expected + expected % 2, found)  # the last byte is the first of its word
    # Zeros after the pixels are padding; anything else belongs to a picture of another size.
    if np.frombuffer(header.data, np.uint8, found - expected, start + expected).any():
        raise GeometryMismatch(
            f"The pixel data has {found} bytes, but {layout.frames} x {layout.rows} x "
            f"{layout.columns} pixels need {expected}."
        )
    order = ">" if header.big_endian else "<"
    kind = "f" if layout.is_float else "u"
    for number in numbers:
        yield Frame(
            data=header.data,
            start=start + (number - 1) * layout.frame_bytes,
            dtype=np.dtype(f"{order}{kind}{layout.bits_allocated // 8}"),
            bits_stored=layout.bits_stored,
            high_bit=layout.high_bit,
            is_signed=layout.is_signed,
            is_swapped=is_swapped,
            origin=start,
        )


def _compressed(
    header: Header, layout: PixelLayout, limits: Limits, numbers: Iterable[int]
) -> Iterator[Frame]:
    syntax = header.transfer_syntax or ""
    found = encapsulation.frames(
        header.data,
        layout.element.span(len(header.data)),
        layout.frames,
        header.big_endian,
        limits,
        whole=syntax == RLE,
    )
    view = memoryview(header.data)
    left_s = limits.object_decode_seconds
    for number in numbers:
        if left_s <= 0:
            raise LimitExceeded(
                f"{number - 1} frames took {limits.object_decode_seconds:.1f} s to decode, and an"
                " object of this size may take no more; send fewer frames, or uncompressed ones."
            )
        encoded = b"".join([view[start:stop] for start, stop in found[number - 1]])
        frame, cpu_s = _decoded(syntax, encoded, layout, limits, left_s)
        left_s -= cpu_s
        del encoded  # before the frame is converted, which takes the most memory
        yield frame


def _decoded(
    syntax: str, encoded: bytes, layout: PixelLayout, limits: Limits, left_s: float
) -> tuple[Frame, float]:
    """Decode one frame, after its header agreed with the declared geometry.

    Returns:
        The frame, and the seconds that it was computed.
    """
    if syntax == RLE:
        check_rle(encoded, layout.bits_allocated // 8)
        bits, stored_bits, high_bit = layout.bits_allocated, layout.bits_stored, layout.high_bit
        precision = 0  # cells, not samples
    else:
        precision = check_codestream(encoded, layout.rows, layout.columns).precision
        if precision == 8 < layout.bits_stored and syntax in JPEG_LOSSY:
            # PS3.5 8.2.1: the header describes what is encoded. Rescale and padding would not fit.
            raise DamagedImage(
                "A compressed frame states samples of 8 bits, but BitsStored is"
                f" {layout.bits_stored}; export the image again."
            )
        bits = 8 if precision <= 8 else 16 if precision <= 16 else 32
        # The codestream carries samples, not cells: HighBit has no meaning in it.
        stored_bits = min(precision, layout.bits_stored)
        high_bit = stored_bits - 1
    shape = layout.rows, layout.columns
    time_limit = _time_limit(len(encoded), layout.rows * layout.columns, limits, left_s)
    samples, cpu_s = decode_in_child(syntax, encoded, shape, bits, time_limit)
    if precision > layout.bits_stored:
        check_stored(
            samples,
            precision=precision,
            bits_stored=layout.bits_stored,
            is_signed=layout.is_signed,
            is_lossy=syntax in LOSSY,
        )
    frame = Frame(
        data=samples,
        start=0,
        dtype=np.dtype(f"<u{bits // 8}"),
        bits_stored=stored_bits,
        high_bit=high_bit,
        is_signed=layout.is_signed,
    )
    return frame, cpu_s


def _time_limit(n_encoded: int, n_pixels: int, limits: Limits, left_s: float) -> DecodeTime:
    """Let a frame compute in proportion to its pixels and bytes; a busy machine may lengthen it.

    CharLS spends 4 s on 60 bytes of a cut 16 x 24 frame. Valid JPEG 2000 takes 20 to 40 ms for
    384 x 384 pixels; 4096 x 4096 take 0.14 s in 200 bytes and 2.2 s in 15 MB.
    """
    share = min(n_pixels / limits.max_pixels, 1.0)
    cpu_s = _CPU_S + _CPU_S_OF_LARGEST * share + n_encoded / _BYTES_A_CPU_S
    return DecodeTime(min(cpu_s, limits.decode_seconds, left_s), limits.decode_seconds)
