"""Tolerated files whose beginning, structure, order or end is unusual; the picture is clear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from tests.security.files.corpus import Build, Case
from tests.security.files.corpus_files import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    MARKER,
    PIXEL_DATA,
    STORAGE,
    UNDEFINED,
    Element,
    Pixels,
    element,
    encode,
    meta,
    mr_elements,
    native,
    part10,
    sequence,
    with_elements,
)
from tests.security.files.corpus_valid import NATIVE, picture


def cases(seed: int) -> Iterator[Case]:
    """List them; all hold the valid files' picture and have its score."""
    pixels = picture(seed).astype(np.uint16)
    for made in (_beginnings, _structures, _vrs, _orders, _tails):
        for name, build in made(pixels).items():
            yield Case("tolerated", name, build, same_as="picture")


def _beginnings(pixels: Pixels) -> dict[str, Build]:
    """Preamble, prefix and file meta information."""
    explicit = encode(mr_elements(pixels))
    implicit = encode(mr_elements(pixels, "implicit"), "implicit")
    big = encode(mr_elements(pixels, "big"), "big")
    whole, start = part10(explicit), b"\0" * 128 + b"DICM"
    made: dict[str, Build] = {}
    for name, syntax in NATIVE.items():
        data = native(pixels, syntax)
        made[f"no preamble, {name}"] = partial(bytes, data[128:])
        made[f"no preamble, no prefix, {name}"] = partial(bytes, data[132:])
    preambles = {
        "blanks": b" " * 128,
        "0xFF": b"\xff" * 128,
        "a number after zeros": b"\0" * 17 + b"\1",
        "a TIFF": b"II*\0\x08\0\0\0",
        "a big-endian TIFF": b"MM\0*\0\0\5\xe8",
        "a BigTIFF": b"II+\0\x08\0\0\0\xe8\5\0\0\0\0\0\0",
        "a big-endian BigTIFF": b"MM\0+\0\x08\0\0\0\0\0\0\0\0\5\xe8",
        "a TIFF with its directory": b"II*\0\x08\0\0\0\1\0\0\1\3\0\1\0\0\0\x60\0\0\0",
    }
    for name, preamble in preambles.items():
        made[f"preamble of {name}"] = partial(part10, explicit, preamble=preamble)
    syntaxes: dict[str, tuple[bytes, str | bytes | None]] = {
        "meta without a transfer syntax": (explicit, None),
        "meta with an empty transfer syntax": (explicit, b""),
        "implicit without a transfer syntax": (implicit, None),
        "big endian without a transfer syntax": (big, None),
        "transfer syntax padded with blanks": (explicit, EXPLICIT + "   "),
        "transfer syntax padded with zeros": (explicit, EXPLICIT + "\0\0\0"),
        "explicit named implicit": (explicit, IMPLICIT),
        "implicit named explicit": (implicit, EXPLICIT),
        "big endian named little": (big, EXPLICIT),
        "little endian named big": (explicit, BIG),
        "implicit named big": (implicit, BIG),
    }
    for name, (data_set, named) in syntaxes.items():
        made[name] = partial(part10, data_set, named)
    private = Element(0x00020102, b"OB", MARKER.encode() * 100).encode()
    files = {
        "bare data set, explicit": explicit,
        "bare data set, implicit": implicit,
        "bare data set, big endian": big,
        "prefix without meta": start + explicit,
        "prefix without meta, implicit": start + implicit,
        "prefix without meta, big endian": start + big,
        "meta without its group length": whole[:132] + whole[144:],
        "meta of group length 0": whole[:140] + b"\0\0\0\0" + whole[144:],
        "meta of a short group length": whole[:140] + b"\4\0\0\0" + whole[144:],
        "meta of a huge group length": whole[:140] + b"\xff" * 4 + whole[144:],
        "meta out of order": start + meta(EXPLICIT)[12:] + meta(EXPLICIT)[:12] + explicit,
        "meta twice": start + meta(IMPLICIT) + meta(EXPLICIT) + explicit,
        "private meta information": start + meta(EXPLICIT) + private + explicit,
        "media class of another object": start + meta(EXPLICIT, STORAGE + "7") + explicit,
    }
    for name, data in files.items():
        made[name] = partial(bytes, data)
    return made


def _structures(pixels: Pixels) -> dict[str, Build]:
    """Private data, group lengths, sequences and items."""
    tag = 0x00081140
    inner = encode([element("CodeValue", "T-11500"), element("CodeMeaning", MARKER)])
    plain = encode([element("CodeValue", "T-11500")], "implicit")
    icon_pixels = Element(PIXEL_DATA, b"OB", b"\1\1")
    icon = encode(
        [element("Rows", 1), element("Columns", 1), element("BitsAllocated", 8), icon_pixels]
    )
    start, end = b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
    stop = b"\xfe\xff\xdd\xe0\0\0\0\0"

    item = Element(0xFFFEE000, b"", inner).encode()

    def items(*parts: bytes) -> Element:
        return Element(tag, b"SQ", b"".join((*parts, stop)), UNDEFINED)

    unknown = replace(sequence(0x00091002, [plain], "implicit"), vr=b"UN")
    added: dict[str, tuple[Element, ...]] = {
        "group lengths": tuple(Element(g << 16, b"UL", b"\x10\0\0\0") for g in (8, 16, 32, 40)),
        "group lengths that lie": tuple(Element(g << 16, b"UL", b"\xff" * 4) for g in (8, 40)),
        "private block of 1 MB": (Element(0x00291010, b"OB", MARKER.encode() * 100_000),),
        "private data without a creator": (Element(0x00131099, b"UN", MARKER.encode()),),
        "private sequence": (sequence(0x00091002, [inner, inner]),),
        "private UN sequence, implicit inside": (unknown,),
        "private UN sequence, explicit inside": (replace(sequence(0x00091002, [inner]), vr=b"UN"),),
        "private sequence as OB": (Element(0x00091002, b"OB", b"\xfe\xff\0\xe0\0\0\0\0"),),
        "empty sequence": (Element(tag, b"SQ", b""),),
        "empty sequence of undefined length": (items(),),
        "empty items": (items(start + end, start + end),),
        "items with lengths": (sequence(tag, [inner, b"", inner], has_lengths=True),),
        "items in a sequence with a length": (Element(tag, b"SQ", start + inner + end),),
        "item with a length in a sequence without": (items(item),),
        "item that ends with its sequence": (items(start + inner),),
        "item that ends where the next begins": (items(start + inner, start + inner + end),),
        "fifteen levels": (_nested(tag, 15),),
        "icon image": (sequence(0x00880200, [icon]),),
        "overlay plane": (
            Element(0x60000010, b"US", b"\x50\0"),
            Element(0x60003000, b"OW", b"\xaa" * 960),
        ),
        "curve data": (Element(0x50003000, b"OW", b"\1\2" * 50),),
        "extended offset table": (Element(0x7FE00001, b"OV", b"\0" * 8),),
        "element of group 0": (Element(0x00000002, b"UI", b"1.2\0"),),
        "planar configuration": (element("PlanarConfiguration", 0),),
        "2000 private elements": tuple(
            Element(0x00111000 + n, b"UN", MARKER.encode()) for n in range(2000)
        ),
    }
    return {name: partial(with_elements, pixels, *each) for name, each in added.items()}


def _vrs(pixels: Pixels) -> dict[str, Build]:
    """VRs that are unknown, missing or not those of the dictionary."""
    elements = list(mr_elements(pixels).values())
    made: dict[str, Build] = {
        "unknown VR in letters": partial(
            with_elements, pixels, Element(0x00180015, b"ZZ", b"ABCD")
        ),
        "unknown public element as UN": partial(
            with_elements, pixels, Element(0x0018FFFF, b"UN", MARKER.encode())
        ),
    }
    stray = Element(0x00080001, b"", b"ABCD").encode("implicit")
    made["implicit element in an explicit data set"] = partial(
        part10, encode(elements[:1]) + stray + encode(elements[1:])
    )
    early = [replace(each, vr=b"UN") for each in elements if each.tag < 0x00280000]
    unknown = encode([*early, *elements[len(early) :]])
    made["everything before the geometry as UN"] = partial(part10, unknown)
    for vr in (b"OB", b"UN", b"OL", b"UT"):
        other = replace(elements[-1], vr=vr)
        made[f"pixel data as {vr.decode()}"] = partial(with_elements, pixels, other)
    return made


def _nested(tag: int, depth: int) -> Element:
    inner = sequence(tag, [])
    for _ in range(depth - 1):
        inner = sequence(tag, [inner.encode()])
    return inner


def _orders(pixels: Pixels) -> dict[str, Build]:
    """Elements that come twice or out of order."""
    elements = list(mr_elements(pixels).values())
    rest, last = elements[:-1], elements[-1:]
    geometry = [each for each in rest if each.tag >> 16 == 0x28]
    others = [each for each in rest if each.tag >> 16 != 0x28]
    orders = {
        "backwards": [*rest[::-1], *last],
        "shuffled": [*sorted(rest, key=lambda each: each.tag % 7919), *last],
        "pixels first": [*last, *rest],
        "geometry after the pixels": [*others, *last, *geometry],
        "every element twice": [each for each in rest for _ in range(2)] + last,
        "pixels twice": [*rest, *last, *last],
    }
    return {name: partial(part10, encode(order)) for name, order in orders.items()}


def _tails(pixels: Pixels) -> dict[str, Build]:
    """What follows the pixels."""
    data = native(pixels)
    tails = {
        "one zero": b"\0",
        "zeros": b"\0" * 4096,
        "letters": MARKER.encode() * 50,
        "an open sequence": Element(0x00081140, b"SQ", b"", UNDEFINED).encode(),
        "half an element": b"\xfc\xff\xfc\xff",
        "trailing padding": Element(0xFFFCFFFC, b"OB", b"\0" * 500).encode(),
        "digital signatures": sequence(0xFFFAFFFA, [b""]).encode(),
        "a second file": data,
        "a ZIP archive": b"PK\x03\x04" + b"\0" * 26 + b"PK\x05\x06" + b"\0" * 18,
        "a PDF": b"%PDF-1.4\n%%EOF\n",
        "a program": b"\x7fELF" + b"\0" * 60,
    }
    made: dict[str, Build] = {
        f"after the pixels: {name}": partial(bytes, data + tail) for name, tail in tails.items()
    }
    made["after the pixels: 31 MB of zeros"] = lambda: data + b"\0" * 31_000_000
    for n_bytes in (1, 2, 126, 8192, 31_000_000):
        made[f"{n_bytes} zeros at the end of the pixel data"] = partial(_longer, pixels, n_bytes)
    return made


def _longer(pixels: Pixels, n_bytes: int) -> bytes:
    elements = mr_elements(pixels)
    found = elements[PIXEL_DATA]
    elements[PIXEL_DATA] = replace(found, value=found.value + b"\0" * n_bytes)
    return part10(encode(elements))
