"""Find the encoded frames of encapsulated pixel data (PS3.5 A.4)."""

from __future__ import annotations

from typing import Literal

from preprocessing.dicom import tags
from preprocessing.errors import DamagedImage, GeometryMismatch, LimitExceeded
from preprocessing.limits import Limits

UNDEFINED = 0xFFFFFFFF

# How a JPEG, JPEG-LS or JPEG 2000 codestream begins.
_CODESTREAM_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")


def cut_short() -> DamagedImage:
    """Make the error for bytes that end too early."""
    return DamagedImage("The file ends before its last element does; send the complete file.")


def fragments(
    data: bytes, position: int, end: int, big_endian: bool, limits: Limits
) -> tuple[list[tuple[int, int]], int]:
    """List (start, stop) of each fragment, the offset table first; return the position after them.

    A missing sequence delimiter after complete fragments is tolerated.

    Raises:
        DamagedImage: a fragment is cut short, or something else lies among the fragments.
        LimitExceeded: more fragments than items are allowed.
    """
    order: Literal["big", "little"] = "big" if big_endian else "little"
    found: list[tuple[int, int]] = []
    while position + 8 <= end:
        group = int.from_bytes(data[position : position + 2], order)
        tag = group << 16 | int.from_bytes(data[position + 2 : position + 4], order)
        length = int.from_bytes(data[position + 4 : position + 8], order)
        position += 8
        if tag == tags.SEQUENCE_DELIMITATION:
            break
        if tag != tags.ITEM:
            raise DamagedImage("The pixel data holds something other than fragments.")
        if position + length > end:
            raise cut_short()
        if len(found) >= limits.max_items:
            raise LimitExceeded(f"The pixel data has more than {limits.max_items} fragments.")
        found.append((position, position + length))
        position += length
    return found, position


def frames(
    data: bytes,
    span: tuple[int, int],
    n_frames: int,
    big_endian: bool,
    limits: Limits,
    *,
    whole: bool = False,
) -> list[list[tuple[int, int]]]:
    """Assign the fragments to the frames.

    One frame owns all fragments; as many fragments as frames own one each; else the offset table
    decides, and without one the fragments at which a codestream begins.

    Args:
        data: the whole file.
        span: start of the pixel data's value, and where it ends at the latest.
        n_frames: that the header declares.
        big_endian: byte order of the item headers.
        limits: what the file may cost.
        whole: a fragment is a whole frame, as RLE has it (PS3.5 A.4.2).

    Returns:
        For each frame its fragments as (start, stop).

    Raises:
        GeometryMismatch: the fragments do not make as many frames as are declared.
    """
    found, _ = fragments(data, *span, big_endian, limits)
    table, parts = found[:1], [(first, last) for first, last in found[1:] if first < last]
    if not parts:
        raise DamagedImage("The pixel data has no fragment; send the complete file.")
    if n_frames == 1:
        # Frames beyond NumberOfFrames must not go unnoticed.
        found_frames = len(parts) if whole else max(1, _count_codestreams(data, parts))
        if found_frames > 1:
            raise GeometryMismatch(
                f"One frame is declared, but the pixel data holds {found_frames}; send"
                " NumberOfFrames with the file."
            )
        return [parts]
    if len(parts) == n_frames:
        return [[part] for part in parts]
    shared = _by_offset_table(data, table[0], parts, n_frames) or _by_codestream(data, parts)
    if len(shared) != n_frames:
        raise GeometryMismatch(
            f"NumberOfFrames is {n_frames}, but the pixel data holds {len(shared)} frames."
        )
    return shared


def _by_offset_table(
    data: bytes, table: tuple[int, int], parts: list[tuple[int, int]], n_frames: int
) -> list[list[tuple[int, int]]]:
    # The file may claim a table of any length: one offset too many shows that it does not fit.
    raw = data[table[0] : min(table[1], table[0] + 4 * (n_frames + 1))]
    offsets = {int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw) - 3, 4)}
    # Offsets count from the first item header after the table; a fragment starts 8 bytes later.
    origin = table[1] + 8
    return _group(parts, {start for start, _ in parts if start - origin in offsets})


def _count_codestreams(data: bytes, parts: list[tuple[int, int]]) -> int:
    return sum(data.startswith(_CODESTREAM_STARTS, start) for start, _ in parts)


def _by_codestream(data: bytes, parts: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    return _group(
        parts, {start for start, _ in parts if data.startswith(_CODESTREAM_STARTS, start)}
    )


def _group(parts: list[tuple[int, int]], starts: set[int]) -> list[list[tuple[int, int]]]:
    groups: list[list[tuple[int, int]]] = []
    for part in parts:
        if part[0] in starts:
            groups.append([part])
        elif groups:
            groups[-1].append(part)
    return groups
