"""The most expensive requests that are known, for each stage of a request's way."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from openjpeg.utils import encode_array as encode_jpeg_2000

from tests.preprocessing.decoding.codestreams import JPEG, RAMP, RLE, encode_jpeg_ls, encode_rle
from tests.security.files.corpus_costly import slow_frame, smooth
from tests.security.files.corpus_files import (
    DEFLATED,
    EXPLICIT,
    Element,
    encapsulated,
    encode,
    fragment,
    meta,
    mr_elements,
    native,
    part10,
    sequence,
    with_elements,
    with_pixels,
)
from tests.security.load.load import get, head, post
from tests.security.load.request_mix import FILE, FORM, form

_EMPTY_ITEM = b"\xfe\xff\0\xe0\0\0\0\0"
_EMPTY = Element(0x00091010, b"UI", b"").encode()
_MACROS = (0x00189112, 0x00189114, 0x00289110, 0x00289145)  # timing, echo, measures, rescale


def frames(number: int, side: int = 1) -> bytes:
    """An object of small frames that differ."""
    grid = np.arange(number * side * side, dtype=np.uint32).reshape(number, side, side)
    return native((grid * 2_654_435_761 >> 24 & 0xFF).astype(np.uint8))


def bomb(*parts: bytes) -> bytes:
    """A deflated data set."""
    deflater = zlib.compressobj(9, wbits=-15)
    body = b"".join(deflater.compress(part) for part in parts) + deflater.flush()
    return b"\0" * 128 + b"DICM" + meta(DEFLATED) + body


Requests = Iterator[tuple[str, bytes]]


def _heads() -> Requests:
    fields = {f"X_{number:02}": "x" * 290 for number in range(90)}
    yield "32 kB in 90 fields", head("GET", "/no/such/path", **fields)
    yield "a path that is not there", get("/x")


def _forms() -> Requests:
    noise = "; ".join(f'a{number}="{"x" * 40}"' for number in range(150))
    others = [(f'name="_charset_"; {noise}', b"utf-8") for _ in range(31)]
    yield "32 parts with 8 kB of header", post(form((FILE, native(RAMP)), *others), FORM)
    yield "an ordinary one", post(form((FILE, native(RAMP))), FORM)


def _headers() -> Requests:
    elements = list(mr_elements(RAMP).values())

    def inserted(data: bytes) -> bytes:
        return part10(encode(elements[:4]) + data + encode(elements[4:]))

    yield "190,000 elements", inserted(_EMPTY * 190_000)
    yield "49,000 items", with_elements(RAMP, Element(0x00081140, b"SQ", _EMPTY_ITEM * 49_000))
    item = b"\xfe\xff\0\xe0\x08\0\0\0" + _EMPTY
    yield (
        "49,000 items of one element",
        with_elements(RAMP, Element(0x00081140, b"SQ", item * 49_000)),
    )
    groups = [b"".join(Element(tag, b"SQ", _EMPTY_ITEM).encode() for tag in _MACROS)] * 9_000
    yield "9,000 functional groups", with_elements(RAMP, sequence(0x52009230, groups))
    yield "255 elements of meta information", _meta(250)
    fragments = fragment(b"") + _EMPTY_ITEM * 49_000 + fragment(encode_jpeg_ls(RAMP))
    yield "49,000 fragments", with_pixels(RAMP, JPEG + "80", fragments)
    start = encode_jpeg_ls(RAMP)[:2]
    segments = start + b"\xff\xe0\0\2" * 2_000_000 + encode_jpeg_ls(RAMP)[2:]
    yield "8 MB of empty segments", encapsulated(RAMP, JPEG + "70", [segments])
    yield "8 MB of fill bytes", encapsulated(RAMP, JPEG + "70", [start + b"\xff" * 8_000_000])


def _meta(number: int) -> bytes:
    more = Element(0x00020016, b"AE", b"").encode() * number
    return b"\0" * 128 + b"DICM" + meta(EXPLICIT) + more + encode(mr_elements(RAMP))


def _deflated() -> Requests:
    head_of_all = encode(list(mr_elements(RAMP).values())[:4])
    yield "199,000 elements", bomb(head_of_all, _EMPTY * 199_000, encode(mr_elements(RAMP)))
    yield "24,000 elements", bomb(_EMPTY * 24_000, encode(mr_elements(RAMP)))
    yield "zeros beyond the limit", bomb(encode(mr_elements(RAMP)), *[b"\0" * (1 << 20)] * 80)
    pixels = np.zeros((4096, 4096), np.uint8)
    pixels[::7, ::5] = 200
    yield "4096 x 4096 pixels of few values", bomb(encode(mr_elements(pixels)))
    yield "2048 x 2048 pixels of few values", bomb(encode(mr_elements(pixels[:2048, :2048])))
    yield "1 MB of empty blocks", bomb()[:-2] + b"\0\0\0\xff\xff" * 200_000
    many = (np.arange(350 * 1024, dtype=np.uint32) % 7).astype(np.uint8).reshape(350, 32, 32)
    yield "350 frames", bomb(encode(mr_elements(many)))


def _decoded() -> Requests:
    for side in (16, 512, 1024, 2048, 4096):
        yield f"{side} x {side} without data, JPEG-LS", slow_frame(side)
    noisy = np.random.default_rng(1).integers(0, 4096, (4096, 4096), dtype=np.uint16)
    for side in (512, 1024, 2048):
        part = np.ascontiguousarray(noisy[:side, :side])
        yield (
            f"{side} x {side} of noise, JPEG 2000",
            encapsulated(part, JPEG + "90", [encode_jpeg_2000(part)]),
        )
        yield (
            f"{side} x {side} of noise, JPEG-LS",
            encapsulated(part, JPEG + "80", [encode_jpeg_ls(part)]),
        )
    large = smooth(4096)
    yield "4096 x 4096, JPEG 2000", encapsulated(large, JPEG + "90", [encode_jpeg_2000(large)])
    yield "4096 x 4096, JPEG-LS", encapsulated(large, JPEG + "80", [encode_jpeg_ls(large)])
    flat = np.zeros((4096, 4096), np.uint16)
    yield "4096 x 4096 of zeros, RLE", encapsulated(flat, RLE, [encode_rle(flat)])
    yield "4096 x 4096 of zeros, JPEG-LS", encapsulated(flat, JPEG + "80", [encode_jpeg_ls(flat)])
    yield (
        "4096 x 4096 of zeros, JPEG 2000",
        encapsulated(flat, JPEG + "90", [encode_jpeg_2000(flat)]),
    )
    flat = np.zeros((16, 512, 512), np.uint16)
    yield (
        "16 frames of zeros, JPEG 2000",
        encapsulated(flat, JPEG + "90", [encode_jpeg_2000(flat[0])] * 16),
    )
    part = np.ascontiguousarray(noisy[:384, :384])
    many = np.broadcast_to(part, (100, 384, 384))
    yield (
        "100 frames of noise, JPEG 2000",
        encapsulated(many, JPEG + "90", [encode_jpeg_2000(part)] * 100),
    )
    tiny = np.ascontiguousarray(noisy[:32, :32])
    yield (
        "300 frames of 32 x 32, JPEG 2000",
        encapsulated(
            np.broadcast_to(tiny, (300, 32, 32)), JPEG + "90", [encode_jpeg_2000(tiny)] * 300
        ),
    )


def _large() -> Requests:
    yield "4096 x 4096 of 8 bit", native((smooth(4096, "u4") >> 8).astype(np.uint8))
    yield "2048 x 2048 of float", native(smooth(2048, "f4"))
    yield "one row of 65,535", native(smooth(512).reshape(1, -1)[:, :65535])
    yield "15 frames of 1024 x 1024", native(np.stack([smooth(1024)] * 15))


def _frames() -> Requests:
    yield "one pixel", frames(1)
    yield "16 of one pixel", frames(16)
    yield "300 of 1 kB", frames(300, 32)
    yield "110 of 1 kB", frames(110, 30)
    yield "2048 of one pixel", frames(2048)
    yield "300 of 100 kB", native(np.stack([smooth(223)] * 300))
    inner = [Element(tag, b"SQ", _EMPTY_ITEM * 10_000).encode() for tag in _MACROS]
    shared = sequence(0x52009229, [b"".join(inner)])
    many = np.arange(300 * 4, dtype=np.uint16).reshape(300, 2, 2)
    numbers = {"RescaleSlope": ["1"] * 1000, "PixelSpacing": ["1"] * 1000}
    yield "300 with 40,000 items", with_elements(many, shared, **numbers)


_STAGES = {
    "head": _heads,
    "form": _forms,
    "header": _headers,
    "deflate": _deflated,
    "decode": _decoded,
    "geometry": _large,
    "frames": _frames,
}
STAGES = tuple(_STAGES)


def requests(stage: str) -> Requests:
    """List the requests of one stage: (name, bytes)."""
    for name, data in _STAGES[stage]():
        yield name, data if stage in ("head", "form") else post(data)
