"""Where the distance between pixels comes from, and what is said when it is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from preprocessing.dicom import tags
from preprocessing.dicom.notes import SQUARE, unusable
from preprocessing.dicom.spacing import read_spacing

_TAGS = {
    "PixelSpacing": tags.PIXEL_SPACING,
    "ImagerPixelSpacing": tags.IMAGER_PIXEL_SPACING,
    "NominalScannedPixelSpacing": tags.NOMINAL_SCANNED_PIXEL_SPACING,
    "PixelAspectRatio": tags.PIXEL_ASPECT_RATIO,
}


def read(**written: str) -> tuple[tuple[float, float], list[str]]:
    return read_spacing({_TAGS[keyword]: text.encode() for keyword, text in written.items()})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"PixelSpacing": "2\\0.5", "ImagerPixelSpacing": "1\\1"}, (2.0, 0.5)),
        ({"ImagerPixelSpacing": "0.7\\0.8", "NominalScannedPixelSpacing": "1\\1"}, (0.7, 0.8)),
        ({"NominalScannedPixelSpacing": "0.9\\0.4", "PixelAspectRatio": "1\\1"}, (0.9, 0.4)),
        ({"PixelAspectRatio": "3\\2"}, (1.5, 1.0)),
        ({"PixelSpacing": " ", "PixelAspectRatio": "2\\1"}, (2.0, 1.0)),
        ({"PixelSpacing": " +5.0E-1\\.25 "}, (0.5, 0.25)),
    ],
)
def test_the_first_place_that_has_a_spacing_decides(
    written: dict[str, str], expected: tuple[float, float]
) -> None:
    assert read(**written) == (expected, [])


def test_without_any_spacing_pixels_are_square_and_that_is_said() -> None:
    assert read() == ((1.0, 1.0), [SQUARE])


MALFORMED = [
    *("0.5", "0.5\\0.5\\0.5", "0\\0", "0.5\\0", "-0.5\\-0.5", "nan\\nan", "inf\\inf", "1e999\\1"),
    *("1_0\\1_0", "0,5\\0,5", "0x1\\0x1", "\u0661\\\u0661", "\uff11\\\uff11", "1e300\\1e300"),
    *("0.1\\19", "0.5\\", "wide\\wide", "5 0\\50"),
]


@pytest.mark.parametrize("text", MALFORMED)
@pytest.mark.parametrize("keyword", ["PixelSpacing", "NominalScannedPixelSpacing"])
def test_a_malformed_spacing_leaves_its_place_to_the_next_and_is_said(
    keyword: str, text: str
) -> None:
    others: dict[str, Any] = {"PixelAspectRatio": "3\\2"}
    assert read(**{keyword: text}, **others) == ((1.5, 1.0), [unusable(keyword)])
    assert read(**{keyword: text}) == ((1.0, 1.0), [unusable(keyword), SQUARE])


@pytest.mark.parametrize("text", ["1\\0", "0\\1", "1000\\1", "a\\b", "1_0\\1", "3", "-1\\-1"])
def test_a_malformed_aspect_ratio_is_said_too(text: str) -> None:
    assert read(PixelAspectRatio=text) == ((1.0, 1.0), [unusable("PixelAspectRatio"), SQUARE])
