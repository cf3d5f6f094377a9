"""Sound files that are not a grayscale MR image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jpeg_ls
import numpy as np
from openjpeg.utils import encode_array as encode_jpeg_2000

from tests.preprocessing.decoding.codestreams import JPEG
from tests.security.files.corpus import Case
from tests.security.files.corpus_files import (
    EXPLICIT,
    IMPLICIT,
    MARKER,
    PIXEL_DATA,
    STORAGE,
    UNDEFINED,
    Element,
    Pixels,
    element,
    encapsulated,
    encode,
    meta,
    mr_elements,
    native,
    part10,
    sequence,
    with_pixels,
)
from tests.security.files.corpus_valid import picture

# Name, what builds the file, and the codes of which one is right.
Refusal = tuple[Any, ...]

_MODALITIES = """
AR ASMT AU BDUS BI BMD CR CT CTPROTOCOL DG DOC DX ECG EPS ES FID GM HC HD IO IVOCT IVUS KER KO LEN
LS MG NM OAM OCT OP OPT OT PLAN PR PT PX REG RF RG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SEG
SM SMR SR SRF STAIN TG US VA XA XC CTMR
"""
_NOT_IMAGES = """
4.2 9.1.1 9.1.2 9.4.1 11.1 11.4 66 66.1 66.4 66.5 66.6 67 68.1 88.11 88.33 88.59 104.1
"""
_PHOTOMETRICS = "RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT HSV XYB"
_OTHER_IMAGES = """
1 1.1 1.2 1.3 2 2.1 2.2 3.1 6.1 6.2 12.1 12.1.1 12.2 12.77 13.1.1 13.1.3 20 77.1.1 77.1.4 77.1.5.1
77.1.6 128 128.1 130 481.1 481.2 481.3 481.5 501.1 999
"""


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    pixels = picture(seed).astype(np.uint16)
    for made in (_other_objects, _colours, _without_pixels, _values):
        for name, build, *codes in made(pixels):
            yield Case("refused", name, build, frozenset(codes))


def _other_objects(pixels: Pixels) -> Iterator[Refusal]:
    either = "wrong_modality", "not_an_image"
    for modality in (*_MODALITIES.split(), MARKER, "MRI", "MRS", "M R"):
        yield f"Modality {modality}", partial(native, pixels, Modality=modality), *either
    ct = partial(native, pixels, SOPClassUID=None, Modality="CT")
    yield "Modality CT without a SOP class", ct, *either
    for end in _NOT_IMAGES.split():
        yield f"SOP class {end}", partial(native, pixels, SOPClassUID=STORAGE + end), *either
        bare = partial(native, pixels, SOPClassUID=STORAGE + end, Modality=None)
        yield f"SOP class {end} without Modality", bare, *either
    for end in _OTHER_IMAGES.split():
        yield f"SOP class {end}", partial(native, pixels, SOPClassUID=STORAGE + end), *either
    for name, uid in {
        "hardcopy": "1.2.840.10008.5.1.1.29",
        "RT beams": "1.2.840.10008.5.1.4.34.7",
        "hanging protocol": "1.2.840.10008.5.1.4.38.1",
    }.items():
        yield f"SOP class of {name}", partial(native, pixels, SOPClassUID=uid), *either
    for syntax in (EXPLICIT, IMPLICIT):
        build = partial(native, pixels, syntax, SOPClassUID=STORAGE + "2", Modality="CT")
        yield f"CT in {syntax}", build, *either
    directory = encode(
        [
            Element(0x00041130, b"CS", MARKER.encode()),
            Element(0x00041200, b"UL", b"\0" * 4),
            sequence(0x00041220, [encode([Element(0x00041430, b"CS", b"PATIENT ")])]),
        ]
    )
    with_prefix = b"\0" * 128 + b"DICM" + meta(EXPLICIT, "1.2.840.10008.1.3.10") + directory
    yield "DICOMDIR", lambda: with_prefix, *either
    yield "DICOMDIR without a preamble", lambda: with_prefix[128:], *either
    elements = mr_elements(pixels, SOPClassUID=STORAGE + "88.33", Modality="SR")
    del elements[PIXEL_DATA]
    yield "structured report", lambda: part10(encode(elements)), *either
    document = element("EncapsulatedDocument", b"%PDF-1.4 " + MARKER.encode() * 10)
    pdf = mr_elements(pixels, SOPClassUID=STORAGE + "104.1", Modality="DOC")
    del pdf[PIXEL_DATA]
    yield "encapsulated PDF", lambda: part10(encode([*pdf.values(), document])), *either


def _colours(pixels: Pixels) -> Iterator[Refusal]:
    code = "not_grayscale"
    eight = pixels.astype(np.uint8)
    rgb = np.repeat(eight[:, :, None], 3, axis=2)

    def colour(photometric: str, samples: int, planar: int = 0, **changes: Any) -> bytes:
        made = mr_elements(
            eight,
            PhotometricInterpretation=photometric,
            SamplesPerPixel=samples,
            PlanarConfiguration=planar,
            **changes,
        )
        made[PIXEL_DATA] = Element(PIXEL_DATA, b"OB", eight.tobytes() * samples)
        return part10(encode(made))

    for photometric in [
        "RGB",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_PARTIAL_420",
        "YBR_ICT",
        "YBR_RCT",
        "HSV",
        "XYB",
    ]:
        for planar in (0, 1):
            yield f"{photometric}, planar {planar}", partial(colour, photometric, 3, planar), code
    for photometric in ("ARGB", "CMYK"):
        yield photometric, partial(colour, photometric, 4), code
    for samples in (0, 2, 3, 4, 65535):
        build = partial(native, pixels, SamplesPerPixel=samples)
        yield f"MONOCHROME2 of {samples} samples", build, code
    for photometric in ("PALETTE COLOR", "RGB", MARKER, "MONOCHROME3"):
        build = partial(native, pixels, PhotometricInterpretation=photometric)
        yield f"{photometric} of one sample", build, code
    yield "enhanced MR colour", partial(colour, "RGB", 3, SOPClassUID=STORAGE + "4.3"), code
    frames = {
        "80": bytes(jpeg_ls.encode_array(rgb)),
        "90": encode_jpeg_2000(rgb, photometric_interpretation=1),
    }
    for end, frame in frames.items():
        build = partial(encapsulated, eight, JPEG + end, [frame])
        yield f"MONOCHROME2 with a codestream of three components, {end}", build, code


def _without_pixels(pixels: Pixels) -> Iterator[Refusal]:
    elements = mr_elements(pixels)
    del elements[PIXEL_DATA]
    yield "no pixel data", lambda: part10(encode(elements)), "no_pixels"
    empty = [*elements.values(), Element(PIXEL_DATA, b"OW", b"")]
    yield "empty pixel data", lambda: part10(encode(empty)), "no_pixels"
    unsized = mr_elements(pixels, Rows=None, Columns=None)
    del unsized[PIXEL_DATA]
    yield "no pixel data, no geometry", lambda: part10(encode(unsized)), "no_pixels"
    only_overlay = [*elements.values(), Element(0x60003000, b"OW", b"\0" * 960)]
    yield "an overlay alone", lambda: part10(encode(only_overlay)), "no_pixels"
    provider = [*elements.values(), Element(0x00287FE0, b"UR", b"http://127.0.0.1:9/pixels ")]
    yield "pixels at a URL", lambda: part10(encode(provider)), "no_pixels"
    icon = sequence(0x00880200, [encode([Element(PIXEL_DATA, b"OB", b"\1\1")])])
    yield "an icon alone", lambda: part10(encode([*elements.values(), icon])), "no_pixels"
    syntax = JPEG + "80"
    codes = "no_pixels", "damaged_image"
    yield "no fragments", partial(with_pixels, pixels, syntax, b""), *codes
    yield "an offset table alone", partial(encapsulated, pixels, syntax, []), *codes
    yield "empty fragments", partial(encapsulated, pixels, syntax, [b"", b""]), *codes


def _values(pixels: Pixels) -> Iterator[Refusal]:
    """Pixels that are not finite, and samples that MR images do not have."""
    floats = pixels.astype(np.float64)
    for bad in (np.nan, np.inf, -np.inf):
        for width in (np.float32, np.float64):
            for name, place in {"first": 0, "last": -1, "middle": floats.size // 2}.items():
                spoilt = floats.astype(width)
                spoilt.ravel()[place] = bad
                build = partial(native, spoilt)
                yield f"{bad} as the {name} of {width.__name__}", build, "not_finite"
    for name, value in {"all NaN": np.nan, "all infinite": np.inf}.items():
        yield name, partial(native, np.full((9, 9), value, np.float32)), "not_finite"
    yield "doubles beyond float", partial(native, floats * 1e300), "not_finite"
    rescales = (
        ("nan", "0"),
        ("inf", "0"),
        ("-inf", "0"),
        ("1e300", "0"),
        ("1", "nan"),
        ("1", "inf"),
    )
    for slope, intercept in (*rescales, ("1", "1e300"), ("NaN", "NaN"), ("1e39", "-1e39")):
        build = partial(native, pixels, RescaleSlope=slope, RescaleIntercept=intercept)
        yield f"slope {slope}, intercept {intercept}", build, "not_finite"
    code = "unsupported_pixel_format"
    for bits in (0, 1, 2, 4, 7, 10, 12, 15, 17, 24, 64, 128, 65535):
        build = partial(native, pixels, BitsAllocated=bits)
        yield f"BitsAllocated {bits}", build, code
    yield "no BitsAllocated", partial(native, pixels, BitsAllocated=None), code
    for bits in (0, 17, 32, 65535):
        yield f"BitsStored {bits} of 16", partial(native, pixels, BitsStored=bits), code
    for sign in (2, 3, 256, 65535):
        yield f"PixelRepresentation {sign}", partial(native, pixels, PixelRepresentation=sign), code
    bits_1 = mr_elements(pixels, BitsAllocated=1, BitsStored=1, HighBit=0)
    bits_1[PIXEL_DATA] = Element(PIXEL_DATA, b"OB", b"\xaa" * (pixels.size // 8))
    yield "packed single bits", lambda: part10(encode(bits_1)), code
    undefined = {**mr_elements(pixels)}
    undefined[PIXEL_DATA] = Element(PIXEL_DATA, b"OW", pixels.tobytes(), UNDEFINED)
    yield "native pixels of undefined length", lambda: part10(encode(undefined)), "damaged_image"
