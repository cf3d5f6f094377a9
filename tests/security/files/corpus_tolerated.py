"""Files that break the standard as archives and vendors do, and whose picture is still clear."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tests.security.files.corpus import Build, Case
from tests.security.files.corpus_files import (
    BIG,
    MARKER,
    PIXEL_DATA,
    STORAGE,
    Pixels,
    encode,
    mr_elements,
    native,
    part10,
    pixel_element,
    with_elements,
)
from tests.security.files.corpus_valid import picture

_GROUP = "picture"


def cases(seed: int) -> Iterator[Case]:
    """List them; most hold the valid files' picture and have its score."""
    pixels = picture(seed).astype(np.uint16)
    for made in (_identities, _texts, _layouts):
        for name, build in made(pixels).items():
            yield Case("tolerated", name, build, same_as=_GROUP)
    for name, build in _rescales(pixels).items():
        yield Case("tolerated", name, build)
    for name, build in _spacings(pixels).items():
        yield Case("tolerated", name, build, same_as="picture of unknown spacing")
    yield from _floats(pixels)
    odd = pixels[:79, :95].astype(np.uint8)
    group = "picture of odd size"
    yield Case("valid", "odd size", partial(native, odd), same_as=group)
    unpadded = partial(bytes, native(odd)[:-1])
    yield Case("tolerated", "odd size, its last byte left out", unpadded, same_as=group)
    as_words = replace(pixel_element(odd, "big"), vr=b"OW")
    swapped = np.frombuffer(as_words.value, "u2").byteswap().tobytes()
    words = mr_elements(odd, "big") | {PIXEL_DATA: replace(as_words, value=swapped)}
    build = partial(part10, encode(words, "big"), BIG)
    yield Case("valid", "odd size, in big-endian words", build, same_as=group)


def _identities(pixels: Pixels) -> dict[str, Build]:
    """What declares that it is MR, or leaves it open."""
    changes: dict[str, dict[str, Any]] = {
        "no Modality": {"Modality": None},
        "empty Modality": {"Modality": ""},
        "blank Modality": {"Modality": "  "},
        "lower-case Modality": {"Modality": "mr"},
        "Modality with zeros": {"Modality": b"MR\0\0"},
        "Modality as UN": {"Modality": ("UN", b"MR")},
        "Modality as LO": {"Modality": ("LO", "MR  ")},
        "no BodyPartExamined": {"BodyPartExamined": None},
        "BodyPartExamined is a knee": {"BodyPartExamined": "KNEE"},
        "BodyPartExamined is free text": {"BodyPartExamined": f"{MARKER} l spine " * 5},
        "no Modality, no BodyPartExamined": {"Modality": None, "BodyPartExamined": None},
        "no SOP class": {"SOPClassUID": None},
        "empty SOP class": {"SOPClassUID": ""},
        "no SOP class, no Modality": {"SOPClassUID": None, "Modality": None},
        "private SOP class": {"SOPClassUID": "1.3.12.2.1107.5.9.1"},
        "SOP class with blanks": {"SOPClassUID": STORAGE + "4  "},
        "enhanced MR of one frame without groups": {"SOPClassUID": STORAGE + "4.1"},
        "RSNA: enhanced MR without Modality and body part": {
            "SOPClassUID": STORAGE + "4.1",
            "Modality": None,
            "BodyPartExamined": None,
        },
        "no identifiers": {
            "SOPInstanceUID": None,
            "StudyInstanceUID": None,
            "SeriesInstanceUID": None,
            "PatientID": None,
            "PatientName": None,
        },
        "parametric map": {"SOPClassUID": STORAGE + "30"},
    }
    for end in ("7", "7.2", "7.3"):
        changes[f"Secondary Capture class {end}"] = {"SOPClassUID": STORAGE + end}
    changes["Secondary Capture without Modality"] = {"SOPClassUID": STORAGE + "7", "Modality": None}
    return {name: partial(native, pixels, **each) for name, each in changes.items()}


def _texts(pixels: Pixels) -> dict[str, Build]:
    """Character sets, dates and values that are not what their VR allows."""
    name = f"{MARKER}^Gr\u00fcn"
    changes: dict[str, dict[str, Any]] = {
        "UTF-8 called Latin-1": {"PatientName": name, "SpecificCharacterSet": "ISO_IR 100"},
        "Latin-1 called UTF-8": {
            "PatientName": name.encode("latin-1"),
            "SpecificCharacterSet": "ISO_IR 192",
        },
        "unknown character set": {"SpecificCharacterSet": MARKER},
        "lower-case character set": {"SpecificCharacterSet": "iso_ir 100"},
        "no character set": {"PatientName": name.encode("latin-1"), "SpecificCharacterSet": None},
        "broken escape sequences": {
            "PatientName": b"\x1b$B\x1b(J\x1b\x1b$)C\xff\xfe",
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        },
        "seven character sets": {"SpecificCharacterSet": ["ISO 2022 IR 6"] * 7},
        "character set is binary": {"SpecificCharacterSet": b"\xff\0\x1b\x80"},
        "name of zeros": {"PatientName": b"\0" * 64},
        "name of 60000 letters": {"PatientName": MARKER * 6000},
        "description of one megabyte": {"SeriesDescription": ("UT", MARKER * 100_000)},
        "control characters": {"PatientComments": bytes(range(32)) * 2},
        "emoji": {"SeriesDescription": "\U0001f9e0 spine"},
        "thirteenth month": {"StudyDate": "20201345"},
        "date with dots": {"StudyDate": "2020.01.31"},
        "date in words": {"StudyDate": f"31 {MARKER} 2020"},
        "date range": {"StudyDate": "20200101-20201231"},
        "birth date of zeros": {"PatientBirthDate": "00000000"},
        "time of day 99": {"StudyTime": "995960.999999999"},
        "age in words": {"PatientAge": "about 50"},
        "UID with letters": {"StudyInstanceUID": f"1.2.{MARKER}"},
        "UID of 200 digits": {"SeriesInstanceUID": "1." + "2" * 200},
        "UID with leading zeros": {"SOPInstanceUID": "1.02.003"},
        "repetition time in words": {"RepetitionTime": MARKER},
        "echo time infinite": {"EchoTime": "inf"},
        "echo time of 40 digits": {"EchoTime": "1" * 40},
        "window centre in words": {"WindowCenter": MARKER, "WindowWidth": "wide"},
        "window width zero": {"WindowCenter": "1e308", "WindowWidth": "0"},
        "twenty windows": {"WindowCenter": ["1"] * 20, "WindowWidth": ["nan"] * 20},
        "slope over length": {"RescaleSlope": "1." + "0" * 40, "RescaleIntercept": "0"},
        "slope with blanks": {"RescaleSlope": "  1.0   ", "RescaleIntercept": " 0"},
        "slope in exponents": {"RescaleSlope": "+10.0E-1", "RescaleIntercept": "-0.0"},
        "two slopes": {"RescaleSlope": ["1", "2"], "RescaleIntercept": ["0", "7"]},
        "smallest value lies": {
            "SmallestImagePixelValue": ("US", 9),
            "LargestImagePixelValue": ("US", 1),
        },
        "odd length of a text": {"Manufacturer": b"odd"},
        "lossy flag of an uncompressed image": {
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": "abc",
        },
    }
    return {name: partial(native, pixels, **each) for name, each in changes.items()}


def _layouts(pixels: Pixels) -> dict[str, Build]:
    """Geometry that is missing, or written in an unusual way."""
    changes: dict[str, dict[str, Any]] = {
        "no SamplesPerPixel": {"SamplesPerPixel": None},
        "no PhotometricInterpretation": {"PhotometricInterpretation": None},
        "empty PhotometricInterpretation": {"PhotometricInterpretation": ""},
        "lower-case PhotometricInterpretation": {"PhotometricInterpretation": "monochrome2"},
        "PhotometricInterpretation with zeros": {"PhotometricInterpretation": b"MONOCHROME2\0"},
        "no BitsStored, no HighBit": {"BitsStored": None, "HighBit": None},
        "no HighBit": {"HighBit": None},
        "HighBit 11 of 16": {"HighBit": 11},
        "HighBit 99": {"HighBit": 99},
        "HighBit 0": {"HighBit": 0},
        "no PixelRepresentation": {"PixelRepresentation": None},
        "no SpecificCharacterSet, no ImageType": {"SpecificCharacterSet": None, "ImageType": None},
        "Rows of four bytes": {"Rows": ("UL", pixels.shape[0])},
        "Rows as SS": {"Rows": ("SS", pixels.shape[0])},
        "Rows as UN": {"Rows": ("UN", struct.pack("<H", pixels.shape[0]))},
        "padding value of four bytes": {"PixelPaddingValue": ("UL", 65000)},
        "padding value of one byte": {"PixelPaddingValue": b"\1"},
        "padding value as text": {"PixelPaddingValue": ("LO", MARKER)},
        "empty padding value": {"PixelPaddingValue": b""},
        "padding range without a value": {"PixelPaddingRangeLimit": ("US", 9)},
    }
    forms = ["", "0", "1", "1 ", " 1", "01", "+1", "1.0", "1e0", "1\\1", "one", MARKER, "1A"]
    changes |= {f"NumberOfFrames {form!r}": {"NumberOfFrames": form} for form in forms}
    changes["NumberOfFrames as US"] = {"NumberOfFrames": ("US", 1)}
    made: dict[str, Build] = {
        name: partial(native, pixels, **each) for name, each in changes.items()
    }

    return made


def _rescales(pixels: Pixels) -> dict[str, Build]:
    """Rescale values out of range: the stored values are taken as they are."""
    changes: dict[str, dict[str, Any]] = {
        "slope 0": {"RescaleSlope": "0", "RescaleIntercept": "5"},
        "slope empty": {"RescaleSlope": "", "RescaleIntercept": ""},
        "slope in words": {"RescaleSlope": MARKER, "RescaleIntercept": "zero"},
        "slope with a comma": {"RescaleSlope": "1,5", "RescaleIntercept": "0"},
        "slope without an intercept": {"RescaleSlope": "2"},
        "intercept without a slope": {"RescaleIntercept": "-1024"},
        "slope as UN": {"RescaleSlope": ("UN", b"1.0 "), "RescaleIntercept": ("UN", b"0 ")},
        "slope as double": {"RescaleSlope": ("FD", 1.0)},
        "slope of 5000 digits": {"RescaleSlope": "0" * 4999 + "1"},
        "negative slope": {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
        "tiny slope": {"RescaleSlope": "1e-300", "RescaleIntercept": "0"},
        "large slope": {"RescaleSlope": "1e30", "RescaleIntercept": "-1e30"},
    }
    return {name: partial(native, pixels, **each) for name, each in changes.items()}


def _spacings(pixels: Pixels) -> dict[str, Build]:
    """Implausible spacings: pixels are taken to be square."""
    forms: dict[str, Any] = {
        "missing": None,
        "empty": "",
        "zero": ["0", "0"],
        "negative": ["-0.5", "-0.5"],
        "NaN": ["nan", "nan"],
        "infinite": ["inf", "inf"],
        "huge": ["1e300", "1e300"],
        "tiny": ["1e-300", "1e-300"],
        "in words": [MARKER, MARKER],
        "one value": ["0.5"],
        "three values": ["0.5", "0.5", "0.5"],
        "with commas": ["0,5", "0,5"],
        "one of them zero": ["0.5", "0"],
        "of extreme aspect": ["0.02", "19"],
        "in text of 5000 letters": ["0" * 2500, "0" * 2500],
    }
    made: dict[str, Build] = {
        f"spacing {name}": partial(native, pixels, PixelSpacing=form)
        for name, form in forms.items()
    }
    for name, aspect in {"zero": ["1", "0"], "huge": ["1000", "1"], "words": ["a", "b"]}.items():
        made[f"no spacing, aspect ratio {name}"] = partial(
            native, pixels, PixelSpacing=None, PixelAspectRatio=aspect
        )
    return made


def _floats(pixels: Pixels) -> Iterator[Case]:
    """Float pixel data with Modality MR."""
    floats = pixels.astype(np.float32)
    changes: dict[str, dict[str, Any]] = {
        "float as MR image": {},
        "float as parametric map": {"SOPClassUID": STORAGE + "30"},
        "float as enhanced MR": {"SOPClassUID": STORAGE + "4.1"},
        "float as Secondary Capture": {"SOPClassUID": STORAGE + "7"},
        "float without bits": {"BitsAllocated": None, "BitsStored": None, "HighBit": None},
        "float of 16 bits allocated": {"BitsAllocated": 16},
        "float with a slope": {"RescaleSlope": "0.37", "RescaleIntercept": "11"},
        "float without Modality": {"Modality": None},
    }
    for name, each in changes.items():
        for width in (np.float32, np.float64):
            build = partial(native, floats.astype(width), **each)
            yield Case("tolerated", f"{name}, {width.__name__}", build, same_as=_GROUP)
    as_ow = replace(pixel_element(floats), vr=b"OW")
    yield Case(
        "tolerated", "float pixel data as OW", partial(with_elements, floats, as_ow), same_as=_GROUP
    )
