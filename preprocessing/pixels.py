"""Fetch the stored samples of each frame, native or compressed, as integers or floats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing import encapsulation, tags
from preprocessing.codestream import check_codestream
from preprocessing.decode_process import DecodeTime, decode_in_child
from preprocessing.errors import (
    DamagedImage,
    GeometryMismatch,
)
from preprocessing.geometry import PixelLayout
from preprocessing.header import Header
from preprocessing.limits import Limits
from preprocessing.transfer_syntaxes import COMPRESSED, RLE
from preprocessing.walk import PixelElement

Samples = npt.NDArray[np.integer[Any] | np.floating[Any]]


def check_compression(transfer_syntax: str | None, element: PixelElement) -> None:
    """Refuse pixel data whose encapsulation contradicts the transfer syntax (PS3.5 8.2, A.4).

    Raises:
        DamagedImage: see above.
    """
    is_encapsulated = element.length is None
    if is_encapsulated != (transfer_syntax in COMPRESSED):
        raise DamagedImage(
            "The transfer syntax and the pixel data disagree about compression; export it anew."
        )
    if is_encapsulated and element.tag != tags.PIXEL_DATA:
        raise DamagedImage("Float pixel data cannot be compressed; export the image anew.")


def read_samples(
    header: Header, layout: PixelLayout, limits: Limits, numbers: Iterable[int]
) -> Iterator[Samples]:
    """Yield the stored samples of the frames with these numbers, counted from 1.

    Yields:
        [H, W]; integers with overlay bits removed and the sign applied, or floats.

    Raises:
        ImageError: the pixel data is cut short, damaged or does not fit the declared geometry.
    """
    check_compression(header.transfer_syntax, layout.element)
    if layout.element.length is None:
        yield from _compressed(header, layout, limits, numbers)
    else:
        yield from _native(header, layout, layout.element.length, numbers)


def _native(
    header: Header, layout: PixelLayout, length: int, numbers: Iterable[int]
) -> Iterator[Samples]:
    start, expected = layout.element.start, layout.frame_bytes * layout.frames
    found = min(length, len(header.data) - start)
    if found < expected:
        raise DamagedImage(
            f"{layout.frames} x {layout.rows} x {layout.columns} pixels need {expected} bytes, "
            f"but the pixel data has {found}; send the complete file."
        )
    # Zeros behind the pixels are padding; anything else belongs to a picture of another size.
    if header.data[start + expected : start + found].strip(b"\0"):
        raise GeometryMismatch(
            f"The pixel data has {found} bytes, but {layout.frames} x {layout.rows} x "
            f"{layout.columns} pixels need {expected}."
        )
    order = ">" if header.big_endian else "<"
    kind = "f" if layout.is_float else "u"
    dtype = np.dtype(f"{order}{kind}{layout.bits_allocated // 8}")
    for number in numbers:
        offset = start + (number - 1) * layout.frame_bytes
        if layout.bits_allocated == 8 and header.big_endian and layout.element.vr != b"OB":
            samples = _swapped_bytes(header.data, start, offset, layout)
        else:
            # Sliced, not viewed: pixel data begins at any byte, and numpy is slow when unaligned.
            samples = np.frombuffer(header.data[offset : offset + layout.frame_bytes], dtype)
        yield _stored(samples, layout, layout.bits_stored, layout.high_bit)


def _swapped_bytes(data: bytes, start: int, offset: int, layout: PixelLayout) -> Samples:
    """Undo the swap of byte pairs: 8-bit samples in big-endian OW words (PS3.5 8.1.1)."""
    at = np.arange(offset, offset + layout.frame_bytes) - start
    whole = np.frombuffer(data, np.uint8, offset=start)
    swapped: Samples = whole[np.minimum(at ^ 1, whole.size - 1)]
    return swapped


def _compressed(
    header: Header, layout: PixelLayout, limits: Limits, numbers: Iterable[int]
) -> Iterator[Samples]:
    syntax = header.transfer_syntax or ""
    found = encapsulation.frames(
        header.data,
        layout.element.start,
        layout.frames,
        header.big_endian,
        limits,
        whole=syntax == RLE,
    )
    for number in numbers:
        frame = b"".join(header.data[start:stop] for start, stop in found[number - 1])
        if syntax == RLE:
            bits, stored_bits, high_bit = layout.bits_allocated, layout.bits_stored, layout.high_bit
        else:
            precision = check_codestream(frame, layout.rows, layout.columns).precision
            bits = 8 if precision <= 8 else 16 if precision <= 16 else 32
            # The codestream carries samples, not cells: HighBit has no meaning in it.
            stored_bits = min(precision, layout.bits_stored)
            high_bit = stored_bits - 1
        shape = layout.rows, layout.columns
        decoded = decode_in_child(syntax, frame, shape, bits, _time_limit(layout, limits))
        samples = np.frombuffer(decoded, f"<u{bits // 8}")
        yield _stored(samples, layout, stored_bits, high_bit)


def _time_limit(layout: PixelLayout, limits: Limits) -> DecodeTime:
    """Let a frame compute in proportion to its size; a busy machine may lengthen it.

    CharLS spends 4 s on 60 bytes of a cut 16 x 24 frame; honest JPEG 2000 takes 20 to 40 ms for
    384 x 384 pixels and 5 s for 4096 x 4096.
    """
    share = min(layout.rows * layout.columns / limits.max_pixels, 1.0)
    return DecodeTime(limits.decode_seconds * (0.05 + 0.95 * share), limits.decode_seconds)


def _stored(samples: Samples, layout: PixelLayout, bits_stored: int, high_bit: int) -> Samples:
    """Cut the stored bits out of each cell (PS3.5 8.1.1) and apply the sign.

    Overlays used to live in the unused bits of a cell (retired, PS3.5 8.1.2).
    """
    samples = samples.reshape(layout.rows, layout.columns)
    if layout.is_float:
        return samples
    bits_allocated = samples.dtype.itemsize * 8
    cells = samples.astype(f"u{bits_allocated // 8}", copy=False)
    signed = f"i{bits_allocated // 8}" if layout.is_signed else cells.dtype
    # Shifted to the top, the sign bit is the machine's; shifted back, it is extended.
    if high_bit < bits_allocated - 1:
        cells = np.left_shift(cells, bits_allocated - 1 - high_bit)
    stored: Samples = cells.view(signed)
    if bits_stored < bits_allocated:
        out = stored if stored.flags.writeable else None
        stored = np.right_shift(stored, bits_allocated - bits_stored, out=out)
    return stored
