"""Plant acquisition faults into real slices, on the scanner's own matrix: the reported suite.

Each fault is planted before window and resize, in k-space where a scanner would make it. The
severities are those of phantoms/scanner.py if it has the fault, in millimetres or as a share
of the brightest signal, and otherwise what the named source reports. They were fixed before any
model was judged by them; nothing that trains a model or chooses anything uses this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from preprocessing import Slice
from training.evaluation.kspace import BODY, Spacing, blur, ghosting, motion, noise, spikes, wrap

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Planted:
    """A slice with something planted in it; `mask` [H, W] is true there, None means everywhere."""

    image: Slice
    mask: BoolArray | None


def plant_fault(image: Slice, kind: str, rng: np.random.Generator) -> Planted:
    """Plant one fault; the same state of the generator gives the same pixels.

    Args:
        image: a slice in modality units.
        kind: one of FAULT_KINDS.
        rng: draws the severity and the place.
    """
    if kind == "orientation":
        return Planted(orientation(image, rng), None)
    pixels = image.pixels.astype(np.float64)
    low = float(pixels.min())
    brightest = float(np.percentile(pixels - low, 99.5)) or 1.0
    signal, mask = (pixels - low) / brightest, None
    if kind in PLACED:
        signal, mask = PLACED[kind](signal, image.spacing_mm, rng)
    else:
        signal = EVERYWHERE[kind](signal, image.spacing_mm, rng)
    return Planted(replace(image, pixels=(signal * brightest + low).astype(np.float32)), mask)


def bias(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Multiply by a smooth field whose brightest place is 4 to 8 times its darkest.

    A second-order polynomial in the exponent, as a defective coil element gives (compare the range
    of Sled et al., IEEE Trans. Med. Imaging 17, 87, 1998, and of TorchIO's bias field).
    """
    y, x = (np.linspace(-1, 1, n) for n in signal.shape)
    terms = (y[:, None], x[None, :], y[:, None] * x[None, :], y[:, None] ** 2, x[None, :] ** 2)
    field = sum(c * t for c, t in zip(rng.normal(0, 1, 5), terms, strict=True))
    field = (field - field.min()) / np.ptp(field) * np.log(rng.uniform(4, 8))
    return np.asarray(signal * np.exp(field - field.mean()))


def void(
    signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Plant the susceptibility artefact of metal: a void of 8 to 18 mm radius with a bright rim.

    Near metal the field is off: signal is lost within, and shifted along the readout direction
    around it, where it piles up (Hargreaves et al., AJR 197, 547, 2011). The phantom's void is a
    rectangle of 20 to 65 mm.
    """
    row, column = _inside_body(signal, rng)
    radius_mm, axis = rng.uniform(8, 18), int(rng.integers(2))
    y, x = np.ogrid[: signal.shape[0], : signal.shape[1]]
    dy, dx = (y - row) * spacing_mm[0], (x - column) * spacing_mm[1] * rng.uniform(0.7, 1.3)
    distance = np.hypot(dy, dx) / radius_mm
    push_mm = 0.35 * radius_mm * np.exp(-(distance**2)) * np.sign(rng.random() - 0.5)
    where = [np.broadcast_to(y, signal.shape).astype(float), np.broadcast_to(x, signal.shape) + 0.0]
    where[axis] = where[axis] + push_mm / spacing_mm[axis]
    warped = map_coordinates(signal, where, order=1, mode="nearest")
    lost = 1 / (1 + np.exp(np.clip((distance - 1) / 0.06, -50, 50)))
    # The rim lies on one side, where the displaced signal lands.
    side = 0.5 + 0.5 * (dy if axis == 0 else dx) / (radius_mm * np.maximum(distance, 1e-6))
    rim = rng.uniform(0.3, 0.6) * side * np.exp(-(((distance - 1.15) / 0.12) ** 2))
    return warped * (1 - lost) + rim, np.asarray(distance < 1.3)


def black_box(
    signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Blank a rectangle of 15 to 35 % of each side, centred in the body: lost or masked data."""
    row, column = _inside_body(signal, rng)
    mask = np.zeros(signal.shape, dtype=bool)
    spans = []
    for centre, n in zip((row, column), signal.shape, strict=True):
        side = round(n * rng.uniform(0.15, 0.35))
        spans.append(slice(max(0, centre - side // 2), centre + side - side // 2))
    mask[spans[0], spans[1]] = True
    return np.where(mask, 0, signal), mask


def orientation(image: Slice, rng: np.random.Generator) -> Slice:
    """Turn by 90, 180 or 270 degrees, or mirror top to bottom or front to back."""
    turn = int(rng.integers(5))
    turned = [np.rot90(image.pixels, quarters) for quarters in (1, 2, 3)]
    pixels = [*turned, image.pixels[::-1], image.pixels[:, ::-1]][turn]
    spacing_mm = image.spacing_mm if turn in (1, 3, 4) else image.spacing_mm[::-1]
    return replace(image, pixels=np.ascontiguousarray(pixels), spacing_mm=spacing_mm)


def _inside_body(signal: FloatArray, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel of the body, not in the outer eighth of the picture."""
    n_rows, n_columns = signal.shape
    body = signal > BODY
    inner = np.zeros_like(body)
    inner[n_rows // 8 : n_rows - n_rows // 8, n_columns // 8 : n_columns - n_columns // 8] = True
    places = np.flatnonzero(body & inner if (body & inner).any() else inner)
    row, column = divmod(int(rng.choice(places)), n_columns)
    return row, column


EVERYWHERE: dict[str, Callable[[FloatArray, Spacing, np.random.Generator], FloatArray]] = {
    "ghosting": ghosting,
    "motion": motion,
    "spikes": spikes,
    "wrap": wrap,
    "noise": noise,
    "blur": blur,
    "bias": bias,
}
PLACED: dict[
    str, Callable[[FloatArray, Spacing, np.random.Generator], tuple[FloatArray, BoolArray]]
] = {"void": void, "black box": black_box}
FAULT_KINDS = (*EVERYWHERE, *PLACED, "orientation")
