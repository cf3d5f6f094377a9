"""Read DICOM bytes into slices in modality units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preprocessing.dicom import tags, values
from preprocessing.dicom.cost import check_cost
from preprocessing.dicom.facts import SliceFacts, read_facts
from preprocessing.dicom.functional_groups import frame_values
from preprocessing.dicom.geometry import PixelLayout, read_layout
from preprocessing.dicom.header import Header, read_header
from preprocessing.dicom.modality import check_modality
from preprocessing.dicom.pixels import Frame, read_stored
from preprocessing.dicom.values import Item
from preprocessing.errors import FrameNotFound, NotFinite
from preprocessing.limits import DEFAULT, Limits, check_transport

# Beyond these a spacing is a mistake: coils image 20 mm to 1 m with 64 to 4096 pixels.
_SPACING_MM = (0.01, 20.0)
_LARGEST_ASPECT = 20.0
# An ordinary slice is converted in one piece, a 4096 x 4096 one without copies of its size.
_PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Slice:
    """One frame: `pixels` in modality units, float32 [H, W], finite, high values bright."""

    pixels: npt.NDArray[np.float32] = field(repr=False)
    spacing_mm: tuple[float, float]  # between rows, between columns; a ratio where unknown
    frame: int  # counted from 1
    frames: int
    facts: SliceFacts


@dataclass(frozen=True)
class ImageFile:
    """A file whose header and declared geometry were read and checked; its pixels were not."""

    header: Header = field(repr=False)
    layout: PixelLayout
    limits: Limits

    def facts(self, number: int) -> SliceFacts:
        """Read the facts of a frame, counted from 1, without its pixels."""
        return read_facts(self.header, frame_values(self.header, number))

    def slices(self, numbers: Iterable[int] | None = None) -> Iterator[Slice]:
        """Decode frames one after the other, each when it is asked for.

        Args:
            numbers: of the frames, counted from 1; all by default.

        Raises:
            ImageError: the pixels are refused; see preprocessing/errors.py.
        """
        frames = self.layout.frames
        numbers = range(1, frames + 1) if numbers is None else tuple(numbers)
        found = read_stored(self.header, self.layout, self.limits, numbers)
        for number, frame in zip(numbers, found, strict=True):
            ds = frame_values(self.header, number)
            yield Slice(
                pixels=_modality_pixels(frame, self.layout, self.header, ds),
                spacing_mm=_spacing(ds),
                frame=number,
                frames=frames,
                facts=read_facts(self.header, ds),
            )


def open_image(data: bytes, limits: Limits = DEFAULT) -> ImageFile:
    """Check a DICOM file up to its pixels, cheap checks first: bytes, header, modality, layout.

    Args:
        data: the whole file.
        limits: what the file may cost.

    Raises:
        ImageError: the file is refused; see preprocessing/errors.py.
    """
    check_transport(data, limits)
    header = read_header(data, limits)
    check_modality(header)
    layout = read_layout(header, limits)
    check_cost(header, layout, len(data))
    return ImageFile(header, layout, limits)


def read_image(data: bytes, frame: int = 1, limits: Limits = DEFAULT) -> Slice:
    """Read one frame of a DICOM file.

    Args:
        data: the whole file.
        frame: counted from 1.
        limits: what the file may cost.

    Raises:
        ImageError: the file is refused; see preprocessing/errors.py.
    """
    image = open_image(data, limits)
    if not 1 <= frame <= image.layout.frames:
        raise FrameNotFound(f"The object has {image.layout.frames} frames, counted from 1.")
    return next(image.slices([frame]))


def read_frames(data: bytes, limits: Limits = DEFAULT) -> Iterator[Slice]:
    """Read the frames of a DICOM file one after the other, each decoded when asked for.

    Args:
        data: the whole file.
        limits: what the file may cost.

    Raises:
        ImageError: the file is refused; see preprocessing/errors.py.
    """
    yield from open_image(data, limits).slices()


def _modality_pixels(
    frame: Frame, layout: PixelLayout, header: Header, ds: Item
) -> npt.NDArray[np.float32]:
    """Apply rescale, polarity and padding, in this order; some pixels at a time."""
    slope, intercept = _rescale(ds)
    padding = _padding(layout, header)
    pixels = frame.output(layout.rows * layout.columns)
    is_padding = np.zeros(pixels.size if padding else 0, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, pixels.size, _PIXELS_AT_ONCE):
            block = pixels[first : first + _PIXELS_AT_ONCE]
            samples = frame.samples(first, first + block.size)
            if layout.is_float and not np.isfinite(samples).all():
                raise NotFinite("Some pixels are NaN or infinite; export the image again.")
            block[:] = samples
            if slope != 1:
                block *= np.float32(slope)
            if intercept:
                block += np.float32(intercept)
            if padding:
                marked = (samples >= padding[0]) & (samples <= padding[1])
                is_padding[first : first + block.size] = marked
        low, high = pixels.min(), pixels.max()
        if layout.is_inverted:
            # MONOCHROME1 shows the lowest value as white (PS3.3 C.7.6.3.1.2); the model learned
            # MONOCHROME2.
            np.subtract(low + high, pixels, out=pixels)
            low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise NotFinite("Some pixels are not finite after rescaling; export the image again.")
    if is_padding.any() and not is_padding.all():
        pixels[is_padding] = pixels.min(where=~is_padding, initial=np.inf)
    return pixels.reshape(layout.rows, layout.columns)


def _rescale(ds: Item) -> tuple[float, float]:
    """Return slope and intercept (PS3.3 C.11.1); a slope of 0 or an unreadable one counts as 1."""
    slope = values.decimal(ds, tags.RESCALE_SLOPE)
    intercept = values.decimal(ds, tags.RESCALE_INTERCEPT)
    return slope or 1.0, intercept or 0.0


def _padding(layout: PixelLayout, header: Header) -> tuple[int, int] | None:
    """Return the lowest and the highest value that fill the frame (PS3.3 C.7.5.1.1.2)."""
    if layout.is_float:
        return None

    def read(tag: int) -> int | None:
        return values.integer(header.values, tag, header.big_endian, signed=layout.is_signed)

    value, limit = read(tags.PIXEL_PADDING_VALUE), read(tags.PIXEL_PADDING_RANGE_LIMIT)
    if value is None:
        return None
    if limit is None:
        limit = value
    return min(value, limit), max(value, limit)


def _spacing(ds: Item) -> tuple[float, float]:
    spacing = values.decimals(ds, tags.PIXEL_SPACING)
    if spacing and len(spacing) == 2 and _is_plausible(*spacing):
        return spacing[0], spacing[1]
    aspect = values.decimals(ds, tags.PIXEL_ASPECT_RATIO)
    if aspect and len(aspect) == 2 and all(0 < side < math.inf for side in aspect):
        ratio = aspect[0] / aspect[1]
        if 1 / _LARGEST_ASPECT <= ratio <= _LARGEST_ASPECT:
            return ratio, 1.0
    return 1.0, 1.0


def _is_plausible(rows_mm: float, columns_mm: float) -> bool:
    low, high = _SPACING_MM
    if not (low <= rows_mm <= high and low <= columns_mm <= high):
        return False
    return 1 / _LARGEST_ASPECT <= rows_mm / columns_mm <= _LARGEST_ASPECT
