"""Pictures of other kinds than an ordinary slice (line 13 of issue 14)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.security.files.corpus_files import IMPLICIT, STORAGE, Element, element, encode, part10
from tests.security.second_corpus.inputs import (
    Input,
    changed,
    coded,
    elements,
    enhanced,
    mr,
    out_of_scope,
    picture,
    still_in_scope,
    typed,
)

TYPE = ("ImageType",)
# A vendor's place has no keyword.
B_VALUE = ("DiffusionBValue", "b-value", "b value", "0019,", "0043,", "2001,")


def cases() -> Iterator[Input]:
    """List them."""
    yield from _image_types()
    yield from _sequences()
    yield from _diffusion()
    yield from _other_fields()
    yield from _frames_of_a_kind()


# PS3.3 C.7.6.1.1.2, C.8.3.1.1.1 (with its defined terms) and C.8.13.3.1.1, and vendors' terms.
OUT_TYPES = r"""
DERIVED\PRIMARY\DIFFUSION\ADC\ND\NORM
DERIVED\PRIMARY\DIFFUSION\TRACEW\NORM\DIS2D
DERIVED\PRIMARY\DIFFUSION\FA\ND
ORIGINAL\PRIMARY\DIFFUSION\NONE\ND\NORM
ORIGINAL\PRIMARY\ADC_UNSPECIFIED\ADC\UNSPECIFIED
DERIVED\PRIMARY\ADC
DERIVED\SECONDARY\DIFFUSION MAP
DERIVED\PRIMARY\T1 MAP
DERIVED\PRIMARY\T2 MAP
DERIVED\PRIMARY\T2_STAR MAP\T2_STAR MAP\FFE
DERIVED\PRIMARY\DENSITY MAP
DERIVED\PRIMARY\PHASE MAP
ORIGINAL\PRIMARY\PHASE MAP\P\FFE
ORIGINAL\PRIMARY\VELOCITY MAP\P\PCA
ORIGINAL\PRIMARY\P\ND
ORIGINAL\PRIMARY\P\NORM\DIS2D
DERIVED\PRIMARY\MODULUS SUBTRACT
DERIVED\PRIMARY\PHASE SUBTRACT
DERIVED\PRIMARY\M\ND\SUB
DERIVED\PRIMARY\PROJECTION IMAGE
ORIGINAL\PRIMARY\PROJECTION IMAGE\M\FFE
DERIVED\SECONDARY\MIP
DERIVED\SECONDARY\OTHER\CSA MIP
DERIVED\PRIMARY\M\MNIP
ORIGINAL\PRIMARY\M\ND\NORM\MOSAIC
DERIVED\PRIMARY\DIXON\WATER
DERIVED\PRIMARY\DIXON\FAT
DERIVED\PRIMARY\W\W\DERIVED
DERIVED\PRIMARY\F\F\DERIVED
ORIGINAL\PRIMARY\DIXON\OPP_PHASE
ORIGINAL\PRIMARY\LOCALIZER\NONE
DERIVED\SECONDARY\SCREEN SAVE
DERIVED\SECONDARY\OTHER\CSA REPORT
derived\primary\diffusion\adc
DERIVED\PRIMARY \ ADC
""".strip().split("\n")
IN_TYPES = r"""
ORIGINAL\PRIMARY
ORIGINAL\PRIMARY\M\ND
ORIGINAL\PRIMARY\M\NORM\DIS2D\FIL
ORIGINAL\PRIMARY\M\NORM\DIS2D\FM4\FIL
ORIGINAL\PRIMARY\M\SE
ORIGINAL\PRIMARY\M_SE\M\SE
ORIGINAL\PRIMARY\OTHER
DERIVED\PRIMARY\OTHER
DERIVED\PRIMARY
DERIVED\PRIMARY\M\ND\NORM\SH\FIL
DERIVED\PRIMARY\M\NORM\DIS2D
DERIVED\PRIMARY\M_SE\M\SE
ORIGINAL\PRIMARY\T2\NONE
ORIGINAL\PRIMARY\\M
original\primary\m
""".strip().split("\n")


def _image_types() -> Iterator[Input]:
    for text in OUT_TYPES:
        yield changed(13, f"ImageType {text!r}", TYPE, ImageType=text)
    for text in IN_TYPES:
        yield changed(13, f"ImageType {text!r} stays", (), ImageType=text)
    yield changed(13, "no ImageType", (), ImageType=None)
    yield changed(13, "an empty ImageType", (), ImageType="")


def _sequences() -> Iterator[Input]:
    gradient = ("ScanningSequence", "SequenceVariant", "FlipAngle")
    kinds: dict[str, tuple[str, str, str, str, str]] = {
        # ScanningSequence, SequenceVariant, FlipAngle, RepetitionTime, EchoTime
        "a Siemens scout": ("GR", "SP\\OSP", "20", "8.6", "4"),
        "a GE scout": ("GR", "SS\\SK", "30", "5.4", "1.6"),
        "a Philips scout": ("GR", "NONE", "20", "11", "4.6"),
        "T2* MEDIC": ("GR", "SP\\OSP", "28", "900", "17"),
        "T2* MERGE": ("GR", "SK", "20", "700", "14"),
        "T2* FFE with a long echo": ("GR", "SK\\MP", "25", "600", "23"),
        "T2* of a long echo": ("GR", "SP", "20", "1200", "65"),
        "TrueFISP": ("GR", "SS", "70", "4.3", "2.1"),
        "a hybrid of GR and EP": ("EP\\GR", "SK", "90", "3600", "60"),
        "echo-planar": ("EP\\SE", "SK\\SP", "90", "5000", "90"),
        "echo-planar, other order": ("SE\\EP", "SK", "90", "5000", "90"),
        "echo-planar alone, T2's times": ("EP", "NONE", "90", "3600", "120"),
    }
    for name, values in kinds.items():
        keywords = ("ScanningSequence", "SequenceVariant", "FlipAngle")
        changes = dict(zip((*keywords, "RepetitionTime", "EchoTime"), values, strict=True))
        yield changed(13, name, gradient, **changes)
    flips = {"FlipAngle": "20", "RepetitionTime": "600", "EchoTime": "20"}
    names = ("FlipAngle", "EchoTime")
    yield changed(13, "T2* without ScanningSequence", names, ScanningSequence=None, **flips)
    for angle in ("90", "111", "150", "180"):
        yield changed(13, f"spin echo of {angle} degrees stays", (), FlipAngle=angle)
    t1 = {"FlipAngle": "70", "RepetitionTime": "550", "EchoTime": "11"}
    yield changed(13, "T1 spin echo of 70 degrees stays", (), **t1)
    yield changed(13, "T1 spin echo stays", (), **(t1 | {"FlipAngle": "90"}))
    yield changed(13, "no ScanningSequence stays", (), ScanningSequence=None)
    yield changed(13, "no FlipAngle stays", (), FlipAngle=None)
    yield changed(13, "MP in the variant stays", (), SequenceVariant="SK\\SP\\MP\\OSP")


def _private(group: int, creator: str, at: int, vr: bytes, value: bytes, block: int = 0x10) -> Any:
    """One private value with its creator, in any block (PS3.5 7.8.1)."""
    tag = (group << 16) + (block << 8) + at
    padded = creator + " " * (len(creator) % 2)
    return Element((group << 16) + block, b"LO", padded.encode()), Element(tag, vr, value)


def _diffusion() -> Iterator[Input]:
    siemens = partial(_private, 0x0019, "SIEMENS MR HEADER", 0x0C)
    ge = partial(_private, 0x0043, "GEMS_PARM_01", 0x39)
    philips = partial(_private, 0x2001, "Philips Imaging DD 001", 0x03)
    b800, b0 = struct.pack("<f", 800), struct.pack("<f", 0)
    out = {
        "Siemens b 500": siemens(b"IS", b"500 "),
        "Siemens b 500 as UN": siemens(b"UN", b"500 "),
        "Siemens b 1000 in block 11": siemens(b"IS", b"1000", 0x11),
        "GE b 600": ge(b"IS", b"600\\8\\0\\0 "),
        "GE b 1000000800": ge(b"IS", b"1000000800\\8\\0\\0"),
        "GE b 800 as UN": ge(b"UN", b"800\\8\\0\\0 "),
        "Philips b 800": philips(b"FL", b800),
        "Philips b 800 as UN": philips(b"UN", b800),
        "Philips b 800 in block 12": philips(b"FL", b800, 0x12),
        "DiffusionBValue": (element("DiffusionBValue", 400.0),),
    }
    for name, added in out.items():
        yield out_of_scope(13, name, partial(mr, *added), *B_VALUE)
    implicit = partial(_implicit, *philips(b"FL", b800))
    yield out_of_scope(13, "Philips b 800, implicit", implicit, *B_VALUE)
    # What ordinary slices of these vendors hold at the same places.
    stay = {
        "GE's zeros": ge(b"IS", b"0\\0\\0\\0 "),
        "Philips' b of 0": philips(b"FL", b0),
        "an empty GE value": ge(b"IS", b""),
        "(0019,100C) of GE": _private(0x0019, "GEMS_ACQU_01", 0x0C, b"SS", b"\xf4\x01"),
        "(0043,1039) of another": _private(0x0043, "OTHER", 0x39, b"IS", b"600 "),
        "a Siemens value in a block of another": (
            *_private(0x0019, "SIEMENS MR HEADER", 0x0B, b"IS", b"7 "),
            *_private(0x0019, "OTHER", 0x0C, b"IS", b"500 ", 0x11),
        ),
        "a DiffusionBValue of 0": (element("DiffusionBValue", 0.0),),
    }
    for name, added in stay.items():
        yield still_in_scope(13, f"{name} stays", partial(mr, *added))


def _implicit(*added: Element) -> bytes:
    return part10(encode(elements(None, *added), "implicit"), IMPLICIT)


def _capture(**changes: Any) -> bytes:
    """A Secondary Capture of a slice with text in it."""
    pixels = picture().copy()
    pixels[8:20, 8:120:3] = 4000
    capture = {"SOPClassUID": STORAGE + "7", "ConversionType": "WSD"}
    return mr(pixels=pixels, **(capture | changes))


def _page(**changes: Any) -> bytes:
    """A white page with lines of text."""
    page = np.full((480, 360), 255, np.uint8)
    page[40:400:16, 40:300:2] = 0
    values: dict[str, Any] = {"BitsStored": 8, "HighBit": 7, "SOPClassUID": STORAGE + "7"}
    return mr(pixels=page, **(values | changes))


def _other_fields() -> Iterator[Input]:
    agent = ("ContrastBolusAgent",)
    for text in ("GADOVIST 1.0", "Gd-DTPA", "Dotarem", "8 ML GADOBUTROL"):
        yield changed(13, f"gadolinium: {text}", agent, ContrastBolusAgent=text)
    code = coded("ContrastBolusAgentSequence", "C-B0317", "SRT", "Gadolinium")
    yield out_of_scope(13, "gadolinium by its code", partial(mr, code), "ContrastBolusAgent")
    yield changed(13, "an empty ContrastBolusAgent stays", (), ContrastBolusAgent="")
    burned = ("BurnedInAnnotation", "ImageType", "ConversionType", "SOPClassUID")
    yield out_of_scope(
        13, "burned-in text", partial(mr, BurnedInAnnotation="YES"), "BurnedInAnnotation"
    )
    capture = partial(_capture, BurnedInAnnotation="YES", ImageType="DERIVED\\SECONDARY")
    yield out_of_scope(13, "a screenshot with burned-in text", capture, *burned)
    saved = partial(_capture, ImageType="DERIVED\\SECONDARY\\SCREEN SAVE")
    yield out_of_scope(13, "a screen save", saved, *burned)
    page = partial(_page, ImageType="DERIVED\\SECONDARY\\REPORT", BurnedInAnnotation="YES")
    yield out_of_scope(13, "a report page", page, *burned)
    # A slice that came through a secondary capture is not refused; PS3.3 C.8.6 tells no more.
    plain = partial(mr, SOPClassUID=STORAGE + "7", BurnedInAnnotation="NO")
    yield Input(13, "a secondary capture without text", plain)
    yield changed(13, "BurnedInAnnotation NO stays", (), BurnedInAnnotation="NO")
    contrast = ("AcquisitionContrast",)
    for text in ("DIFFUSION", "PERFUSION", "T2_STAR", "TOF", "FLOW_ENCODED"):
        yield changed(13, f"AcquisitionContrast {text}", contrast, AcquisitionContrast=text)
    yield changed(13, "AcquisitionContrast T2 stays", (), AcquisitionContrast="T2")
    component = ("ComplexImageComponent",)
    for text in ("PHASE", "IMAGINARY"):
        yield changed(13, f"ComplexImageComponent {text}", component, ComplexImageComponent=text)
    magnitude = {"ComplexImageComponent": "MAGNITUDE"}
    yield changed(13, "ComplexImageComponent MAGNITUDE stays", (), **magnitude)
    gray = frozenset({"not_grayscale"})
    for text in ("COLOR", "TRUE_COLOR"):
        colour = partial(mr, SOPClassUID=STORAGE + "4.1", PixelPresentation=text)
        yield Input(13, f"PixelPresentation {text}", colour, gray)
    yield changed(13, "PixelPresentation MONOCHROME stays", (), PixelPresentation="MONOCHROME")


def _frames_of_a_kind() -> Iterator[Input]:
    """Enhanced objects whose frames are all of one other kind, by the macro of the frame."""
    one = picture()[None]
    shared: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "FrameType ADC": (typed(FrameType="DERIVED\\PRIMARY\\DIFFUSION\\ADC"), ("FrameType",)),
        "FrameType MIP": (
            typed(FrameType="DERIVED\\PRIMARY\\T2\\MAXIMUM_IP"),
            ("FrameType",),
        ),
        "FrameType FAT": (
            typed(FrameType="DERIVED\\PRIMARY\\FAT\\DIXON"),
            ("FrameType",),
        ),
        "a phase frame": (
            typed(ComplexImageComponent="PHASE"),
            ("ComplexImageComponent",),
        ),
        "a contrast of diffusion": (
            typed(AcquisitionContrast="DIFFUSION"),
            ("AcquisitionContrast",),
        ),
        "MRDiffusionSequence": (
            {"MRDiffusionSequence": {"DiffusionBValue": 800.0}},
            ("DiffusionBValue",),
        ),
    }
    for name, (macro, names) in shared.items():
        yield out_of_scope(13, f"enhanced, {name}", partial(enhanced, one, macro), *names)
        build = partial(enhanced, one, None, [macro])
        yield out_of_scope(13, f"enhanced, {name} of the frame", build, *names)
    yield still_in_scope(13, "enhanced T2 stays", partial(enhanced, one))
    b0 = {"MRDiffusionSequence": {"DiffusionBValue": 0.0}}
    yield still_in_scope(13, "enhanced with a b of 0 stays", partial(enhanced, one, b0))
