"""A codestream's precision against its process and against the header."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import jpeg2k_encode, jpeg8_encode, jpegls_encode

from preprocessing import read_image
from preprocessing.errors import DamagedImage
from tests.dicom_files import encapsulated
from tests.preprocessing.decoding.codestreams import (
    JPEG,
    JPEG_BASELINE,
    JPEG_EXTENDED_12_BIT,
    JPEG_LOSSLESS_PREDICTOR_1,
    RAMP,
)

Pixels = npt.NDArray[Any]
SIGNED = RAMP.astype(np.int16) - 2000  # from -2000 to 1877: 12 bits


def lossless(pixels: Pixels, precision: int) -> bytes:
    """Encode JPEG lossless, process 14, first-order."""
    return bytes(jpeg8_encode(pixels, lossless=True, bitspersample=precision, predictor=1))


def jpeg_2000(pixels: Pixels, precision: int, level: int | None = None) -> bytes:
    return bytes(
        jpeg2k_encode(
            pixels,
            level=level,
            bitspersample=precision,
            reversible=level is None,
            codecformat="J2K",
            resolutions=2,
        )
    )


def stating(frame: bytes, start_of_frame: int, precision: int, other: int = 0) -> bytes:
    """Write another precision, and another kind of frame, into a JPEG's frame header."""
    at = frame.index(bytes((0xFF, start_of_frame)))
    kind = bytes((0xFF, other or start_of_frame))
    return frame[:at] + kind + frame[at + 2 : at + 4] + bytes((precision,)) + frame[at + 5 :]


def file_of(end: str, frame: bytes, pixels: Pixels, stored: int = 12, **changes: Any) -> bytes:
    bits = {"BitsStored": stored, "HighBit": stored - 1}
    return encapsulated(pixels, JPEG + end, [frame], **bits | changes)


@pytest.mark.parametrize("end", ["50", "51", "57", "70"])
@pytest.mark.parametrize(
    "frame",
    [
        stating(JPEG_EXTENDED_12_BIT, 0xC1, 16),
        stating(JPEG_EXTENDED_12_BIT, 0xC1, 10),
        stating(JPEG_EXTENDED_12_BIT, 0xC1, 16, other=0xC2),
        stating(JPEG_BASELINE, 0xC0, 12),
        stating(JPEG_BASELINE, 0xC0, 16),
        stating(JPEG_BASELINE, 0xC0, 16, other=0xC1),
        stating(JPEG_BASELINE, 0xC0, 7),
        stating(JPEG_EXTENDED_12_BIT, 0xC1, 12, other=0xC0),
        stating(JPEG_LOSSLESS_PREDICTOR_1, 0xC3, 1),
        stating(JPEG_LOSSLESS_PREDICTOR_1, 0xC3, 17),
    ],
    ids=[
        *("extended 16", "extended 10", "progressive 16", "baseline 12", "baseline 16"),
        *("8 as extended 16", "baseline 7", "12 as baseline", "lossless 1", "lossless 17"),
    ],
)
@pytest.mark.parametrize("stored", [12, 16])
def test_a_precision_that_the_process_does_not_have_is_damage(
    end: str, frame: bytes, stored: int
) -> None:
    with pytest.raises(DamagedImage, match="its kind of JPEG does not have"):
        read_image(file_of(end, frame, RAMP, stored))


@pytest.mark.parametrize("end", ["50", "51"])
@pytest.mark.parametrize("stored", [9, 12, 16])
def test_lossy_samples_of_8_bits_are_not_taken_for_more(end: str, stored: int) -> None:
    with pytest.raises(DamagedImage, match=f"8 bits, but BitsStored is {stored}"):
        read_image(file_of(end, JPEG_BASELINE, RAMP, stored))


@pytest.mark.parametrize("precision", range(2, 17))
def test_every_precision_of_the_lossless_process_is_read(precision: int) -> None:
    kind = np.uint8 if precision <= 8 else np.uint16
    pixels = (RAMP.astype(np.uint32) * ((1 << precision) - 1) // RAMP.max()).astype(kind)
    data = file_of("70", lossless(pixels, precision), pixels, precision)
    np.testing.assert_array_equal(read_image(data).pixels, pixels)


@pytest.mark.parametrize("end", ["50", "51"])
def test_a_jpeg_extended_of_12_bit_is_read_under_either_lossy_syntax(end: str) -> None:
    data = file_of(end, JPEG_EXTENDED_12_BIT, RAMP)
    np.testing.assert_allclose(read_image(data).pixels, RAMP, atol=4)


@pytest.mark.parametrize(
    ("end", "frame", "pixels"),
    [
        ("70", lossless(RAMP, 16), RAMP),
        ("57", lossless(RAMP, 13), RAMP),
        ("80", bytes(jpegls_encode(RAMP * 16)), RAMP * 16),
        ("90", jpeg_2000(RAMP, 16), RAMP),
        ("70", lossless(SIGNED.view(np.uint16), 16), SIGNED),
        ("70", lossless(SIGNED.view(np.uint16) & 0xFFF, 16), SIGNED),
        ("70", lossless(SIGNED.view(np.uint16) & 0x1FFF, 13), SIGNED),
        ("80", bytes(jpegls_encode(SIGNED.view(np.uint16))), SIGNED),
        ("90", jpeg_2000(SIGNED, 16), SIGNED),
        ("90", jpeg_2000(SIGNED, 12), SIGNED),
        ("91", jpeg_2000(SIGNED.view(np.uint16) & 0xFFF, 12), SIGNED),
    ],
    ids=[
        *("lossless 16", "lossless 13", "JPEG-LS 16 of 16", "JPEG 2000 16"),
        *("signed", "signed, cut to 12", "signed, cut to 13", "signed JPEG-LS"),
        *("signed JPEG 2000", "signed JPEG 2000 of 12", "JPEG 2000, unsigned of signed"),
    ],
)
def test_samples_that_fit_into_bits_stored_are_read(end: str, frame: bytes, pixels: Pixels) -> None:
    stored = 16 if pixels.max() > 4095 else 12
    np.testing.assert_array_equal(read_image(file_of(end, frame, pixels, stored)).pixels, pixels)


@pytest.mark.parametrize(
    ("end", "frame", "pixels", "stored"),
    [
        ("70", lossless(RAMP * 16, 16), RAMP, 12),
        ("57", lossless(RAMP * 2, 13), RAMP, 12),
        ("70", lossless(RAMP, 12), RAMP, 10),
        ("70", stating(JPEG_LOSSLESS_PREDICTOR_1, 0xC3, 16), RAMP, 12),
        ("70", stating(JPEG_LOSSLESS_PREDICTOR_1, 0xC3, 13), RAMP, 12),
        ("70", lossless(SIGNED.view(np.uint16), 16), SIGNED, 11),
        ("70", lossless(SIGNED.view(np.uint16), 16), SIGNED.view(np.uint16), 12),
        ("80", bytes(jpegls_encode(RAMP * 16)), RAMP, 12),
        ("81", bytes(jpegls_encode(RAMP * 16, level=2)), RAMP, 12),
        ("90", jpeg_2000(RAMP * 16, 16), RAMP, 12),
        ("90", jpeg_2000(SIGNED * 4, 16), SIGNED, 12),
        ("90", jpeg_2000(SIGNED, 16), SIGNED.view(np.uint16), 12),
        ("91", jpeg_2000(RAMP * 16, 16, level=40), RAMP, 12),
        ("51", JPEG_EXTENDED_12_BIT, RAMP, 10),
        ("90", jpeg_2000(RAMP, 16), RAMP.astype(np.uint8), 8),
        ("70", lossless(RAMP, 16), RAMP.astype(np.uint8), 8),
    ],
)
def test_samples_that_do_not_fit_into_bits_stored_are_damage(
    end: str, frame: bytes, pixels: Pixels, stored: int
) -> None:
    with pytest.raises(DamagedImage, match="do not fit"):
        read_image(file_of(end, frame, pixels, stored))


def test_the_overshoot_of_a_lossy_codec_is_clipped() -> None:
    # Beyond 12 bits by what a lossy codec adds; cut off, the brightest pixels would be the darkest.
    brighter = RAMP + (4100 - RAMP.max())
    frame = bytes(jpegls_encode(brighter, level=2))
    pixels = read_image(file_of("81", frame, RAMP)).pixels
    np.testing.assert_allclose(pixels, np.minimum(brighter, 4095), atol=2)
    with pytest.raises(DamagedImage):
        read_image(file_of("80", frame, RAMP))


def test_the_overshoot_of_signed_samples_is_clipped() -> None:
    wider = (SIGNED + 180).astype(np.int16)  # to 2057
    pixels = read_image(file_of("91", jpeg_2000(wider, 16), SIGNED)).pixels
    np.testing.assert_array_equal(pixels, np.minimum(wider, 2047))
