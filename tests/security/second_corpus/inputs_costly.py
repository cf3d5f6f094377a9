"""Files that cost more to read than to send (lines 1, 3 and 5 of issue 14)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.preprocessing.decoding import codestreams
from tests.preprocessing.decoding.codestreams import RAMP, encode_jpeg_ls, encode_rle
from tests.security.files.corpus_files import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED,
    Element,
    Encoding,
    element,
    encode,
    part10,
    sequence,
)
from tests.security.second_corpus.inputs import (
    OK,
    Input,
    compressed,
    elements,
    enhanced,
    mr,
    picture,
)
from tests.security.second_corpus.inputs_precision import jpeg, lossy, ramp

MB = 1_000_000
ANY = frozenset({OK, "error"})
# Of a whole request; the issue: 1 CPU-s for each 100 kB or 3 s in all.
IN_ALL_S = 3.0


def cases() -> Iterator[Input]:
    """List them."""
    yield from _codestreams()
    yield from _honest_codestreams()
    yield from _frames()
    yield from _headers()


def _stuffed(name: str, piece: bytes, before: bytes, size: int) -> bytes:
    """A sound codestream with many small pieces before a marker."""
    syntax, frame = codestreams.LOSSLESS[name]
    at = frame.index(before)
    return ramp(syntax, frame[:at] + piece * (size // len(piece)) + frame[at:])


def _boxed(size: int, box: bytes) -> bytes:
    """A JP2 file with many boxes before its codestream (ISO 15444-1 annex I)."""
    syntax, frame = codestreams.LOSSLESS["JPEG 2000 lossless"]
    ihdr = struct.pack(">LLHBBBB", 16, 24, 1, 15, 7, 0, 0)
    ihdr = struct.pack(">L4s", 22, b"ihdr") + ihdr
    colr = struct.pack(">L4sBBBL", 15, b"colr", 1, 0, 0, 17)
    header = struct.pack(">L4s", 8 + len(ihdr + colr), b"jp2h") + ihdr + colr
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 "
    end = struct.pack(">L4s", 8 + len(frame), b"jp2c") + frame
    return ramp(syntax, start + header + box * (size // len(box)) + end)


def _codestreams() -> Iterator[Input]:
    """Lists of markers that a reader of the header would walk for seconds."""
    lossless, ls, j2k = "JPEG lossless SV1", "JPEG-LS lossless", "JPEG 2000 lossless"
    floods = {
        "APP0 without content": (lossless, b"\xff\xe0\0\2", b"\xff\xc3"),
        "COM without content": (lossless, b"\xff\xfe\0\2", b"\xff\xc3"),
        "COM of one byte": (lossless, b"\xff\xfe\0\3x", b"\xff\xc3"),
        "fill bytes": (lossless, b"\xff", b"\xff\xc3"),
        "restart markers": (lossless, b"\xff\xd0", b"\xff\xc3"),
        "TEM markers": (lossless, b"\xff\x01", b"\xff\xc3"),
        "starts of images": (lossless, b"\xff\xd8", b"\xff\xc3"),
        "empty tables": (lossless, b"\xff\xc4\0\2", b"\xff\xc3"),
        "APP1 before the scan": (lossless, b"\xff\xe1\0\2", b"\xff\xda"),
        "fill bytes before the scan": (lossless, b"\xff", b"\xff\xda"),
        "APP8 of JPEG-LS": (ls, b"\xff\xe8\0\2", b"\xff\xf7"),
        "fill bytes of JPEG-LS": (ls, b"\xff", b"\xff\xf7"),
        "LSE without content": (ls, b"\xff\xf8\0\2", b"\xff\xda"),
        "COM of JPEG 2000": (j2k, b"\xff\x64\0\4\0\1", b"\xff\x90"),
        "empty segments of JPEG 2000": (j2k, b"\xff\x64\0\2", b"\xff\x52"),
        "markers alone of JPEG 2000": (j2k, b"\xff\x30", b"\xff\x52"),
    }
    for name, (syntax, piece, before) in floods.items():
        build = partial(_stuffed, syntax, piece, before, 30 * MB)
        yield Input(1, f"30 MB of {name}", build, ANY, cpu_s=IN_ALL_S)
    for name in ("APP0 without content", "fill bytes", "COM of JPEG 2000"):
        syntax, piece, before = floods[name]
        build = partial(_stuffed, syntax, piece, before, 400_000)
        yield Input(1, f"400 kB of {name}", build, ANY, cpu_s=0.05)
    for name, box in {
        "free boxes": b"\0\0\0\x08free",
        "long boxes": b"\0\0\0\x01free\0\0\0\0\0\0\0\x10",
        "UUID boxes": b"\0\0\0\x18uuid" + b"u" * 16,
    }.items():
        yield Input(1, f"30 MB of {name}", partial(_boxed, 30 * MB, box), ANY, cpu_s=IN_ALL_S)
    endless = b"\0\0\0\0free"
    yield Input(1, "a box without an end", partial(_boxed, 8, endless), ANY, cpu_s=0.5)
    syntax, frame = codestreams.LOSSLESS[lossless]
    without_end = partial(ramp, syntax, frame[:2] + b"\xff\xe0\0\2" * (7 * MB))
    yield Input(1, "markers and nothing else", without_end, ANY, cpu_s=IN_ALL_S)


def _honest_codestreams() -> Iterator[Input]:
    """What cameras, archives and converters leave before the picture."""
    lossless = "JPEG lossless SV1"
    syntax, sound = codestreams.LOSSLESS[lossless]
    plain = partial(ramp, syntax, sound)
    icc = b"\xff\xe2" + struct.pack(">H", 60_016) + b"ICC_PROFILE\0\1\1" + bytes(60_000)
    exif = b"\xff\xe1" + struct.pack(">H", 9_000) + b"Exif\0\0" + bytes(8_992)
    comment = b"\xff\xfe\0\x32" + b"c" * 48
    for name, piece in {
        "an ICC profile of 60 kB": icc,
        "three ICC profiles": icc * 3,
        "Exif": exif,
        "twelve comments": comment * 12,
        "an Adobe marker": b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0",
        "eight fill bytes": b"\xff" * 8,
    }.items():
        build = partial(ramp, syntax, sound[:2] + piece + sound[2:])
        yield Input(1, f"{name} stays", build, same_as=plain)
    frame = lossy()
    base = partial(jpeg, "50", frame)
    profiled = partial(jpeg, "50", lossy(icc_profile=bytes(60_000)))
    yield Input(1, "lossy with an ICC profile stays", profiled, same_as=base)
    long = partial(jpeg, "50", lossy(icc_profile=bytes(150_000), comment=b"c" * 300))
    yield Input(1, "lossy with a profile in three parts stays", long, same_as=base)
    boxed = partial(_boxed, 8, b"\0\0\0\x08free")
    yield Input(1, "JPEG 2000 in a file of boxes", boxed, ANY)


def _frames() -> Iterator[Input]:
    """Many frames in few bytes."""
    for side, number, cpu_s in ((1, 2048, 1.0), (2, 2048, 1.0), (1, 1500, 1.0), (8, 2048, 2.6)):
        pixels = (np.arange(number * side * side) % 4096).astype(np.uint16)
        build = partial(mr, pixels=pixels.reshape(number, side, side))
        yield Input(3, f"{number} frames of {side} x {side}", build, ANY, cpu_s=cpu_s)
    black = partial(mr, pixels=np.zeros((2048, 1, 1), np.uint16))
    yield Input(3, "2048 black frames", black, ANY, cpu_s=1.0)
    small = np.tile(np.arange(64, dtype=np.uint16), (2000, 1)).reshape(2000, 8, 8)
    deflated = part10(encode(elements(small)), DEFLATED)
    yield Input(3, "2000 deflated frames", partial(bytes, deflated), ANY, cpu_s=1.0)
    for name, (syntax, frame) in {
        "RLE": (codestreams.RLE, encode_rle(small[0])),
        "JPEG-LS": (codestreams.JPEG + "80", encode_jpeg_ls(small[0])),
    }.items():
        build = partial(compressed, small, syntax, [frame] * 2000)
        yield Input(3, f"2000 {name} frames", build, ANY, cpu_s=IN_ALL_S)
    large = encode_rle(np.zeros((1024, 1024), np.uint16))
    zeros = np.broadcast_to(np.zeros((1, 1), np.uint16), (300, 1024, 1024))
    build = partial(_few_bytes, zeros, large)
    yield Input(3, "300 empty RLE frames of 1024 x 1024", build, ANY, cpu_s=IN_ALL_S)
    # Honest: 200 slices of one object, with a value of its own for each in the groups.
    stack = np.stack([np.roll(picture()[::4, ::4], n, axis=0) for n in range(200)])
    yield Input(3, "200 frames stay", partial(mr, pixels=stack), in_scope=True)
    types: dict[str, Any] = {"PlanePositionSequence": {"ImagePositionPatient": "0\\0\\0"}}
    build = partial(enhanced, stack, None, [types] * 200)
    yield Input(3, "200 enhanced frames stay", build, in_scope=True)
    rolled = [np.ascontiguousarray(each) for each in stack]
    frames = [encode_rle(each) for each in rolled]
    build = partial(compressed, stack, codestreams.RLE, frames)
    yield Input(3, "200 RLE frames stay", build, in_scope=True)


def _few_bytes(pixels: Any, frame: bytes) -> bytes:
    return compressed(
        pixels[0],
        codestreams.RLE,
        [frame] * len(pixels),
        BitsStored=16,
        HighBit=15,
        NumberOfFrames=str(len(pixels)),
    )


_EMPTY_ITEM = b"\xfe\xff\0\xe0\0\0\0\0"


def _header(added: Element | bytes, syntax: str = EXPLICIT) -> bytes:
    """A slice of 24 x 16 with one more element, or bytes of elements, in a header of any syntax."""
    encoding: Encoding = "implicit" if syntax == IMPLICIT else "explicit"
    if isinstance(added, Element):
        return part10(encode(elements(RAMP, added), encoding), syntax)
    made = elements(RAMP)
    before = [each for each in made if each.tag < 0x00091000]
    after = [each for each in made if each.tag > 0x0009FFFF]
    return part10(encode(before, encoding) + added + encode(after, encoding), syntax)


def _headers() -> Iterator[Input]:
    empty = struct.pack("<HH2sH", 9, 0x1010, b"LO", 0)
    number = struct.pack("<HH2sH2s", 9, 0x1010, b"US", 2, b"\1\0")
    tags = [struct.pack("<HH2sH", 9, 0x1000 + n, b"LO", 0) for n in range(49_000)]
    item = struct.pack("<HH2sH2s", 8, 0x1150, b"UI", 2, b"1\0") * 4
    crowd = sequence(0x00081140, [item] * 39_000).value
    nested = sequence(0x00400275, [sequence(0x00081140, [b""] * 5).encode()] * 8_000).value
    floods: dict[str, tuple[Element | bytes, str, float]] = {
        "199,000 empty elements": (empty * 199_000, DEFLATED, 0.08),
        "195,000 elements of two bytes": (number * 195_000, DEFLATED, 0.08),
        "196,000 empty elements of many tags": (b"".join(tags) * 4, DEFLATED, 0.08),
        "39,000 items of four elements": (Element(0x00081140, b"SQ", crowd), DEFLATED, 0.08),
        "48,000 items in items": (Element(0x00400275, b"SQ", nested), DEFLATED, 0.08),
        "49,000 empty items": (Element(0x00081140, b"SQ", _EMPTY_ITEM * 49_000), DEFLATED, 0.08),
        "49,000 groups of frames": (
            Element(0x52009230, b"SQ", _EMPTY_ITEM * 49_000),
            DEFLATED,
            0.08,
        ),
        "a deflated text of 15 MB": (Element(0x00104000, b"UT", b"A" * 15 * MB), DEFLATED, 0.25),
    }
    for keyword, value in {
        "ImageType": b"M\\",
        "PixelSpacing": b"1\\",
        "ImageOrientationPatient": b"1\\",
        "ScanningSequence": b"SE\\",
        "ScanOptions": b"FS\\",
        "BodyPartExamined": b"A\\",
        "EchoTime": b"9\\",
        "ContrastBolusAgent": b"\\",
        "PatientAge": b"012Y\\",
        "RescaleSlope": b"-\\",
    }.items():
        tag = element(keyword, "").tag
        flood = Element(tag, b"UN", value * (15 * MB // len(value)))
        floods[f"15 MB of values of {keyword}"] = flood, IMPLICIT, 1.0
        floods[f"deflated values of {keyword}"] = flood, DEFLATED, 0.25
    ge = Element(0x00431039, b"UN", b"1\\" * (7 * MB))
    floods["deflated b-values"] = ge, DEFLATED, 0.25
    lut = Element(0x00283000, b"SQ", _EMPTY_ITEM * 49_000)
    floods["49,000 Modality LUTs"] = lut, DEFLATED, 0.12
    for name, (added, syntax, cpu_s) in floods.items():
        yield Input(5, name, partial(_header, added, syntax), ANY, cpu_s=cpu_s)
    unknown = Element(0x00091010, b"UN", _EMPTY_ITEM * 1_900_000, UNDEFINED)
    yield Input(5, "items in a private element", partial(_header, unknown), ANY, cpu_s=1.0)
    # Honest: the private header of a scanner, and an ordinary deflated slice.
    csa = Element(0x00291020, b"OB", b"SV10" + bytes(90_000))
    yield Input(5, "a CSA header of 90 kB stays", partial(mr, csa), in_scope=True, same_as=mr)
    build = partial(part10, encode(elements()), DEFLATED)
    yield Input(5, "a deflated slice stays", build, in_scope=True, same_as=mr)
    some = b"".join(struct.pack("<HH2sH4s", 9, 0x1000 + n, b"LO", 4, b"text") for n in range(900))
    yield Input(5, "900 private elements stay", partial(_header, some), ANY - {"error"})
