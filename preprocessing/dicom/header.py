"""Find where the data set of a file begins and how it is encoded (PS3.10 7, PS3.5 annex A)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

from preprocessing.dicom import tags
from preprocessing.dicom.encapsulation import UNDEFINED, cut_short
from preprocessing.dicom.values import Item, text
from preprocessing.dicom.walk import (
    LONGEST_VALUE,
    PixelElement,
    Walk,
    element_header,
    is_vr,
    walk_dataset,
)
from preprocessing.errors import DamagedImage, ImageError, LimitExceeded
from preprocessing.limits import DEFAULT, PREAMBLE_BYTES, PREFIX, Limits, has_prefix, not_dicom
from preprocessing.transfer_syntaxes import (
    COMPRESSED,
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT,
    check_transfer_syntax,
)

# Pixels as they are, pixels that a decoder must read, a data set that must be inflated.
Storage = Literal["native", "compressed", "deflated"]

# The groups that a data set begins with in practice (PS3.5 7.1: ascending order).
_FIRST_GROUPS = frozenset({0x0008, 0x0010, 0x0018, 0x0020, 0x0028})
# PS3.10 table 7.1-1 has 18; `storage_of` reads them on the event loop.
_MAX_META_ELEMENTS = 256
_DEFLATED_AT_ONCE, _INFLATED_AT_ONCE = 1 << 16, 1 << 20
# Elements, items and fragments (0.5 to 1.2 us each) of a deflated data set: as many as fit into the
# bytes sent, as in any other file, and enough for 200 frames with rich functional groups.
_DEFLATED_ELEMENTS = 25_000
_SHORTEST_ELEMENT = 8


@dataclass(frozen=True)
class Header:
    """The kept values of one file, and the bytes its pixel data lies in."""

    data: bytes
    values: Item
    transfer_syntax: str | None
    media_class: str | None
    big_endian: bool
    pixels: PixelElement | None


def read_header(data: bytes, limits: Limits) -> Header:
    """Read the kept values up to the pixel data.

    Raises:
        NotDicom: the bytes do not begin like DICOM.
        UnsupportedTransferSyntax: no decoder here reads it.
        LimitExceeded: more depth, items, elements, header or inflated bytes than allowed.
        DamagedImage: the header ends early or contradicts itself.
    """
    start = _after_prefix(data)
    if not start and not _begins_like_dicom(data):
        raise not_dicom(data)
    meta, start = _file_meta(data, start, limits)
    transfer_syntax = text(meta, tags.TRANSFER_SYNTAX_UID)
    check_transfer_syntax(transfer_syntax)
    if transfer_syntax == DEFLATED:
        limits = _in_proportion(limits, len(data))
        data, start = _inflate(data, start, limits), 0
    implicit, big_endian = _encoding(data, start, transfer_syntax)
    walk = Walk(data, implicit, big_endian, limits, start)
    values = walk_dataset(walk)
    media_class = text(meta, tags.MEDIA_STORAGE_SOP_CLASS_UID)
    return Header(data, values, transfer_syntax, media_class, big_endian, walk.pixels)


def storage_of(data: bytes) -> Storage:
    """Return, from the file meta information, what must be done before the pixels can be read.

    A cheap look at unchecked bytes: what cannot be understood counts as native, and `read_header`
    raises the reason.
    """
    try:
        meta, _ = _file_meta(data, _after_prefix(data), DEFAULT)
    except ImageError:
        return "native"
    syntax = text(meta, tags.TRANSFER_SYNTAX_UID)
    if syntax in COMPRESSED:
        return "compressed"
    return "deflated" if syntax == DEFLATED else "native"


def _after_prefix(data: bytes) -> int:
    """Return the position after the prefix; some writers leave out the preamble, or both."""
    if has_prefix(data):
        return PREAMBLE_BYTES + len(PREFIX)
    return len(PREFIX) if data.startswith(PREFIX) else 0


def _begins_like_dicom(data: bytes) -> bool:
    """Recognise files without a preamble: file meta information, or a bare data set."""
    if len(data) < 8:
        return False
    group = int.from_bytes(data[:2], "little")
    swapped = int.from_bytes(data[:2], "big")
    if group == 0x0002:
        return is_vr(data[4:6])
    if group in _FIRST_GROUPS:
        # Implicit VR has no mark other than a length that fits.
        length = int.from_bytes(data[4:8], "little")
        return is_vr(data[4:6]) or length + 8 <= len(data) or length == UNDEFINED
    return swapped in _FIRST_GROUPS and is_vr(data[4:6])


def _file_meta(data: bytes, start: int, limits: Limits) -> tuple[Item, int]:
    """Read group 0002, which is explicit VR little endian whatever follows (PS3.10 7.1)."""
    few = replace(limits, max_elements=_MAX_META_ELEMENTS)
    walk = Walk(data, implicit=False, big_endian=False, limits=few)
    kept: Item = {}
    while data[start : start + 2] == b"\x02\x00":
        tag, _, value, length = element_header(walk, start)
        if length == UNDEFINED or value + length > len(data):
            raise cut_short()
        if tag in tags.FILE_META:
            kept[tag] = data[value : value + min(length, LONGEST_VALUE)]
        start = value + length
    return kept, start


def _in_proportion(limits: Limits, n_sent: int) -> Limits:
    """Bound what a deflated data set may hold by what was sent: 200,000 elements fit into 4 kB."""
    most = _DEFLATED_ELEMENTS + n_sent // _SHORTEST_ELEMENT
    return replace(
        limits,
        max_elements=min(limits.max_elements, most),
        max_items=min(limits.max_items, most),
    )


def _inflate(data: bytes, start: int, limits: Limits) -> bytes:
    """Inflate the data set (PS3.5 A.5), never beyond the limit.

    zlib takes 80 ms for 1 MB of blocks that hold nothing, so what inflates to next to nothing is
    refused early.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = BytesIO()  # grows in place; one large call would copy all its pieces at the end
    view = memoryview(data)
    try:
        origin = start
        while start < len(data) and not inflater.eof:
            if start - origin > 2 * inflated.tell() + _DEFLATED_AT_ONCE:
                raise DamagedImage("The deflated data set holds next to nothing; export it again.")
            rest: bytes | memoryview = view[start : start + _DEFLATED_AT_ONCE]
            start += _DEFLATED_AT_ONCE
            is_full = True
            while (rest or is_full) and not inflater.eof:
                piece = inflater.decompress(rest, _INFLATED_AT_ONCE)
                rest, is_full = inflater.unconsumed_tail, len(piece) == _INFLATED_AT_ONCE
                inflated.write(piece)
                if inflated.tell() > limits.max_inflated_bytes:
                    raise LimitExceeded(
                        "The deflated data set inflates to more than "
                        f"{limits.max_inflated_bytes} bytes."
                    )
    except zlib.error as error:
        raise DamagedImage("The deflated data set cannot be inflated; export it again.") from error
    return inflated.getvalue()


def _encoding(data: bytes, start: int, transfer_syntax: str | None) -> tuple[bool, bool]:
    """Return (implicit VR, big endian) by the first element, else by the transfer syntax.

    Archives rewrite the transfer syntax without the data set, or the other way round.
    """
    first = data[start : start + 6]
    if int.from_bytes(first[:2], "little") in _FIRST_GROUPS:
        return not is_vr(first[4:6]), False
    if int.from_bytes(first[:2], "big") in _FIRST_GROUPS:
        return not is_vr(first[4:6]), True
    if transfer_syntax is None:
        return not is_vr(first[4:6]), False
    return transfer_syntax == IMPLICIT, transfer_syntax == EXPLICIT_BIG
