"""Read the size that the header of a JPEG, JPEG-LS or JPEG 2000 codestream claims.

Some decoders return the wrong size without an error and others allocate what the header claims, so
the claim is compared with the declared geometry before any decoder runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from preprocessing.errors import DamagedImage, GeometryMismatch, NotGrayscale

_SOC_SIZ = b"\xff\x4f\xff\x51"
# ISO/IEC 10918-1 table B.1 and ISO/IEC 14495-1: the frame headers; C4, C8 and CC are not.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
# ISO/IEC 10918-1 table B.2: what a frame header may state as precision. Others are lossless.
_PRECISIONS = {0xC0: (8,), 0xC1: (8, 12), 0xC2: (8, 12)}
_LOSSLESS_PRECISIONS = range(2, 17)
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD8)) | {0x01, 0xFF}
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
# Tables, comments and pieces of a profile or a thumbnail come first: a few dozen in practice.
_MOST_MARKERS = 256
# A JP2 file header, not allowed in DICOM but seen, is shorter than this.
_LONGEST_JP2_HEADER = 4096
# Bytes other than zero that may follow the end-of-image marker.
_LONGEST_PADDING = 16
# PS3.5 G.5: the number of segments, and the offset of each of at most 15.
_RLE_HEADER = struct.Struct("<16L")


@dataclass(frozen=True)
class Codestream:
    """What a codestream's header claims."""

    rows: int
    columns: int
    components: int
    precision: int


def check_codestream(frame: bytes, rows: int, columns: int) -> Codestream:
    """Read the header and compare it with the declared geometry.

    Raises:
        DamagedImage: there is no readable header, the end of a JPEG is missing, or its process does
            not have the precision that it states.
        NotGrayscale: it claims more than one component.
        GeometryMismatch: it claims another size than Rows x Columns.
    """
    if frame.startswith(b"\xff\xd8"):
        _check_end(frame)
        found = _read_jpeg(frame)
    else:
        start = frame.find(_SOC_SIZ, 0, _LONGEST_JP2_HEADER)
        found = _read_jpeg2000(frame, start) if start >= 0 else None
    if found is None or not 1 <= found.precision <= 32:
        raise DamagedImage("A compressed frame has no readable header; export the image again.")
    if found.components != 1:
        raise NotGrayscale(
            f"A compressed frame holds {found.components} components instead of one."
        )
    if (found.rows, found.columns) != (rows, columns):
        raise GeometryMismatch(
            f"A compressed frame holds {found.rows} x {found.columns} pixels, "
            f"but Rows x Columns is {rows} x {columns}."
        )
    return found


def check_rle(frame: bytes, n_segments: int) -> None:
    """Compare the header of an RLE frame with what its cells need (PS3.5 G.5).

    Raises:
        DamagedImage: the header ends early, or its segments lie outside the frame.
        GeometryMismatch: it has more or fewer segments than cells have bytes.
    """
    if len(frame) < _RLE_HEADER.size:
        raise DamagedImage("A compressed frame is cut short; send the complete file.")
    n_found, *offsets = _RLE_HEADER.unpack_from(frame)
    if n_found != n_segments:
        raise GeometryMismatch(
            f"A compressed frame holds {n_found} segments, but its pixels need {n_segments}."
        )
    ends = [*offsets[1:n_segments], len(frame)]
    starts = offsets[:n_segments]
    if starts[0] < _RLE_HEADER.size or any(a >= b for a, b in zip(starts, ends, strict=True)):
        raise DamagedImage("The segments of a compressed frame lie outside it.")


def _check_end(frame: bytes) -> None:
    """Check that a JPEG ends; fragments are padded with zeros, by some writers to whole blocks."""
    if b"\xff\xd9" not in frame.rstrip(b"\0")[-_LONGEST_PADDING - 2 :]:
        raise DamagedImage("A compressed frame is cut short; send the complete file.")


def _read_jpeg(frame: bytes) -> Codestream | None:
    """Read the frame header; a fill byte counts as a marker, so that no length takes time."""
    position = 2
    for _ in range(_MOST_MARKERS):
        if position + 4 > len(frame) or frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker in _WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            break
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        body = frame[position + 4 : position + 2 + min(length, 8)]
        if marker in _START_OF_FRAME and len(body) == 6:
            if body[0] not in _PRECISIONS.get(marker, _LOSSLESS_PRECISIONS):
                raise DamagedImage(
                    f"A compressed frame states samples of {body[0]} bits, which its kind of JPEG"
                    " does not have; export the image again."
                )
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            return Codestream(rows, columns, components=body[5], precision=body[0])
        position += 2 + max(length, 2)
    return None


def _read_jpeg2000(frame: bytes, start: int) -> Codestream | None:
    """Read the SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    siz = frame[start + 6 : start + 6 + 39]
    if len(siz) < 39:
        return None
    right, bottom, left, top = (int.from_bytes(siz[at : at + 4], "big") for at in (2, 6, 10, 14))
    components = int.from_bytes(siz[34:36], "big")
    # A component may be sampled coarser than the grid.
    step_x, step_y = max(siz[37], 1), max(siz[38], 1)
    rows, columns = -top // step_y - -bottom // step_y, -left // step_x - -right // step_x
    return Codestream(rows, columns, components, precision=(siz[36] & 0x7F) + 1)
