"""Sets of slices with gross faults planted into copies, as a careless export mixes them in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocessing import InputSpec, Slice

if TYPE_CHECKING:
    from training.data.headers import Source

_SEED = 4711  # of what is planted; no training and no other evaluation uses it
_PER_SERIES = 8

Fault = Callable[[Slice, np.random.Generator], Slice]


@dataclass(frozen=True)
class Example:
    """A slice, the patient and series that it counts to, the name of its fault, and its mask.

    Good slices have no fault, faulty ones no mask.
    """

    image: Slice
    source: Source
    fault: str
    mask: NDArray[np.uint8] | None = None


def turned(image: Slice, rng: np.random.Generator) -> Slice:
    """Turn by a quarter: rows and columns were mixed up."""
    pixels = np.rot90(image.pixels, int(rng.choice([1, 3])))
    return replace(image, pixels=pixels.copy(), spacing_mm=image.spacing_mm[::-1])


def upside_down(image: Slice, rng: np.random.Generator) -> Slice:
    """Show the head at the foot."""
    return replace(image, pixels=image.pixels[::-1].copy())


def noise_only(image: Slice, rng: np.random.Generator) -> Slice:
    """Receive no signal: the magnitude of complex noise has a Rayleigh distribution."""
    pixels = rng.rayleigh(1.0, image.pixels.shape)
    return replace(image, pixels=pixels.astype(np.float32))


def boxed(image: Slice, rng: np.random.Generator) -> Slice:
    """Blank half the height and half the width, anywhere."""
    (height, width), pixels = image.pixels.shape, image.pixels.copy()
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    pixels[top : top + height // 2, left : left + width // 2] = pixels.min()
    return replace(image, pixels=pixels)


def wrapped(image: Slice, rng: np.random.Generator) -> Slice:
    """Fold half the field of view over the other half, as strong as it is."""
    axis = int(rng.integers(2))
    shift = image.pixels.shape[axis] // 2
    return replace(image, pixels=image.pixels + np.roll(image.pixels, shift, axis))


def ghosted(image: Slice, rng: np.random.Generator) -> Slice:
    """Add two copies of half the strength, a quarter of the field away."""
    axis = int(rng.integers(2))
    shift = image.pixels.shape[axis] // 4
    copies = np.roll(image.pixels, shift, axis) + np.roll(image.pixels, -shift, axis)
    return replace(image, pixels=image.pixels + np.float32(0.5) * copies)


def inverted(image: Slice, rng: np.random.Generator) -> Slice:
    """Show black as white: a wrong photometric interpretation."""
    return replace(image, pixels=image.pixels.max() + image.pixels.min() - image.pixels)


def clipped(image: Slice, rng: np.random.Generator) -> Slice:
    """Saturate all that is brighter than a fifth of the brightest: a wrong window at export."""
    low = float(image.pixels.min())
    limit = low + 0.2 * (float(np.percentile(image.pixels, 99.5)) - low)
    return replace(image, pixels=np.clip(image.pixels, low, limit))


FAULTS: tuple[Fault, ...] = (
    *(turned, upside_down, noise_only, boxed),
    *(wrapped, ghosted, inverted, clipped),
)


def read_examples(data: Path, masks: Path) -> list[Example]:
    """Read every slice under a folder, with its mask where there is one."""
    from training.data.collection import iterate_slices, load_images
    from training.data.labels import read_mask

    sources = load_images([data], InputSpec(size=16)).sources
    return [
        Example(
            image,
            source,
            "",
            image.orientation.apply(read_mask(mask)) if mask.exists() else None,
        )
        for source, image in iterate_slices([data], sources)
        for mask in [masks / f"{Path(source.path).stem}.png"]
    ]


def draw_examples(count: int) -> list[Example]:
    """Draw normal phantoms; eight at a time stand for a patient's series."""
    from training.phantoms.phantom import write_phantoms

    with tempfile.TemporaryDirectory(prefix="cleaning-") as folder:
        data, masks = Path(folder) / "data", Path(folder) / "masks"
        list(write_phantoms(data, count, _SEED, masks=masks))
        drawn = read_examples(data, masks)
    return [
        replace(example, source=_of_patient(example.source, index // _PER_SERIES))
        for index, example in enumerate(drawn)
    ]


def _of_patient(source: Source, number: int) -> Source:
    return replace(
        source,
        group=f"patient:{number}",
        series=f"series:{number}",
    )


def contaminate(good: Sequence[Example], share: float, layout: str) -> list[Example]:
    """Add faulty copies of good slices until they are this share of all.

    Args:
        good: slices without faults.
        share: of the result, below 1.
        layout: scattered: single copies in the series of their originals; series: copies of up to
            eight slices of a patient, all with one fault, as a series of its own.
    """
    n_bad, rng = round(share / (1 - share) * len(good)), np.random.default_rng(_SEED)
    bad = _scattered(good, rng) if layout == "scattered" else _series(good, rng)
    return [*good, *(example for example, _ in zip(bad, range(n_bad), strict=False))]


def _scattered(good: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    for number, index in enumerate(rng.permutation(len(good)).tolist()):
        fault = FAULTS[number % len(FAULTS)]
        original = good[index]
        yield Example(fault(original.image, rng), original.source, fault.__name__)


def _series(good: Sequence[Example], rng: np.random.Generator) -> Iterator[Example]:
    by_series: dict[str, list[Example]] = {}
    for example in good:
        by_series.setdefault(example.source.series, []).append(example)
    whole = [members for members in by_series.values() if len(members) >= _PER_SERIES // 2]
    rng.shuffle(whole)
    for number in range(len(whole) * len(FAULTS)):
        members = whole[number % len(whole)]
        fault = FAULTS[number % len(FAULTS)]
        # The same draws for each slice: the fault is that of the series.
        seed = int(rng.integers(1 << 31))
        for example in members[:_PER_SERIES]:
            source = replace(example.source, series=f"bad series:{number}")
            image = fault(example.image, np.random.default_rng(seed))
            yield Example(image, source, fault.__name__)
