"""Read the distance between pixels, or at least their shape."""

from __future__ import annotations

from preprocessing.dicom import tags, values
from preprocessing.dicom.notes import SQUARE, unusable
from preprocessing.dicom.values import Item

# Beyond these a spacing is a mistake: coils image 20 mm to 1 m with 64 to 4096 pixels.
_SPACING_MM = (0.01, 20.0)
_LARGEST_ASPECT = 20.0
_PLACES = {
    "PixelSpacing": tags.PIXEL_SPACING,
    "ImagerPixelSpacing": tags.IMAGER_PIXEL_SPACING,
    "NominalScannedPixelSpacing": tags.NOMINAL_SCANNED_PIXEL_SPACING,
}


def read_spacing(ds: Item) -> tuple[tuple[float, float], list[str]]:
    """Read the first spacing that can be used, else the aspect ratio, else take pixels as square.

    Args:
        ds: the values of a frame.

    Returns:
        Millimetres between rows and between columns, a ratio where unknown; and notes on what
        could not be used.
    """
    notes: list[str] = []
    for keyword, tag in _PLACES.items():
        if values.text(ds, tag):
            spacing = values.decimals(ds, tag)
            if spacing and len(spacing) == 2 and _is_plausible(*spacing):
                return (spacing[0], spacing[1]), notes
            notes.append(unusable(keyword))
    if values.text(ds, tags.PIXEL_ASPECT_RATIO):
        aspect = values.decimals(ds, tags.PIXEL_ASPECT_RATIO)
        if aspect and len(aspect) == 2 and _is_aspect(*aspect):
            return (aspect[0] / aspect[1], 1.0), notes
        notes.append(unusable("PixelAspectRatio"))
    return (1.0, 1.0), [*notes, SQUARE]


def _is_plausible(rows_mm: float, columns_mm: float) -> bool:
    low, high = _SPACING_MM
    is_in_range = low <= rows_mm <= high and low <= columns_mm <= high  # also false for NaN
    return is_in_range and _is_aspect(rows_mm, columns_mm)


def _is_aspect(rows: float, columns: float) -> bool:
    is_positive = 0 < rows < float("inf") and 0 < columns < float("inf")
    return is_positive and 1 / _LARGEST_ASPECT <= rows / columns <= _LARGEST_ASPECT
