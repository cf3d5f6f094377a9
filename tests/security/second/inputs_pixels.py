"""Orientation, spacing, padding, numbers and precision (lines 12 and 16 to 18 of issue 14)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import openjpeg.utils
from PIL import Image

from tests.preprocessing.decoding import codestreams
from tests.security.files.corpus_files import (
    STORAGE,
    Element,
    element,
)
from tests.security.second.inputs import (
    OK,
    SAGITTAL,
    SPACING,
    Input,
    Pixels,
    compressed,
    enhanced,
    items,
    mr,
    orientation,
    picture,
    raw,
)

ERROR = "error"
PERHAPS = frozenset({OK, ERROR})
AXIAL, CORONAL = (1.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 0, 0, -1)


def cases() -> Iterator[Input]:
    """List them."""
    yield from _orientations()
    yield from _unusable_orientations()
    yield from _spacings()
    yield from _paddings()
    yield from _numbers()
    yield from _bits()
    yield from _precisions()


def flipped(
    cosines: tuple[float, ...], transposed: bool, mirrored: bool, upside_down: bool
) -> tuple[Pixels, dict[str, Any]]:
    """Store the picture in another order, with the header that says so."""
    pixels, spacing = picture(), SPACING
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    if mirrored:
        pixels, row = pixels[:, ::-1], -row
    if upside_down:
        pixels, column = pixels[::-1], -column
    if transposed:
        pixels, row, column, spacing = pixels.T, column, row, spacing[::-1]
    both = (*row.tolist(), *column.tolist())
    return np.ascontiguousarray(pixels), {
        "ImageOrientationPatient": orientation(both),
        "PixelSpacing": spacing,
    }


def _stored(cosines: tuple[float, ...], *how: bool, **changes: Any) -> bytes:
    pixels, header = flipped(cosines, *how)
    return mr(pixels=pixels, **(header | changes))


def _turned(axis: str, degrees: float) -> tuple[float, ...]:
    """Tilt the sagittal plane about a patient's axis: x to the left, y to the back, z up."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    turned = np.array(SAGITTAL).reshape(2, 3) @ np.array(matrix).T
    return tuple(turned.ravel().tolist())


ALL_EIGHT = [(t, m, u) for t in (False, True) for m in (False, True) for u in (False, True)]


def _how(transposed: bool, mirrored: bool, upside_down: bool) -> str:
    words = ("transposed", transposed), ("mirrored", mirrored), ("upside down", upside_down)
    return ", ".join(word for word, is_so in words if is_so) or "as it is"


def _orientations() -> Iterator[Input]:
    for how in ALL_EIGHT:
        build = partial(_stored, SAGITTAL, *how)
        name = f"sagittal {_how(*how)}"
        yield Input(12, name, build, in_scope=True, same_as=mr, is_noted=False)
        for tilt in ("y", "z"):
            oblique = partial(_stored, _turned(tilt, 14), *how)
            name = f"sagittal tilted about {tilt}, {_how(*how)}"
            yield Input(12, name, oblique, in_scope=True, same_as=mr, is_noted=False)
        # Turned in its plane by less than 45 degrees the nearest axes are the same.
        in_plane = partial(_stored, _turned("x", 25), *how)
        yield Input(12, f"sagittal turned in its plane, {_how(*how)}", in_plane, same_as=mr)
        pixels, header = flipped(SAGITTAL, *how)
        plane = {"ImageOrientationPatient": header["ImageOrientationPatient"]}
        macros = {
            "PlaneOrientationSequence": plane,
            "PixelMeasuresSequence": {"PixelSpacing": header["PixelSpacing"]},
        }
        name = f"enhanced, {_how(*how)}"
        build = partial(enhanced, pixels[None], macros)
        yield Input(12, name, build, in_scope=True, same_as=mr)
    for name, cosines in (("axial", AXIAL), ("coronal", CORONAL)):
        first = partial(_stored, tuple(cosines), False, False, False)
        for how in ALL_EIGHT[1:]:
            build = partial(_stored, tuple(cosines), *how)
            yield Input(12, f"{name} {_how(*how)}", build, in_scope=False, same_as=first)
    good = picture()
    planes = [
        {"PlaneOrientationSequence": {"ImageOrientationPatient": orientation(cosines)}}
        for cosines in (SAGITTAL, (0, -1, 0, 0, 0, -1), (0, 1, 0, 0, 0, 1))
    ]
    stack = np.stack([good, good[:, ::-1], good[::-1]])
    build = partial(enhanced, stack, None, planes)
    yield Input(12, "three frames, each its own way", build, in_scope=True, same_as=mr)
    inverted = picture().max() + picture().min() - picture()
    inverted = np.ascontiguousarray(inverted[:, ::-1])
    build = partial(
        mr,
        pixels=inverted,
        ImageOrientationPatient=orientation((0, -1, 0, 0, 0, -1)),
        PhotometricInterpretation="MONOCHROME1",
    )
    yield Input(12, "mirrored and MONOCHROME1", build, in_scope=True, same_as=mr)


def _unusable_orientations() -> Iterator[Input]:
    """The pixels stay as they are stored, and the answer says so."""
    third = 1 / np.sqrt(3)
    row = np.array([0, 1, -1]) / np.sqrt(2)
    column = np.cross([third] * 3, row)
    values: dict[str, Any] = {
        "beyond 45 degrees": orientation((*row.tolist(), *column.tolist())),
        "missing": None,
        "empty": "",
        "of five values": "0\\1\\0\\0\\0",
        "of words": "L\\P\\H\\A\\F\\R",
        "of zeros": "0\\0\\0\\0\\0\\0",
        "not perpendicular": "0\\1\\0\\0\\1\\0",
        "not finite": "nan\\1\\0\\0\\0\\-1",
        "with an underscore": "0\\1_0\\0\\0\\0\\-1",
        "with other digits": "0\\-\u0661\\0\\0\\0\\-\u0661",
        "too long": "0\\-9\\0\\0\\0\\-9",
    }
    for name, value in values.items():
        build = partial(mr, ImageOrientationPatient=value)
        yield Input(12, f"an orientation {name}", build, same_as=mr, is_noted=True)


FALLBACKS: dict[str, dict[str, Any]] = {
    "ImagerPixelSpacing": {"ImagerPixelSpacing": SPACING},
    "NominalScannedPixelSpacing": {"NominalScannedPixelSpacing": SPACING},
    "PixelAspectRatio": {"PixelAspectRatio": ["6", "5"]},
}
MALFORMED = {
    "words": "abc\\def",
    "zeros": "0\\0",
    "a zero": "0.9\\0",
    "negative": "-0.9\\-0.75",
    "one value": "0.9",
    "not finite": "inf\\inf",
    "NaN": "nan\\nan",
    "too large": "1e400\\1e400",
    "hexadecimal": "0x1\\0x2",
    "commas": "0,9\\0,75",
    "an underscore": "9_0\\1_0",
    "other digits": "\u0669\\\u0661",
    "a blank within": "0 .9\\0.75",
    "empty": "",
}


def _spacings() -> Iterator[Input]:
    """The picture's pixels are 0.9 x 0.75 mm; without that they would be square."""
    square = partial(mr, PixelSpacing=["1", "1"])
    for name, fallback in FALLBACKS.items():
        build = partial(mr, PixelSpacing=None, **fallback)
        yield Input(16, f"{name} alone", build, in_scope=True, same_as=mr)
        for how in ("zeros", "words", "an underscore", "empty"):
            build = partial(mr, PixelSpacing=MALFORMED[how], **fallback)
            noted = None if how == "empty" else True
            yield Input(
                16, f"{name} for a PixelSpacing of {how}", build, same_as=mr, is_noted=noted
            )
        wrong: dict[str, Any] = {key: ["1", "3"] for key in fallback}
        build = partial(mr, **wrong)
        yield Input(16, f"PixelSpacing is stronger than {name}", build, same_as=mr)
    both = {**FALLBACKS["ImagerPixelSpacing"], "PixelAspectRatio": ["3", "1"]}
    build = partial(mr, PixelSpacing=None, **both)
    yield Input(16, "ImagerPixelSpacing is stronger than an aspect", build, same_as=mr)
    bad = partial(mr, PixelSpacing="x", ImagerPixelSpacing="0\\0", PixelAspectRatio=["6", "5"])
    yield Input(16, "two malformed, then an aspect", bad, same_as=mr, is_noted=True)
    for name, text in MALFORMED.items():
        build = partial(mr, PixelSpacing=text)
        yield Input(16, f"a PixelSpacing of {name} alone", build, same_as=square, is_noted=True)
    none = partial(mr, PixelSpacing=None)
    yield Input(16, "no spacing at all", none, same_as=square, is_noted=True)
    for ratio in ("0\\5", "-6\\5", "6", "a\\b", "6\\0", "1_2\\1_0", "1e400\\1"):
        build = partial(mr, PixelSpacing=None, PixelAspectRatio=ratio)
        yield Input(16, f"an aspect of {ratio!r}", build, same_as=square, is_noted=True)
    for text in (
        "0.90\\0.750",
        " 0.9\\0.75 ",
        "+.9\\.75",
        "9E-1\\7.5e-1",
        "000.9\\0.7500000000000001",
    ):
        build = partial(mr, PixelSpacing=text)
        yield Input(
            16, f"a PixelSpacing of {text!r}", build, in_scope=True, same_as=mr, is_noted=False
        )
    one = picture()[None]
    build = partial(enhanced, one, {"PixelMeasuresSequence": {"PixelSpacing": "0\\0"}})
    yield Input(16, "enhanced with a spacing of zeros", build, same_as=square, is_noted=True)


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
        yield Input(17, f"RescaleSlope {value!r}", build, PERHAPS, same_as=mr, is_noted=True)
    for value in ("1e400", "inf", "nan", "1_0", "\u0661", "0x10"):
        build = partial(mr, RescaleSlope="1", RescaleIntercept=value)
        yield Input(17, f"RescaleIntercept {value!r}", build, PERHAPS, same_as=mr, is_noted=True)
    for value in ("1_20", "1e400", "inf", "\u0661\u0662\u0660", "0x78", "nan"):
        yield Input(17, f"EchoTime {value!r}", partial(mr, EchoTime=value), same_as=mr)
    for value in ("120.0", "1.2E2", " 120", "+120", "120.000000000000000"):
        yield Input(
            17, f"EchoTime {value!r}", partial(mr, EchoTime=value), in_scope=True, same_as=mr
        )


def _ten_frames(number: str) -> bytes:
    return mr(pixels=np.stack([picture()] * 10), NumberOfFrames=number)


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
