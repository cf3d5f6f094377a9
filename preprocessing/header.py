"""Walk a DICOM header within limits, keeping the few elements that are read here.

The walk exists because no parser is bounded: 400,000 empty items in 3 MB took pydicom 10 s and
600 MB, and a deflated file is inflated without end. As it must visit every element anyway, it keeps
the values it passes, and the file is read once. Encodings are those of PS3.5 section 7 and annex A.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from preprocessing import tags
from preprocessing.encapsulation import UNDEFINED, cut_short, fragments
from preprocessing.errors import DamagedImage, LimitExceeded
from preprocessing.limits import PREAMBLE_BYTES, PREFIX, Limits, has_prefix, not_dicom
from preprocessing.values import DEFLATED, EXPLICIT_BIG, IMPLICIT, Item, text

_LITTLE = struct.Struct("<HH2sH")
_BIG = struct.Struct(">HH2sH")
# PS3.5 table 7.1-1: two reserved bytes and a length of 32 bit follow these VRs.
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
# Implicit VR, or a VR that an archive did not know.
_UNKNOWN = (b"", b"UN")
# A kept value is a number, a code or a short text; longer ones count as missing.
_LONGEST_VALUE = 4096
# The groups that a data set begins with in practice (PS3.5 7.1: ascending order).
_FIRST_GROUPS = frozenset({0x0008, 0x0010, 0x0018, 0x0020, 0x0028})


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data lies; `length` is None when it is encapsulated."""

    tag: int
    vr: bytes
    start: int
    length: int | None


@dataclass(frozen=True)
class Header:
    """The kept values of one file, and the bytes its pixel data lies in."""

    data: bytes
    values: Item
    transfer_syntax: str | None
    media_class: str | None
    big_endian: bool
    pixels: PixelElement | None


@dataclass
class _Walk:
    """One walk: the bytes, how they are encoded, and what may still be spent."""

    data: bytes
    implicit: bool
    big_endian: bool
    limits: Limits
    start: int = 0
    n_elements: int = 0
    n_items: int = 0
    pixels: PixelElement | None = None


def read_header(data: bytes, limits: Limits) -> Header:
    """Read the kept values up to the pixel data.

    Raises:
        NotDicom: the bytes do not begin like DICOM.
        LimitExceeded: more depth, items, elements, header or inflated bytes than allowed.
        DamagedImage: the header ends early or contradicts itself.
    """
    start = PREAMBLE_BYTES + len(PREFIX) if has_prefix(data) else 0
    if not start and data.startswith(PREFIX):
        start = len(PREFIX)
    if not start and not _begins_like_dicom(data):
        raise not_dicom(data)
    meta, start = _file_meta(data, start, limits)
    transfer_syntax = text(meta, tags.TRANSFER_SYNTAX_UID)
    if transfer_syntax == DEFLATED:
        data, start = _inflate(data, start, limits), 0
    implicit, big_endian = _encoding(data, start, transfer_syntax)
    walk = _Walk(data, implicit, big_endian, limits, start)
    values, _ = _elements(walk, start, len(data), 0, tags.DATASET)
    media_class = text(meta, tags.MEDIA_STORAGE_SOP_CLASS_UID)
    return Header(data, values, transfer_syntax, media_class, big_endian, walk.pixels)


def _begins_like_dicom(data: bytes) -> bool:
    """Recognise files without a preamble: file meta information, or a bare data set."""
    if len(data) < 8:
        return False
    group = int.from_bytes(data[:2], "little")
    swapped = int.from_bytes(data[:2], "big")
    if group == 0x0002:
        return _is_vr(data[4:6])
    if group in _FIRST_GROUPS:
        # Implicit VR has no mark but a length that fits.
        length = int.from_bytes(data[4:8], "little")
        return _is_vr(data[4:6]) or length + 8 <= len(data) or length == UNDEFINED
    return swapped in _FIRST_GROUPS and _is_vr(data[4:6])


def _is_vr(vr: bytes) -> bool:
    return vr in _SHORT_VRS or vr in _LONG_VRS


def _file_meta(data: bytes, start: int, limits: Limits) -> tuple[Item, int]:
    """Read group 0002, which is explicit VR little endian whatever follows (PS3.10 7.1)."""
    walk = _Walk(data, implicit=False, big_endian=False, limits=limits)
    kept: Item = {}
    while data[start : start + 2] == b"\x02\x00":
        tag, _, value, length = _element_header(walk, start)
        if length == UNDEFINED or value + length > len(data):
            raise cut_short()
        if tag in tags.FILE_META:
            kept[tag] = data[value : value + min(length, _LONGEST_VALUE)]
        start = value + length
    return kept, start


def _inflate(data: bytes, start: int, limits: Limits) -> bytes:
    """Inflate the data set (PS3.5 A.5), never beyond the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(memoryview(data)[start:], limits.max_inflated_bytes)
    except zlib.error as error:
        raise DamagedImage("The deflated data set cannot be inflated; export it anew.") from error
    if inflater.unconsumed_tail:
        raise LimitExceeded(
            f"The deflated data set inflates to more than {limits.max_inflated_bytes} bytes."
        )
    return inflated


def _encoding(data: bytes, start: int, transfer_syntax: str | None) -> tuple[bool, bool]:
    """Tell (implicit VR, big endian) from the first element, else from the transfer syntax.

    Archives rewrite the transfer syntax without the data set, or the other way round.
    """
    first = data[start : start + 6]
    if int.from_bytes(first[:2], "little") in _FIRST_GROUPS:
        return not _is_vr(first[4:6]), False
    if int.from_bytes(first[:2], "big") in _FIRST_GROUPS:
        return not _is_vr(first[4:6]), True
    if transfer_syntax is None:
        return not _is_vr(first[4:6]), False
    return transfer_syntax == IMPLICIT, transfer_syntax == EXPLICIT_BIG


def _elements(
    walk: _Walk, position: int, end: int, depth: int, wanted: tags.Wanted
) -> tuple[Item, int]:
    """Walk one data set up to its end, its delimiter or, at the top, the pixel data.

    What lies behind the pixel data is never looked at.

    Returns:
        The wanted values, and the position behind the data set.
    """
    kept: Item = {}
    while position + 8 <= end:
        tag, vr, value, length = _element_header(walk, position)
        if depth == 0:
            _check_header_size(walk, value)
            if tag in tags.PIXEL_TAGS:
                walk.pixels = PixelElement(tag, vr, value, None if length == UNDEFINED else length)
                return kept, value
        if tag >> 16 == 0xFFFE:
            if depth == 0:
                raise DamagedImage("A delimiter stands outside of any sequence; export it anew.")
            return kept, value
        if length != UNDEFINED and value + length > end:
            raise cut_short()
        nested = wanted.get(tag)
        if vr == b"SQ" or (nested and vr in _UNKNOWN) or (length == UNDEFINED and vr in _UNKNOWN):
            items, position = _items(walk, vr, value, _stop(value, length, end), depth + 1, nested)
            if length != UNDEFINED:
                position = value + length
            if nested:
                kept[tag] = items
        elif length == UNDEFINED:
            position = fragments(walk.data, value, end, walk.big_endian, walk.limits)[1]
        else:
            if nested is not None and not nested and length <= _LONGEST_VALUE:
                kept[tag] = walk.data[value : value + length]
            position = value + length
    return kept, position


def _items(
    walk: _Walk, vr: bytes, position: int, end: int, depth: int, wanted: tags.Wanted | None
) -> tuple[list[Item], int]:
    """Walk the items of one sequence (PS3.5 7.5); keep those of wanted sequences."""
    if depth > walk.limits.max_depth:
        raise LimitExceeded(f"Sequences are nested deeper than {walk.limits.max_depth} levels.")
    kept: list[Item] = []
    encoding = walk.implicit, walk.big_endian
    if vr == b"UN":
        # PS3.5 6.2.2: an unknown sequence of undefined length is implicit VR little endian inside.
        walk.implicit, walk.big_endian = True, False
    while position + 8 <= end:
        tag, _, value, length = _element_header(walk, position)
        if tag == tags.SEQUENCE_DELIMITATION:
            position = value
            break
        if tag != tags.ITEM or (length != UNDEFINED and value + length > end):
            raise DamagedImage("A sequence holds something else than items; export it anew.")
        walk.n_items += 1
        if walk.n_items > walk.limits.max_items:
            raise LimitExceeded(f"The header has more than {walk.limits.max_items} items.")
        item, position = _elements(walk, value, _stop(value, length, end), depth, wanted or {})
        if length != UNDEFINED:
            position = value + length
        if wanted:
            kept.append(item)
    walk.implicit, walk.big_endian = encoding
    return kept, position


def _stop(value: int, length: int, end: int) -> int:
    return end if length == UNDEFINED else value + length


def _check_header_size(walk: _Walk, position: int) -> None:
    if position - walk.start > walk.limits.max_header_bytes:
        raise LimitExceeded(
            f"More than {walk.limits.max_header_bytes} bytes stand before the pixel data."
        )


def _element_header(walk: _Walk, position: int) -> tuple[int, bytes, int, int]:
    """Read one element's header: tag, VR (empty if implicit), start of the value, length."""
    walk.n_elements += 1
    if walk.n_elements > walk.limits.max_elements:
        raise LimitExceeded(f"The header has more than {walk.limits.max_elements} elements.")
    data, big_endian = walk.data, walk.big_endian
    if position + 8 > len(data):
        raise cut_short()
    group, element, vr, short = (_BIG if big_endian else _LITTLE).unpack_from(data, position)
    tag = group << 16 | element
    if not walk.implicit and group != 0xFFFE:
        if vr in _SHORT_VRS:
            return tag, vr, position + 8, short
        if vr in _LONG_VRS:
            return tag, vr, position + 12, _length(data, position + 8, big_endian)
        # Some writers put implicit elements into an explicit data set; pydicom reads them so too.
    return tag, b"", position + 8, _length(data, position + 4, big_endian)


def _length(data: bytes, position: int, big_endian: bool) -> int:
    if position + 4 > len(data):
        raise cut_short()
    return int.from_bytes(data[position : position + 4], "big" if big_endian else "little")
