"""Read DICOM bytes into slices in modality units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preprocessing.dicom.cost import check_cost
from preprocessing.dicom.facts import SliceFacts, read_facts
from preprocessing.dicom.functional_groups import frame_values
from preprocessing.dicom.geometry import PixelLayout, read_layout
from preprocessing.dicom.header import Header, read_header
from preprocessing.dicom.intensity import modality_pixels
from preprocessing.dicom.modality import check_modality
from preprocessing.dicom.orientation import AS_IT_IS, Orientation, read_orientation
from preprocessing.dicom.pixels import Frame, read_stored
from preprocessing.dicom.spacing import read_spacing
from preprocessing.errors import FrameNotFound
from preprocessing.limits import DEFAULT, Limits, check_transport


@dataclass(frozen=True)
class Slice:
    """One frame: `pixels` in modality units, float32 [H, W], finite, high values bright.

    A slice lies as its plane has it by custom, whatever the file has; `orientation` undoes that for
    what is given back.
    """

    pixels: npt.NDArray[np.float32] = field(repr=False)
    spacing_mm: tuple[float, float]  # between rows, between columns; a ratio where unknown
    frame: int  # counted from 1
    frames: int
    facts: SliceFacts
    orientation: Orientation = AS_IT_IS
    notes: tuple[str, ...] = ()  # what was unknown, malformed or only assumed


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
        numbers = range(1, self.layout.frames + 1) if numbers is None else tuple(numbers)
        found = read_stored(self.header, self.layout, self.limits, numbers)
        for number, frame in zip(numbers, found, strict=True):
            yield self._slice(number, frame)

    def _slice(self, number: int, frame: Frame) -> Slice:
        ds = frame_values(self.header, number)
        facts = read_facts(self.header, ds)
        orientation, orientation_notes = read_orientation(ds)
        spacing_mm, spacing_notes = read_spacing(ds)
        pixels, pixel_notes = modality_pixels(frame, self.layout, self.header, ds)
        return Slice(
            pixels=orientation.apply(pixels),
            spacing_mm=orientation.turn_pair(*spacing_mm),
            frame=number,
            frames=self.layout.frames,
            facts=facts,
            orientation=orientation,
            notes=(*self.layout.notes, *orientation_notes, *spacing_notes, *pixel_notes),
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
