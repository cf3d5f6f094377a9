"""How the pixels lie in the patient, and their size (lines 12 and 16 of issue 14)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.security.second_corpus.inputs import (
    SAGITTAL,
    SPACING,
    Input,
    Pixels,
    enhanced,
    mr,
    orientation,
    picture,
)

AXIAL, CORONAL = (1.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 0, 0, -1)


def cases() -> Iterator[Input]:
    """List them."""
    yield from _orientations()
    yield from _unusable_orientations()
    yield from _spacings()


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
