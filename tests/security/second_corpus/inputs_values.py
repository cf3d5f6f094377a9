"""Padding, Modality LUTs and numbers (line 17 of issue 14)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.security.files.corpus_files import (
    STORAGE,
    Element,
    element,
)
from tests.security.second_corpus.inputs import (
    OK,
    Input,
    Pixels,
    items,
    mr,
    picture,
)

ERROR = "error"
PERHAPS = frozenset({OK, ERROR})


def cases() -> Iterator[Input]:
    """List them."""
    yield from _paddings()
    yield from _numbers()


def _cornered(value: float | None, dtype: str = "u2") -> Pixels:
    """The picture with a corner of one value, by default the lowest of the other pixels."""
    pixels = picture().astype(dtype)
    rest = np.ones(pixels.shape, np.bool_)
    rest[:80, :90] = False
    pixels[~rest] = pixels[rest].min() if value is None else value
    return pixels


def _floats(pixels: Pixels, *added: Element, **changes: Any) -> bytes:
    """A Parametric Map of floats or doubles (PS3.3 C.7.6.24, C.7.6.25)."""
    values = {"SOPClassUID": STORAGE + "30"} | changes
    return mr(*added, pixels=pixels, **values)


def _paddings() -> Iterator[Input]:
    dark = partial(mr, pixels=_cornered(None))
    for value in (-9999.0, 1e30, float("nan"), float("-inf"), 0.0):
        single = element("FloatPixelPaddingValue", value)
        build = partial(_floats, _cornered(value, "f4"), single)
        yield Input(17, f"float padding {value}", build, same_as=dark)
        double = element("DoubleFloatPixelPaddingValue", value)
        build = partial(_floats, _cornered(value, "f8"), double)
        yield Input(17, f"double padding {value}", build, same_as=dark)
    ranged = _cornered(-9000, "f4")
    ranged[:40, :40] = -9999
    limits = (
        element("FloatPixelPaddingValue", -9999.0),
        element("FloatPixelPaddingRangeLimit", -9000.0),
    )
    yield Input(17, "a range of float padding", partial(_floats, ranged, *limits), same_as=dark)
    nan = partial(_floats, _cornered(float("nan"), "f4"))
    yield Input(17, "NaN without a word of it", nan, frozenset({OK, "not_finite"}), same_as=dark)
    infinite = picture().astype("f4")
    infinite[50, 50] = np.inf
    yield Input(17, "one infinite pixel", partial(_floats, infinite), frozenset({"not_finite"}))
    every = partial(_floats, np.full((64, 48), np.nan, "f4"))
    yield Input(17, "nothing but NaN", every, PERHAPS)
    yield Input(17, "floats without padding", partial(_floats, picture().astype("f4")), same_as=mr)
    yield Input(17, "doubles without padding", partial(_floats, picture().astype("f8")), same_as=mr)
    whole = partial(mr, pixels=_cornered(4000), PixelPaddingValue=4000)
    yield Input(17, "whole numbers' padding", whole, same_as=dark)
    signed = partial(
        mr,
        pixels=_cornered(-2000, "i2"),
        PixelPaddingValue=("SS", struct.pack("<h", -2000)),
        BitsStored=16,
        HighBit=15,
    )
    yield Input(17, "signed padding", signed, same_as=dark)
    framed = np.pad(picture(), 30, constant_values=3000)
    yield Input(17, "an undeclared frame of one value", partial(mr, pixels=framed), is_noted=True)
    lied = partial(_floats, _cornered(-9999, "f4"), element("FloatPixelPaddingValue", -1234.0))
    yield Input(17, "a padding value that is not there", lied)


def _table(descriptor: tuple[int, ...], data: bytes, **changes: Any) -> bytes:
    """The picture behind a Modality LUT (PS3.3 C.11.1)."""
    lut = [
        element("LUTDescriptor", ("US", descriptor)),
        element("ModalityLUTType", "US"),
        element("LUTData", ("OW", data)),
    ]
    return mr(items("ModalityLUTSequence", lut), **changes)


def _numbers() -> Iterator[Input]:
    turned = (4095 - picture()).astype(np.uint16)
    back = np.arange(4095, -1, -1).astype("<u2")
    build = partial(_table, (4096, 0, 16), back.tobytes(), pixels=turned)
    yield Input(17, "a Modality LUT that inverts", build, in_scope=True, same_as=mr)
    offset = partial(_table, (4095, 1, 16), np.arange(1, 4096, dtype="<u2").tobytes())
    yield Input(17, "a Modality LUT from 1 on", offset, in_scope=True, same_as=mr)
    root = np.sqrt(np.arange(4096) * 10.0).round().astype("<u2")
    bent = partial(_table, (4096, 0, 16), root.tobytes())
    yield Input(17, "a Modality LUT of roots", bent, same_as=partial(mr, pixels=root[picture()]))
    clamped = partial(_table, (1000, 0, 16), np.arange(1000, dtype="<u2").tobytes())
    low = partial(mr, pixels=np.minimum(picture(), 999))
    yield Input(17, "values beyond a Modality LUT", clamped, same_as=low)
    short = partial(_table, (4096, 0, 16), bytes(100))
    yield Input(17, "a Modality LUT cut short", short, PERHAPS)
    yield Input(17, "a Modality LUT of nothing", partial(_table, (1, 0, 16), bytes(2)), PERHAPS)
    for name, value in {
        "ten": "10",
        "zero-filled": "0010",
        "signed": "+10",
        "blanks": " 10 ",
    }.items():
        build = partial(_ten_frames, value)
        yield Input(17, f"NumberOfFrames {name}", build, n_in_scope=10)
    for value in ("1_0", "\u0661\u0660", "0xA", "0b1010", "1__0", "\uff11\uff10", "ten"):
        build = partial(_ten_frames, value)
        yield Input(17, f"NumberOfFrames {value!r}", build, PERHAPS, n_in_scope=1)
    # A slope turns the picture over when it is negative; a malformed one may be refused, not read.
    over = partial(mr, RescaleSlope="-1", RescaleIntercept="4095", pixels=turned)
    yield Input(17, "RescaleSlope -1", over, in_scope=True, same_as=mr)
    for value in ("-1_0", "-\u0661", "-0x10", "-inf", "-1e400", "-1,5", "- 1"):
        build = partial(mr, RescaleSlope=value, RescaleIntercept="0")
        yield Input(17, f"RescaleSlope {value!r}", build, PERHAPS, same_as=mr)
    for value in ("1e400", "inf", "nan", "1_0", "\u0661", "0x10"):
        build = partial(mr, RescaleSlope="1", RescaleIntercept=value)
        yield Input(17, f"RescaleIntercept {value!r}", build, PERHAPS, same_as=mr)
    for value in ("1_20", "1e400", "inf", "\u0661\u0662\u0660", "0x78", "nan"):
        yield Input(17, f"EchoTime {value!r}", partial(mr, EchoTime=value), same_as=mr)
    for value in ("120.0", "1.2E2", " 120", "+120", "120.000000000000000"):
        yield Input(
            17, f"EchoTime {value!r}", partial(mr, EchoTime=value), in_scope=True, same_as=mr
        )


def _ten_frames(number: str) -> bytes:
    return mr(pixels=np.stack([picture()] * 10), NumberOfFrames=number)
