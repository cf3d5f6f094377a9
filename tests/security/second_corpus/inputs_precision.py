"""Stored bits and the precision of codestreams (lines 17 and 18 of issue 14)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import openjpeg.utils
from PIL import Image

from tests.preprocessing.decoding import codestreams
from tests.security.second_corpus.inputs import (
    OK,
    Input,
    compressed,
    mr,
    picture,
    raw,
)

ERROR = "error"
PERHAPS = frozenset({OK, ERROR})


def cases() -> Iterator[Input]:
    """List them."""
    yield from _bits()
    yield from _precisions()


def _bits() -> Iterator[Input]:
    """HighBit above BitsStored - 1: the stored bits end there (PS3.5 8.1.1, now retired)."""
    wide = picture() << 4
    noisy = wide | np.random.default_rng(3).integers(0, 16, wide.shape, np.uint16)
    for name, pixels in (("clean", wide), ("with overlay bits below", noisy)):
        build = partial(mr, pixels=pixels, BitsStored=12, HighBit=15)
        yield Input(17, f"12 bits at the top, {name}", build, same_as=mr)
    signed = ((picture().astype(np.int16) - 2000) << 4).view(np.uint16)
    build = partial(mr, pixels=signed, BitsStored=12, HighBit=15, PixelRepresentation=1)
    yield Input(17, "12 signed bits at the top", build, same_as=mr)
    # The scanner's header lies: the values lie at the bottom, and some would be lost above.
    bottom = partial(mr, BitsStored=12, HighBit=15)
    yield Input(17, "12 bits at the bottom with HighBit 15", bottom, PERHAPS, is_noted=None)
    overlaid = picture() | (np.indices(picture().shape).sum(0) % 2 << 12).astype(np.uint16)
    yield Input(17, "an overlay above HighBit", partial(mr, pixels=overlaid), same_as=mr)
    for high in (16, 40, 65535):
        yield Input(17, f"HighBit {high}", partial(mr, HighBit=high), PERHAPS, same_as=mr)
    yield Input(
        17,
        "pixels cut short",
        partial(raw, picture(), picture().tobytes()[:-3]),
        frozenset({ERROR}),
    )


def lossy(quality: int = 95, **options: Any) -> bytes:
    """Baseline JPEG of 8 bit."""
    buffer = BytesIO()
    small = (picture() >> 4).astype(np.uint8)
    Image.fromarray(small).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def jpeg(syntax: str, frame: bytes, bits: int = 8, allocated: str = "u1") -> bytes:
    """A compressed slice of the picture's size."""
    pixels = picture().astype(allocated)
    return compressed(pixels, codestreams.JPEG + syntax, [frame], BitsStored=bits, HighBit=bits - 1)


def ramp(syntax: str, frame: bytes, bits: int = 12) -> bytes:
    """A compressed slice of 24 x 16 pixels."""
    return compressed(codestreams.RAMP, syntax, [frame], BitsStored=bits, HighBit=bits - 1)


def _precise(frame: bytes, marker: int, precision: int) -> bytes:
    at = frame.index(bytes((0xFF, marker))) + 4
    return frame[:at] + bytes((precision,)) + frame[at + 1 :]


def _precisions() -> Iterator[Input]:
    wrong = frozenset({"geometry_mismatch", "damaged_image", "unsupported_pixel_format"})
    frame = lossy()
    yield Input(18, "baseline JPEG of 8 bit", partial(jpeg, "50", frame))
    yield Input(18, "baseline JPEG of 8 bit in a cell of 16", partial(jpeg, "50", frame, 8, "u2"))
    for bits in (9, 12, 16):
        build = partial(jpeg, "50", frame, bits, "u2")
        codes = wrong if bits > 9 else wrong | {OK}
        yield Input(18, f"baseline JPEG of 8 bit, declared {bits}", build, codes)
    for precision in (2, 7, 12, 16):
        lie = _precise(frame, 0xC0, precision)
        build = partial(jpeg, "50", lie, min(precision, 8))
        yield Input(18, f"baseline JPEG that says {precision} bit", build, wrong)
        build = partial(jpeg, "50", lie, 16, "u2")
        yield Input(18, f"baseline JPEG that says {precision}, declared 16", build, wrong)
    syntax, extended = codestreams.JPEG + "51", codestreams.JPEG_EXTENDED_12_BIT
    yield Input(18, "extended JPEG of 12 bit", partial(ramp, syntax, extended))
    build = partial(ramp, syntax, extended, 16)
    yield Input(18, "extended JPEG of 12 bit, declared 16", build, wrong | {OK})
    for precision in (8, 11, 16):
        for bits in (12, 16):
            build = partial(ramp, syntax, _precise(extended, 0xC1, precision), bits)
            yield Input(18, f"extended JPEG that says {precision}, declared {bits}", build, wrong)
    # Lossless ones are commonly written with the precision of the cell, or declare that.
    for name in ("JPEG lossless SV1", "JPEG-LS lossless", "JPEG 2000 lossless", "HTJ2K lossless"):
        for bits in (12, 16):
            build = partial(
                ramp, codestreams.LOSSLESS[name][0], codestreams.LOSSLESS[name][1], bits
            )
            yield Input(18, f"{name} of 12, declared {bits}", build)
    for bits in (12, 16):
        wide = openjpeg.utils.encode_array(picture(), bits_stored=bits)
        build = partial(jpeg, "90", wide, 12, "u2")
        yield Input(18, f"JPEG 2000 of {bits} bit, declared 12", build, in_scope=True, same_as=mr)
    for name, marker in (("JPEG lossless SV1", 0xC3), ("JPEG-LS lossless", 0xF7)):
        syntax, sound = codestreams.LOSSLESS[name]
        for precision in (0, 1, 17, 255):
            build = partial(ramp, syntax, _precise(sound, marker, precision))
            yield Input(18, f"{name} that says {precision}", build, frozenset({ERROR}))
