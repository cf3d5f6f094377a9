"""Turn stored samples into modality units: modality LUT or rescale, inversion, padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.dicom import tags, values
from preprocessing.dicom.border import has_undeclared_frame, is_outside
from preprocessing.dicom.geometry import PixelLayout
from preprocessing.dicom.header import Header
from preprocessing.dicom.modality_lut import ModalityLut, read_modality_lut
from preprocessing.dicom.notes import FRAME, NAN_PADDING, unusable
from preprocessing.dicom.pixels import Frame, Samples
from preprocessing.dicom.values import Item
from preprocessing.errors import NotFinite

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# An ordinary slice is converted in one piece, a 4096 x 4096 one without copies of its size.
_PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class _Conversion:
    """What turns samples into modality units: a table, or slope and intercept."""

    lut: ModalityLut | None
    slope: float
    intercept: float

    def write(self, samples: Samples, out: FloatArray) -> None:
        """Convert some samples."""
        if self.lut:
            out[:] = self.lut.look_up(samples)
            return
        out[:] = samples
        if self.slope != 1:
            out *= np.float32(self.slope)
        if self.intercept:
            out += np.float32(self.intercept)


def modality_pixels(
    frame: Frame, layout: PixelLayout, header: Header, ds: Item
) -> tuple[FloatArray, list[str]]:
    """Convert the samples of one frame, some at a time.

    Args:
        frame: its stored samples.
        layout: of the object.
        header: of the object.
        ds: the values of the frame.

    Returns:
        [H, W], finite, high values bright; and notes on what was found or could not be used.

    Raises:
        NotFinite: some pixel is NaN or infinite, and no padding.
        DamagedImage: the modality LUT is incomplete.
    """
    conversion, notes = _read_conversion(layout, header, ds)
    padding = _padding(layout, header)
    pixels = frame.output(layout.rows * layout.columns)
    is_padding = np.zeros(pixels.size if padding else 0, np.bool_)
    is_hole = np.zeros(0, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, pixels.size, _PIXELS_AT_ONCE):
            block = pixels[first : first + _PIXELS_AT_ONCE]
            here = slice(first, first + block.size)
            samples = frame.samples(here.start, here.stop)
            if padding:
                is_padding[here] = _within(samples, padding)
            if layout.is_float:
                holes = ~np.isfinite(samples)
                if padding:
                    samples = np.where(is_padding[here], 0, samples)  # it may be beyond float32
                    holes &= ~is_padding[here]
                if holes.any():
                    _refuse_infinite(samples[holes])
                    is_hole = is_hole if is_hole.size else np.zeros(pixels.size, np.bool_)
                    is_hole[here] = holes
                    samples = np.where(holes, 0, samples)
            conversion.write(samples, block)
        low, high = pixels.min(), pixels.max()
        if layout.is_inverted:
            # MONOCHROME1 shows the lowest value as white (PS3.3 C.7.6.3.1.2); the model learned
            # MONOCHROME2.
            np.subtract(low + high, pixels, out=pixels)
            low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NotFinite("Some pixels are not finite after rescaling; export the image again.")
    shape = layout.rows, layout.columns
    if is_hole.size:
        if not is_outside(is_hole.reshape(shape)):
            raise NotFinite("Some pixels are NaN; export the image again.")
        notes.append(NAN_PADDING)
        is_padding = is_hole | is_padding if padding else is_hole
    if is_padding.any() and not is_padding.all():
        pixels[is_padding] = pixels.min(where=~is_padding, initial=np.inf)
    elif has_undeclared_frame(pixels.reshape(shape), float(low), float(high)):
        notes.append(FRAME)
    return pixels.reshape(shape), notes


def _refuse_infinite(holes: Samples) -> None:
    if np.isinf(holes).any():
        raise NotFinite("Some pixels are infinite; export the image again.")


def _read_conversion(
    layout: PixelLayout, header: Header, ds: Item
) -> tuple[_Conversion, list[str]]:
    """Read modality LUT, slope and intercept; a slope of 0 or an unreadable one counts as 1."""
    slope = values.decimal(ds, tags.RESCALE_SLOPE)
    intercept = values.decimal(ds, tags.RESCALE_INTERCEPT)
    notes = []
    if not slope and values.text(ds, tags.RESCALE_SLOPE):
        notes.append(unusable("RescaleSlope"))
    if intercept is None and values.text(ds, tags.RESCALE_INTERCEPT):
        notes.append(unusable("RescaleIntercept"))
    lut = None if layout.is_float else read_modality_lut(header, is_signed=layout.is_signed)
    return _Conversion(lut, slope or 1.0, intercept or 0.0), notes


def _padding(layout: PixelLayout, header: Header) -> tuple[float, float] | None:
    """Return the lowest and the highest value that fill the frame (PS3.3 C.7.5.1.1.2)."""

    def read(tag: int) -> float | None:
        if layout.is_float:
            return values.floating(header.values, tag, header.big_endian)
        return values.integer(header.values, tag, header.big_endian, signed=layout.is_signed)

    if not layout.is_float:
        places = (tags.PIXEL_PADDING_VALUE, tags.PIXEL_PADDING_RANGE_LIMIT)
    elif layout.bits_allocated == 32:
        places = (tags.FLOAT_PIXEL_PADDING_VALUE, tags.FLOAT_PIXEL_PADDING_RANGE_LIMIT)
    else:
        places = (
            tags.DOUBLE_FLOAT_PIXEL_PADDING_VALUE,
            tags.DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT,
        )
    value, limit = map(read, places)
    if value is None:
        return None
    if limit is None:
        limit = value
    return min(value, limit), max(value, limit)


def _within(samples: Samples, padding: tuple[float, float]) -> BoolArray:
    low, high = padding
    if low != low:  # NaN
        return np.isnan(samples)
    return (samples >= low) & (samples <= high)
