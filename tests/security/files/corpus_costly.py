"""Files that ask for much memory or time: bombs, crowds, and the largest accepted ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import rle
from openjpeg.utils import encode_array as encode_jpeg_2000

from preprocessing.dicom import tags
from tests.dicom_files import noise
from tests.preprocessing.decoding.codestreams import JPEG, RAMP, RLE, encode_jpeg_ls, encode_rle
from tests.security.files.corpus import DAMAGE, OK, Build, Case
from tests.security.files.corpus_files import (
    BIG,
    DEFLATED,
    EXPLICIT,
    PIXEL_DATA,
    UNDEFINED,
    Element,
    Pixels,
    encapsulated,
    encode,
    fragment,
    meta,
    mr_elements,
    native,
    part10,
    pixel_element,
    sequence,
    with_elements,
    with_pixels,
)

_LIMIT = frozenset({"limit_exceeded"})
_SEQUENCE = 0x00081140
_EMPTY_ITEM = b"\xfe\xff\0\xe0\0\0\0\0"
_OPEN_ITEM = b"\xfe\xff\0\xe0\xff\xff\xff\xff"
_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PRIVATE = 0x00091010
_OPENING = Element(_SEQUENCE, b"SQ", b"", UNDEFINED).encode()
_OPENING_UNKNOWN = Element(_PRIVATE, b"UN", b"", UNDEFINED).encode("implicit")
_MACROS = (0x00189112, 0x00189114, 0x00289110, 0x00289145)  # timing, echo, measures, rescale
_EMPTY = Element(0x00091010, b"UI", b"").encode()
MIB = 1 << 20
# Eight deflated blocks of 99 bits, each with a Huffman code of its own (RFC 1951 3.2.7) and nothing
# else: zlib builds the tables of each.
_EMPTY_BLOCKS = bytes.fromhex(
    "ecc081000000000090ff6b2360070e040000000080fc5f1b013b70200000000000e4ffda08d88103010000000020"
    "ffd746c00e1c080000000000f9bf360276e0400000000000c8ffb511b00307020000000040feaf8d801d38100000"
    "000000f27f6d04"
)


def cases() -> Iterator[Case]:
    """List them."""
    yield from _headers()
    yield from _deflated()
    yield from _pixel_data()
    yield from _codestream_headers()
    yield from _frames()
    yield from _largest()


def _bomb(name: str, build: Build, codes: frozenset[str] = _LIMIT) -> Case:
    return Case("malformed", name, build, codes, is_expensive=True)


def _headers() -> Iterator[Case]:
    crowds = {
        "400000 empty items": (_SEQUENCE, b"SQ", _EMPTY_ITEM, 400_000),
        "400000 empty items for frames": (0x52009230, b"SQ", _EMPTY_ITEM, 400_000),
        "400000 empty private items": (_PRIVATE, b"UN", _EMPTY_ITEM, 400_000),
        "30000 nested sequences": (_SEQUENCE, b"SQ", _OPEN_ITEM + _OPENING, 30_000),
        "30000 nested unknown sequences": (_PRIVATE, b"UN", _OPEN_ITEM + _OPENING_UNKNOWN, 30_000),
        "300000 elements in an item": (_SEQUENCE, b"SQ", _OPEN_ITEM + _EMPTY * 300_000, 1),
    }
    for name, crowd in crowds.items():
        yield _bomb(f"{name}, undefined length", partial(_crowd, *crowd, has_length=False))
        if crowd[1] == b"SQ":
            yield _bomb(f"{name}, with a length", partial(_crowd, *crowd, has_length=True))
    yield _bomb("3000 nested sequences with lengths", partial(_nested_with_lengths, 3_000))
    yield _bomb("300000 elements", lambda: _inserted(_EMPTY * 300_000))
    yield _bomb("300000 elements of meta information", partial(_meta_crowd, 300_000))
    yield _bomb("17 MB before the pixels", partial(_private, 17 * MIB, 1))
    yield _bomb("17 MB in a thousand elements before the pixels", partial(_private, 17_900, 1000))
    text = ("UT", b"Q" * 20_000_000)
    yield _bomb("a text of 20 MB", partial(native, RAMP, PatientComments=text))
    yield _bomb("a file of 33 MiB", partial(_padded, 33 * MIB))
    few = _SEQUENCE, b"SQ", _EMPTY_ITEM, 40_000
    yield Case("tolerated", "40000 empty items", partial(_crowd, *few, has_length=True))
    build = partial(_private, 15 * MIB, 1)
    yield Case("tolerated", "15 MB of private data", build, is_expensive=True)


def _crowd(tag: int, vr: bytes, unit: bytes, number: int, has_length: bool) -> bytes:
    if has_length:
        return with_elements(RAMP, Element(tag, vr, unit * number))
    return with_elements(RAMP, Element(tag, vr, unit * number + _END, UNDEFINED))


def _private(size: int, number: int) -> bytes:
    value = b"\0" * size
    return with_elements(RAMP, *(Element(0x00111000 + n, b"OB", value) for n in range(number)))


def _inserted(data: bytes) -> bytes:
    elements = list(mr_elements(RAMP).values())
    return part10(encode(elements[:4]) + data + encode(elements[4:]))


def _nested_with_lengths(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = Element(_SEQUENCE, b"SQ", Element(0xFFFEE000, b"", inner).encode()).encode()
    return _inserted(inner)


def _meta_crowd(n_elements: int) -> bytes:
    more = Element(0x00020016, b"AE", b"").encode() * n_elements
    return b"\0" * 128 + b"DICM" + meta(EXPLICIT) + more + encode(mr_elements(RAMP))


def _padded(size: int) -> bytes:
    data = native(RAMP)
    return data + b"\0" * (size - len(data))


def _deflated() -> Iterator[Case]:
    data_set = encode(mr_elements(RAMP))

    def deflated(*parts: bytes) -> bytes:
        deflater = zlib.compressobj(wbits=-15)
        body = b"".join(deflater.compress(part) for part in parts) + deflater.flush()
        return b"\0" * 128 + b"DICM" + meta(DEFLATED) + body

    block = b"\0" * MIB
    yield _bomb("deflate bomb of zeros", partial(deflated, *[block] * 300))
    yield _bomb("deflate bomb after the pixels", partial(deflated, data_set, *[block] * 300))
    opening = Element(_SEQUENCE, b"SQ", b"", UNDEFINED).encode()
    yield _bomb("deflated crowd of items", lambda: deflated(opening, _EMPTY_ITEM * 1_000_000))
    yield _bomb("deflated nest", lambda: deflated((opening + _OPEN_ITEM) * 1_000_000))
    crowds = {
        "150000 elements": _EMPTY * 150_000,
        "45000 items": Element(_SEQUENCE, b"SQ", _EMPTY_ITEM * 45_000).encode(),
        "45000 items for frames": Element(0x52009230, b"SQ", _EMPTY_ITEM * 45_000).encode(),
        "45000 fragments": Element(
            _PRIVATE, b"OB", _EMPTY_ITEM * 45_000 + _END, UNDEFINED
        ).encode(),
    }
    for name, crowd in crowds.items():
        yield _bomb(f"deflated {name}", partial(deflated, crowd, data_set))
    private = Element(_PRIVATE, b"OB", b"", 40 * MIB).encode()
    yield _bomb("deflated header of 40 MB", partial(deflated, private, *[block] * 40, data_set))
    whole = part10(data_set, DEFLATED)
    start = len(b"\0" * 128 + b"DICM" + meta(DEFLATED))
    for share in (0, 1, 2, 10, 50, 90, 99):
        cut = start + (len(whole) - start) * share // 100
        yield Case(
            "malformed", f"deflated cut after {share} %", partial(bytes, whole[:cut]), DAMAGE
        )
    for name, body in {
        "garbage": b"\xff\x07" * 900,
        "not deflated": data_set,
        "with a zlib header": zlib.compress(data_set),
        "a stored block that lies": b"\1\xff\xff\xff\0" + data_set,
        "empty blocks": b"\0\0\0\xff\xff" * 200_000,
        "empty blocks with tables": _EMPTY_BLOCKS * 20_000,
    }.items():
        build = partial(bytes, whole[:start] + body)
        yield Case("malformed", f"deflated: {name}", build, DAMAGE)
    yield Case(
        "tolerated", "bytes after the deflated data set", partial(bytes, whole + b"\xaa" * 4000)
    )
    yield Case(
        "tolerated",
        "one MB after the deflated data set",
        partial(bytes, whole + b"\xaa" * MIB),
    )


def _pixel_data() -> Iterator[Case]:
    syntax, frame = JPEG + "80", encode_jpeg_ls(RAMP)
    frame += b"\0" * (len(frame) % 2)

    def crowd(n: int) -> bytes:
        return with_pixels(RAMP, syntax, fragment(b"") + _EMPTY_ITEM * n + fragment(frame))

    yield _bomb("400000 empty fragments", partial(crowd, 400_000))
    yield Case("tolerated", "40000 empty fragments", partial(crowd, 40_000), is_expensive=True)

    def tabled(size: int) -> bytes:
        return with_pixels(RAMP, syntax, fragment(b"\0" * size) + fragment(frame))

    yield Case(
        "tolerated", "an offset table of 30 MB", partial(tabled, 30_000_000), is_expensive=True
    )
    wrong = frozenset({"geometry_mismatch", "damaged_image"})
    yield _bomb("31 MB of bytes in the pixel data", partial(_overlong, 31_000_000), wrong)
    thousand = partial(encapsulated, RAMP, syntax, [frame] * 2000)
    yield _bomb("2000 frames where one is declared", thousand, wrong)
    cut = frame[:100].ljust(1000, b"\0")  # fewer bytes pay for fewer frames
    damaged = partial(encapsulated, RAMP, syntax, [cut] * 300, NumberOfFrames="300")
    yield _bomb("300 damaged frames", damaged, wrong)
    for side in (16, 1024, 2048):
        yield _bomb(f"a frame of {side} x {side} without data", partial(slow_frame, side), wrong)


def _codestream_headers() -> Iterator[Case]:
    """JPEG headers without a frame header, and ends that are far from the end."""
    start, end = b"\xff\xd8", b"\xff\xd9"
    frames = {
        "empty segments": (start, b"\xff\xe0\0\2", end),
        "segments of a byte": (start, b"\xff\xe0\0\3Q", end),
        "comments": (start, b"\xff\xfe\xff\xff" + b"Q" * 65_533, end),
        "fill bytes": (start, b"\xff", end),
        "restart markers": (start, b"\xff\xd3", end),
        "temporary markers": (start, b"\xff\x01", end),
        "tables": (start, b"\xff\xc4\0\2", end),
        "ends": (start, end, b"\0Q"),
        "ends turned round": (start, b"\xd9\xff", b""),
        "zeros after the end": (start + end, b"\0", b""),
        "zeros and a letter after the end": (start + end, b"\0", b"Q"),
        "JPEG 2000 starts": (b"\xff\x4f", b"\xff\x4f\xff", end),
    }
    for name, (first, middle, last) in frames.items():
        build = partial(_long_frame, first, middle, last)
        yield _bomb(f"codestream of {name}", build, DAMAGE)


def _frames() -> Iterator[Case]:
    """As many frames as are served, each with a look at long values and at sequences of items."""
    pixels = np.zeros((300, 32, 32), np.uint8)
    texts = [
        tag
        for tag, nested in tags.DATASET.items()
        if not nested and tag >> 16 not in (0x0008, 0x0028)
    ]
    for name, text in {"blanks": b" ", "backslashes": b"\\", "letters": b"\xc3\xa9"}.items():
        for size in (510, 4094):
            values = [Element(tag, b"UT", (text * size)[:size]) for tag in texts]
            build = partial(with_elements, pixels, *values)
            yield Case(
                "tolerated",
                f"frames with {size} {name} in each value",
                build,
                frames=len(pixels),
                is_expensive=True,
            )
    for tag, nested in tags.DATASET.items():
        if nested:
            crowd = Element(tag, b"SQ", _EMPTY_ITEM * 45_000)
            build = partial(with_elements, pixels, crowd)
            name = f"frames with 45000 items of {tag:08X}"
            codes = frozenset({OK, "damaged_image"})
            yield Case("malformed", name, build, codes, is_expensive=True)


def _long_frame(first: bytes, middle: bytes, last: bytes) -> bytes:
    frame = first + middle * (30 * MIB // len(middle)) + last
    return encapsulated(RAMP, JPEG + "70", [frame])


def slow_frame(side: int) -> bytes:
    """A JPEG-LS slice of 600 bytes that CharLS computes on without end.

    Its scan has no data. The end-of-image marker that a cheap check looks for among the last bytes
    is there, but in a comment.
    """
    whole = encode_jpeg_ls(noise((32, 32)))
    at = whole.index(b"\xff\xf7") + 5
    whole = whole[:at] + side.to_bytes(2, "big") * 2 + whole[at + 4 :]
    scan = whole.index(b"\xff\xda")
    after_scan = scan + 2 + int.from_bytes(whole[scan + 2 : scan + 4], "big")
    frame = whole[:scan] + b"\xff\xfe\x00\x04\xff\xd9" + whole[scan:after_scan]
    return encapsulated(np.zeros((side, side), np.uint16), JPEG + "80", [frame])


def _overlong(n_bytes: int) -> bytes:
    elements = mr_elements(RAMP)
    elements[PIXEL_DATA] = Element(PIXEL_DATA, b"OW", RAMP.tobytes() + b"\1" * n_bytes)
    return part10(encode(elements))


def smooth(side: int, dtype: str = "u2") -> Pixels:
    """A picture of many values that compresses well."""
    at = np.arange(side, dtype=np.float32)
    waves = (np.sin(at / 97)[None, :] + np.cos(at / 131)[:, None] + 2) * 15_000
    made: Pixels = (waves.astype(np.uint32) >> 5 << 5).astype(dtype)
    return made


def _largest() -> Iterator[Case]:
    """The largest frames that are answered; each costs a hundred megabytes or more to read."""

    def compressed(name: str) -> bytes:
        pixels = smooth(4096)
        if name == "RLE":
            return encapsulated(pixels, RLE, [encode_rle(pixels)])
        if name == "JPEG-LS":
            return encapsulated(pixels, JPEG + "80", [encode_jpeg_ls(pixels)])
        if name == "JPEG 2000":
            return encapsulated(pixels, JPEG + "90", [encode_jpeg_2000(pixels)])
        wide = smooth(4096, "u4")
        frame = rle.rle.encode_frame(wide.tobytes(), 4096, 4096, 1, 32, "<")
        return encapsulated(wide, RLE, [bytes(frame)])

    for name in ("RLE", "RLE of 32 bit", "JPEG-LS", "JPEG 2000"):
        yield Case("valid", f"4096 x 4096, {name}", partial(compressed, name), is_expensive=True)
    build = partial(_native_large, 4096, "u1", EXPLICIT)
    yield Case("valid", "4096 x 4096, 8 bit", build, is_expensive=True)
    build = partial(_native_large, 3990, "u2", BIG)
    yield Case("valid", "3990 x 3990, big endian", build, is_expensive=True)
    build = partial(_native_large, 4090, "u4", DEFLATED)
    yield Case("valid", "4090 x 4090 of 32 bit, deflated", build, is_expensive=True)
    build = partial(_native_large, 2800, "f4", EXPLICIT)
    yield Case("valid", "2800 x 2800 floats", build, is_expensive=True)
    frames = partial(_many_frames, 230)
    yield Case("valid", "230 frames of 256 x 256", frames, frames=230, is_expensive=True)
    crowded = partial(_crowded_group, 300)
    yield Case("tolerated", "40000 items for 300 frames", crowded, frames=300, is_expensive=True)
    yield from _unpaid()


def _unpaid() -> Iterator[Case]:
    """Frames that cost more than their bytes pay for, and such that do not."""
    deflated, ramp = partial(native, syntax=DEFLATED), encode_jpeg_ls(RAMP)
    for name, build, n_frames, side in (
        ("", native, 512, 2),
        ("", native, 2048, 1),
        ("deflated ", deflated, 100, 64),
        ("deflated ", deflated, 2, 4096),
    ):
        black = np.zeros((n_frames, side, side), np.uint8)
        yield _bomb(f"{n_frames} {name}frames of {side} x {side}", partial(build, black))
    many = np.broadcast_to(RAMP, (200, *RAMP.shape))
    yield _bomb("200 tiny frames", partial(encapsulated, many, JPEG + "80", [ramp] * 200))
    flat = np.zeros((4096, 4096), np.uint16)
    blank = partial(encapsulated, flat, JPEG + "80", [encode_jpeg_ls(flat)])
    yield _bomb("4096 x 4096 of zeros, JPEG-LS", blank)
    noise = np.random.default_rng(3).integers(0, 200, (200, 32, 32), dtype=np.uint8)
    yield Case("valid", "200 frames of 1 kB", partial(native, noise), frames=200)
    build = partial(native, np.zeros((16, 256, 256), np.uint8), DEFLATED)
    yield Case("valid", "16 black frames, deflated", build, frames=16)


def _native_large(side: int, dtype: str, syntax: str) -> bytes:
    pixels = smooth(side, "u4")
    if dtype == "u1":
        pixels >>= 8
    return native(pixels.astype(dtype), syntax)


def _crowded_group(n_frames: int) -> bytes:
    """Functional groups in which a value would be looked for in 40000 items for each frame."""
    pixels = np.arange(n_frames * 4, dtype=np.uint16).reshape(n_frames, 2, 2)
    inner = [Element(tag, b"SQ", _EMPTY_ITEM * 10_000).encode() for tag in _MACROS]
    shared = sequence(0x52009229, [b"".join(inner)])
    return with_elements(pixels, shared, RescaleSlope=["1"] * 1000, PixelSpacing=["1"] * 1000)


def _many_frames(n_frames: int) -> bytes:
    frame = smooth(256)
    stack = np.stack([np.roll(frame, shift, axis=0) for shift in range(n_frames)])
    elements = mr_elements(stack[:1], NumberOfFrames=str(n_frames))
    elements[PIXEL_DATA] = pixel_element(stack)
    return part10(encode(elements))
