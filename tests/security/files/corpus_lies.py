"""Headers whose lengths, counts and numbers are false."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tests.preprocessing.decoding.codestreams import JPEG, RLE, encode_rle
from tests.security.files.corpus import DAMAGE, REFUSALS, Case
from tests.security.files.corpus_files import (
    PIXEL_DATA,
    UNDEFINED,
    Element,
    Pixels,
    encapsulated,
    encode,
    fragment,
    mr_elements,
    native,
    part10,
    sequence,
    with_claim,
    with_elements,
    with_pixels,
)
from tests.security.files.corpus_valid import jpeg_ls_of, picture


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    pixels = picture(seed).astype(np.uint16)
    yield from _lengths(pixels)
    yield from _sequences(pixels)
    yield from _geometry(pixels)
    yield from _fragments(pixels)
    yield from _offset_tables(pixels)
    yield from _contradictions(pixels)


def _lengths(pixels: Pixels) -> Iterator[Case]:
    for tag in mr_elements(pixels):
        if tag == PIXEL_DATA:
            continue
        for encoding, length in (("explicit", 0xFFFF), ("implicit", 0x7FFFFFFF)):
            build = partial(with_claim, pixels, tag, length, encoding)  # type: ignore[arg-type]
            yield Case("malformed", f"{tag:08X} claims {length:X}, {encoding}", build, REFUSALS)
    for tag in (0x00080060, 0x00100010, 0x00280010, 0x00280030):
        build = partial(with_claim, pixels, tag, UNDEFINED, "implicit")
        yield Case("malformed", f"{tag:08X} of undefined length", build, REFUSALS)
    size = pixels.nbytes
    for length in (1, 2, size - 2, size - 1, size // 2, size + 4, size * 2, 0x7FFFFFFF, 0xFFFFFFFE):
        build = partial(with_claim, pixels, PIXEL_DATA, length)
        yield Case("malformed", f"pixel data claims {length} bytes", build, DAMAGE)
    for encoding in ("implicit", "big"):
        build = partial(with_claim, pixels, PIXEL_DATA, 0xFFFFFFF0, encoding)  # type: ignore[arg-type]
        yield Case("malformed", f"pixel data claims 4 GB, {encoding}", build, DAMAGE)
        build = partial(with_claim, pixels, PIXEL_DATA, UNDEFINED, encoding)  # type: ignore[arg-type]
        yield Case("malformed", f"pixel data of undefined length, {encoding}", build, DAMAGE)


def _sequences(pixels: Pixels) -> Iterator[Case]:
    tag = 0x00081140
    inner = encode([Element(0x00080100, b"SH", b"ABCD")])
    item = Element(0xFFFEE000, b"", inner)
    value = item.encode()
    broken = {
        "sequence longer than the file": Element(tag, b"SQ", value, 0x00FFFFFF),
        "sequence one byte short": Element(tag, b"SQ", value, len(value) - 1),
        "sequence one byte long": Element(tag, b"SQ", value, len(value) + 1),
        "item longer than its sequence": Element(
            tag, b"SQ", replace(item, length=len(inner) + 40).encode()
        ),
        "item of 2 GB": Element(tag, b"SQ", replace(item, length=0x7FFFFFFF).encode()),
        "element longer than its item": Element(
            tag, b"SQ", Element(0xFFFEE000, b"", replace_length(inner)).encode()
        ),
        "element instead of an item": Element(tag, b"SQ", inner),
        "text instead of items": Element(tag, b"SQ", b"not an item at all "),
        "sequence without an end": Element(tag, b"SQ", value, UNDEFINED),
        "item without an end": Element(tag, b"SQ", b"\xfe\xff\0\xe0\xff\xff\xff\xff", UNDEFINED),
        "item delimiter outside": Element(0xFFFEE00D, b"", b""),
        "sequence delimiter outside": Element(0xFFFEE0DD, b"", b""),
        "item outside": Element(0xFFFEE000, b"", b""),
        "two ends of a sequence": Element(
            tag, b"SQ", value + b"\xfe\xff\xdd\xe0\0\0\0\0" * 2, UNDEFINED
        ),
        "private data of undefined length": Element(0x00091010, b"OB", b"\1\2\3\4" * 9, UNDEFINED),
        "VR of question marks": Element(0x00091010, b"??", b"\1\2"),
        "private UN without items": Element(0x00091010, b"UN", b"\1\2\3\4" * 9, UNDEFINED),
    }
    for name, each in broken.items():
        elements = list(mr_elements(pixels).values())
        place = 20 if each.tag >> 16 == 0xFFFE else sum(other.tag < each.tag for other in elements)
        data = part10(encode([*elements[:place], each, *elements[place:]]))
        yield Case("malformed", name, partial(bytes, data), REFUSALS)
    shifted = sequence(0x52009230, [b"\x28\0"], has_lengths=True)
    # Less than a header at the end of an item is passed over.
    yield Case("tolerated", "two stray bytes in an item", partial(with_elements, pixels, shifted))


def replace_length(inner: bytes) -> bytes:
    """Let a short element claim 200 bytes."""
    return inner[:6] + struct.pack("<H", 200) + inner[8:]


def _geometry(pixels: Pixels) -> Iterator[Case]:
    height, width = pixels.shape
    changes: dict[str, tuple[dict[str, Any], frozenset[str]]] = {}
    wrong = DAMAGE
    for keyword, true in (("Rows", height), ("Columns", width)):
        for value in (0, 1, true - 1, true + 1, true // 2, true * 2, 4096, 32767):
            changes[f"{keyword} {value}"] = {keyword: value}, wrong
        changes[f"no {keyword}"] = {keyword: None}, frozenset({"geometry_mismatch"})
        changes[f"empty {keyword}"] = {keyword: b""}, frozenset({"geometry_mismatch"})
        changes[f"{keyword} of one byte"] = {keyword: b"\x40"}, frozenset({"geometry_mismatch"})
        changes[f"{keyword} as text"] = {keyword: ("IS", str(true))}, wrong
        changes[f"negative {keyword}"] = {keyword: ("SS", -true)}, wrong
    limit = frozenset({"limit_exceeded"})
    changes["65535 x 65535"] = {"Rows": 65535, "Columns": 65535}, limit
    changes["4097 x 4096"] = {"Rows": 4097, "Columns": 4096}, limit
    changes["65535 x 257"] = {"Rows": 65535, "Columns": 257}, limit
    for frames in (2**31 - 1, 2**31, 2**32, 2**63, 10**300, 2049, 100_000):
        name = f"{frames} frames" if frames < 10**20 else "10^300 frames"
        changes[name] = {"NumberOfFrames": str(frames)}, limit
    for form in ("2", "3", "2048", "1.5", "-1", "-2147483648", "nan", "inf", "-inf", "1e5", "0.5"):
        changes[f"{form} frames of one"] = {"NumberOfFrames": form}, wrong
    changes["2 of 32 bit"] = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, wrong
    changes["8 bit of 16"] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, wrong
    for name, (each, codes) in changes.items():
        yield Case("malformed", f"geometry: {name}", partial(native, pixels, **each), codes)
    both: dict[str, Any] = {"Rows": 65535, "Columns": 65535, "NumberOfFrames": str(2**31 - 1)}
    build = partial(encapsulated, pixels, RLE, [encode_rle(pixels)], **both)
    yield Case("malformed", "geometry: exabytes of RLE", build, limit)


def _fragments(pixels: Pixels) -> Iterator[Case]:
    syntax, frame = JPEG + "80", jpeg_ls_of(pixels)
    frame += b"\0" * (len(frame) % 2)
    table, end = fragment(b""), Element(0xFFFEE0DD, b"", b"").encode()
    whole = fragment(frame)
    values = {
        "fragment longer than the file": table + fragment(frame, 0x7FFFFFFF),
        "fragment of undefined length": table + fragment(frame, UNDEFINED) + end,
        "fragment too short": table + fragment(frame, len(frame) - 20) + end,
        "fragment too long": table + fragment(frame, len(frame) + 400) + end,
        "element among the fragments": table + Element(0x00080060, b"CS", b"MR").encode() + whole,
        "garbage among the fragments": table + b"\1\2\3\4\5\6\7\10" + whole + end,
        "fragments twice": table + whole + whole + end,
        "no offset table": whole + end,
        "garbage instead of fragments": b"\xaa" * 500,
        "zeros instead of fragments": b"\0" * 500,
        "a codestream without items": frame,
        "delimiter before the fragments": end + table + whole,
        "only the end of the frame": table + fragment(frame[-100:]) + end,
        "fragments in reverse": table + fragment(frame[200:]) + fragment(frame[:200]) + end,
        "a fragment left out": table + fragment(frame[:200]) + fragment(frame[400:]) + end,
    }
    for name, value in values.items():
        yield Case(
            "malformed", f"pixels: {name}", partial(with_pixels, pixels, syntax, value), DAMAGE
        )
    tolerated = {
        "a fragment that takes the end for its own": table + fragment(frame, len(frame) + 8) + end,
        "no end of the fragments": table + whole,
        "an end with a length": table + whole + Element(0xFFFEE0DD, b"", b"", 8).encode(),
        "an empty fragment after": table + whole + fragment(b"") + end,
        "an empty fragment before": table + fragment(b"") + whole + end,
        "odd fragments": table + fragment(frame[:101]) + fragment(frame[101:]) + end,
        "100 fragments": table
        + b"".join(fragment(frame[at : at + 60]) for at in range(0, len(frame), 60))
        + end,
        "zeros after the frame": table + fragment(frame + b"\0" * 4000) + end,
        "bytes after the pixels": table + whole + end + b"\xaa" * 999,
        "an offset table of nonsense": fragment(b"\xff" * 16) + whole + end,
        "a long offset table": fragment(b"\0" * 40_000) + whole + end,
    }
    for name, value in tolerated.items():
        build = partial(with_pixels, pixels, syntax, value)
        yield Case("tolerated", f"pixels: {name}", build, same_as="picture")
    sized = mr_elements(pixels) | {PIXEL_DATA: Element(PIXEL_DATA, b"OB", table + whole + end)}
    build = partial(part10, encode(sized), syntax)
    yield Case("tolerated", "pixels: fragments of defined length", build, same_as="picture")


def _offset_tables(pixels: Pixels) -> Iterator[Case]:
    """Tables that disagree with the fragments of three frames."""
    stack = np.stack([pixels, pixels[::-1], pixels.max() - pixels])
    encoded = [jpeg_ls_of(frame) for frame in stack]
    tables = {
        "zeros": struct.pack("<3L", 0, 0, 0),
        "beyond the file": struct.pack("<3L", 0, 10**6, 2**32 - 1),
        "backwards": struct.pack("<3L", 9000, 4000, 0),
        "of one frame": struct.pack("<L", 0),
        "of seven bytes": b"\0" * 7,
        "of 10000 frames": b"\0" * 40_000,
    }
    for name, table in tables.items():
        build = partial(encapsulated, stack, JPEG + "80", encoded, table)
        yield Case("tolerated", f"offset table {name}", build, frames=3, same_as="three frames")
    for n_frames in (2, 4, 2000):
        build = partial(encapsulated, stack, JPEG + "80", encoded, NumberOfFrames=str(n_frames))
        yield Case("malformed", f"{n_frames} frames of three encoded", build, DAMAGE)
    for name, missing in {"no": None, "empty": "", "zero": "0"}.items():
        build = partial(encapsulated, stack, JPEG + "80", encoded, NumberOfFrames=missing)
        yield Case("malformed", f"{name} NumberOfFrames of three encoded", build, DAMAGE)
    damaged = [encoded[0], encoded[1][: len(encoded[1]) // 2], encoded[2]]
    build = partial(encapsulated, stack, JPEG + "80", damaged)
    yield Case("malformed", "the second of three frames is damaged", build, DAMAGE)
    other = [encoded[0], jpeg_ls_of(pixels[:40]), encoded[2]]
    build = partial(encapsulated, stack, JPEG + "80", other)
    yield Case("malformed", "the second of three frames has another size", build, DAMAGE)


def _contradictions(pixels: Pixels) -> Iterator[Case]:
    """Pixel data that contradicts the transfer syntax."""
    frame, rle = jpeg_ls_of(pixels), encode_rle(pixels)
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"):
        build = partial(encapsulated, pixels, syntax, [frame])
        yield Case("malformed", f"fragments named {syntax}", build, DAMAGE)
    for syntax in (RLE, *(JPEG + end for end in ("50", "57", "70", "80", "90", "201"))):
        build = partial(part10, encode(mr_elements(pixels)), syntax)
        yield Case("malformed", f"native pixels named {syntax}", build, DAMAGE)
    for end in ("50", "51", "57", "70", "90", "91", "201", "203"):
        build = partial(encapsulated, pixels, JPEG + end, [frame])
        yield Case("malformed", f"JPEG-LS named {end}", build, DAMAGE)
        build = partial(encapsulated, pixels, JPEG + end, [rle])
        yield Case("malformed", f"RLE named {end}", build, DAMAGE)
    yield Case(
        "malformed", "JPEG-LS named RLE", partial(encapsulated, pixels, RLE, [frame]), DAMAGE
    )
    elements = mr_elements(pixels.astype(np.float32))
    float_tag = 0x7FE00008
    elements[float_tag] = replace(
        elements[float_tag], value=fragment(b"") + fragment(frame), length=UNDEFINED
    )
    build = partial(part10, encode(elements), JPEG + "80")
    yield Case("malformed", "compressed float pixel data", build, DAMAGE)
