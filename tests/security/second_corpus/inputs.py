"""Describe one input of the second corpus, and write the slices that the inputs are made of.

Written from the standard and from what vendors write, without sight of the code that reads it. Each
input states what a client can see: the status, the scope and its reason, the score, the CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import tag_for_keyword

from tests.security.files.corpus_files import (
    DELIMITER,
    STORAGE,
    UNDEFINED,
    Element,
    element,
    encode,
    fragment,
    mr_elements,
    part10,
    pixel_element,
    sequence,
)

Build = Callable[[], bytes]
Pixels = npt.NDArray[Any]

OK = "ok"
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)  # the front to the left, the feet down (PS3.3 C.7.6.2)
SHAPE = (240, 176)
SPACING = ["0.9", "0.75"]


@dataclass(frozen=True)
class Input:
    """One file and the properties of a right answer.

    Args:
        line: of issue 14.
        name: unique.
        build: makes the bytes.
        codes: allowed: `OK` or codes of errors; "error" stands for any refusal.
        in_scope: of an answer of 200; None: either.
        names: DICOM keywords, one of which a reason for being out of scope names.
        same_as: a file whose reconstruction error this one has.
        is_noted: something was missing or malformed, and the answer must say so; False: nothing
            was, and it must not; None: either.
        frame: that the answer may be of.
        n_in_scope: frames of a mixed object that are.
        cpu_s: that one request may take in all processes of the server, at its cheapest of three.
        secret: text that no answer may hold.
    """

    line: int
    name: str
    build: Build = field(repr=False)
    codes: frozenset[str] = frozenset({OK})
    in_scope: bool | None = None
    names: tuple[str, ...] = ()
    same_as: Build | None = field(default=None, repr=False)
    is_noted: bool | None = None
    frame: int | None = None
    n_in_scope: int | None = None
    cpu_s: float | None = None
    secret: str = ""


@cache
def picture(index: int = 0) -> Pixels:
    """Draw a synthetic sagittal spine of 12 bit, neither square nor symmetrical; 0 is unused."""
    from training.phantoms.phantom import make_phantom

    drawn = make_phantom(29, index).pixels
    at = (np.array(drawn.shape) - SHAPE) // 2
    drawn = drawn[at[0] : at[0] + SHAPE[0], at[1] : at[1] + SHAPE[1]]
    scaled = np.clip(drawn / np.percentile(drawn, 99.5) * 1500 + 1, 1, 4094)
    stored: Pixels = scaled.astype(np.uint16)
    return stored


def orientation(cosines: Iterable[float]) -> list[str]:
    """Write ImageOrientationPatient."""
    return [f"{cosine:.6f}".rstrip("0").rstrip(".") for cosine in cosines]


HEADER: dict[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"],
    "BodyPartExamined": "LSPINE",
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "MRAcquisitionType": "2D",
    "FlipAngle": "150",
    "EchoTrainLength": "15",
    "RepetitionTime": "3600",
    "EchoTime": "120",
    "PatientAge": "045Y",
    "ImageOrientationPatient": orientation(SAGITTAL),
    "PixelSpacing": SPACING,
}


def elements(pixels: Pixels | None = None, *added: Element, **changes: Any) -> list[Element]:
    """List the elements of an ordinary slice (T2, sagittal, lumbar, an adult) in their order."""
    pixels = picture() if pixels is None else pixels
    made = mr_elements(pixels, **(HEADER | {"BitsStored": 12, "HighBit": 11} | changes))
    if pixels.dtype.kind == "f":
        for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
            made.pop(tag_for_keyword(keyword) or 0, None)
    made |= {each.tag: each for each in added}
    return [made[tag] for tag in sorted(made)]


def mr(*added: Element, pixels: Pixels | None = None, **changes: Any) -> bytes:
    """Write an ordinary slice with changes by keyword (None leaves one out) and elements."""
    return part10(encode(elements(pixels, *added, **changes)))


def items(keyword: str, *data_sets: Iterable[Element]) -> Element:
    """Make a sequence of data sets."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    in_order = [sorted(each, key=lambda element: element.tag) for each in data_sets]
    return sequence(tag, [encode(each) for each in in_order])


def coded(keyword: str, value: str, scheme: str, meaning: str) -> Element:
    """Make a sequence of one code (PS3.3 8.8)."""
    words = {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}
    return items(keyword, [element(name, word) for name, word in words.items()])


def group(**macros: dict[str, Any] | Element) -> list[Element]:
    """Make the functional groups of one item; a macro is one item of values or elements."""
    made = []
    for keyword, values in macros.items():
        if isinstance(values, Element):
            made.append(items(keyword, [values]))
            continue
        made.append(items(keyword, [element(name, value) for name, value in values.items()]))
    return made


_SHARED: dict[str, Any] = {
    "MRTimingAndRelatedParametersSequence": {
        "RepetitionTime": "3600",
        "FlipAngle": "150",
        "EchoTrainLength": "15",
    },
    "MREchoSequence": {"EffectiveEchoTime": 120.0},
    "PixelMeasuresSequence": {"PixelSpacing": SPACING, "SliceThickness": "4"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": orientation(SAGITTAL)},
    "MRImageFrameTypeSequence": {
        "FrameType": ["ORIGINAL", "PRIMARY", "T2", "NONE"],
        "ComplexImageComponent": "MAGNITUDE",
        "AcquisitionContrast": "T2",
    },
}


def enhanced(
    pixels: Pixels,
    shared: dict[str, Any] | None = None,
    frames: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> bytes:
    """Write an Enhanced MR object (PS3.3 A.36).

    Args:
        pixels: [N, H, W].
        shared: macros by keyword; None leaves one of the ordinary ones out.
        frames: the macros of each frame; what they name is not shared.
        changes: of the data set itself.
    """
    frames = [{}] * len(pixels) if frames is None else frames
    named = {name for each in frames for name in each}
    macros = {k: v for k, v in (_SHARED | (shared or {})).items() if v is not None}
    values: dict[str, Any] = dict.fromkeys(
        ["ImageOrientationPatient", "PixelSpacing", "RepetitionTime", "EchoTime", "FlipAngle"]
    ) | dict.fromkeys(["ScanningSequence", "SequenceVariant", "MRAcquisitionType"])
    values |= {
        "SOPClassUID": STORAGE + "4.1",
        "ImageType": ["ORIGINAL", "PRIMARY", "T2", "NONE"],
        "EchoTrainLength": None,
    }
    return mr(
        items("SharedFunctionalGroupsSequence", group(**_without(macros, named))),
        items("PerFrameFunctionalGroupsSequence", *(group(**each) for each in frames)),
        pixels=pixels,
        **(values | changes),
    )


def _without(macros: dict[str, Any], named: set[str]) -> dict[str, Any]:
    return {name: macro for name, macro in macros.items() if name not in named}


def raw(pixels: Pixels, data: bytes) -> bytes:
    """Write a slice whose stored bytes are not those of its pixels."""
    return mr(Element(pixel_element(pixels).tag, b"OW", data), pixels=pixels)


def compressed(pixels: Pixels, syntax: str, frames: Iterable[bytes], **changes: Any) -> bytes:
    """Write a compressed slice or object of the pixels' shape from its encoded frames."""
    even = (each + b"\0" * (len(each) % 2) for each in frames)
    value = b"".join(map(fragment, (b"", *even))) + DELIMITER
    made = Element(pixel_element(pixels[..., :1, :1]).tag, b"OB", value, UNDEFINED)
    return part10(encode(elements(pixels, made, **changes)), syntax)


def out_of_scope(line: int, name: str, build: Build, *names: str, secret: str = "") -> Input:
    """Describe a file that is answered, and whose reason names one of these keywords."""
    return Input(line, name, build, in_scope=False, names=names, secret=secret)


def still_in_scope(line: int, name: str, build: Build) -> Input:
    """Describe an honest file."""
    return Input(line, name, build, in_scope=True)


def changed(line: int, name: str, names: tuple[str, ...], **changes: Any) -> Input:
    """Describe a slice with changes: out of scope for a reason with one of the names, if any."""
    build = partial(mr, **changes)
    return out_of_scope(line, name, build, *names) if names else still_in_scope(line, name, build)


def typed(**values: Any) -> dict[str, Any]:
    """Make the macro that tells the kind of a frame (PS3.3 C.8.13.5.1)."""
    ordinary = {"FrameType": "ORIGINAL\\PRIMARY\\T2\\NONE", "ComplexImageComponent": "MAGNITUDE"}
    return {"MRImageFrameTypeSequence": ordinary | {"AcquisitionContrast": "T2"} | values}
