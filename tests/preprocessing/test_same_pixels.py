"""The same pixels give the same input, however they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from preprocessing import InputSpec, read_image, to_input
from tests.dicom_files import NATIVE, encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import JPEG, RLE, encode_jpeg_ls, encode_rle

PIXELS = np.random.default_rng(0).normal(600, 300, (100, 80)).clip(0, 2047).astype(np.uint16)
EXPECTED = to_input(read_image(make_dicom(PIXELS)), InputSpec())
TWELVE_BIT: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}


def rescaled(pixels: npt.NDArray[Any], slope: str, intercept: str, **changes: Any) -> bytes:
    return make_dicom(pixels, RescaleSlope=slope, RescaleIntercept=intercept, **changes)


STORED = {
    **{name: make_dicom(PIXELS, syntax) for name, syntax in NATIVE.items()},
    "signed": make_dicom(PIXELS.astype(np.int16)),
    "shifted by the intercept": rescaled(PIXELS.astype(np.int16) - 1024, "1", "1024"),
    "Philips slope": rescaled(PIXELS, "4.7326", "-300"),
    "small slope": rescaled(PIXELS, "0.00123", "12"),
    "MONOCHROME1": make_dicom(4095 - PIXELS, PhotometricInterpretation="MONOCHROME1", **TWELVE_BIT),
    "MONOCHROME1 with slope": rescaled(
        4095 - PIXELS, "3.3", "0", PhotometricInterpretation="MONOCHROME1", **TWELVE_BIT
    ),
    "32 bit": make_dicom(PIXELS.astype(np.uint32)),
    "float": make_dicom(PIXELS.astype(np.float32)),
    "double": make_dicom(PIXELS.astype(np.float64)),
    "float from 0 to 1": make_dicom((PIXELS / 2047).astype(np.float32)),
    "with overlay bits": make_dicom(PIXELS | 0xF000, **TWELVE_BIT),
    "high bit at the top": make_dicom(PIXELS << 4, BitsStored=12, HighBit=15),
    "without preamble": make_dicom(PIXELS)[128:],
    "first of two frames": make_dicom(np.stack([PIXELS, PIXELS * 2])),
    "RLE": encapsulated(PIXELS, RLE, [encode_rle(PIXELS)]),
    "JPEG-LS": encapsulated(PIXELS, JPEG + "80", [encode_jpeg_ls(PIXELS)]),
}


@pytest.mark.parametrize("data", STORED.values(), ids=STORED)
def test_the_same_pixels_give_the_same_input(data: bytes) -> None:
    np.testing.assert_allclose(to_input(read_image(data), InputSpec()), EXPECTED, atol=1e-6)
