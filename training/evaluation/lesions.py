"""Plant lesions into vertebrae, discs and canal of real slices with masks: the reported suite.

Sizes and amplitudes are the phantom's (phantoms/spine.py): a radius of 5 to 10 mm, a change of
0.18 to 0.40 of the brightest signal. A real slice is brightest near its coil, so "brightest" is
taken at the depth of the lesion: the signal of the tissue there, divided by what the phantom gives
to that tissue (TISSUES). Edges are soft (partial volume); the tissue keeps its texture and noise.
They were fixed before any model was judged by them; nothing that trains a model or chooses anything
uses this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preprocessing import Slice
from training.evaluation.faults import Planted
from training.phantoms.spine import TISSUES

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

VERTEBRA, CANAL, DISC = 1, 2, 3
_SMALLEST_MM2 = {VERTEBRA: 350.0, CANAL: 400.0, DISC: 80.0}  # smaller pieces are cut by the plane
_EDGE_MM = 1.0  # half the way from 12 to 88 % of an edge: partial volume of a slice of 3-4 mm


@dataclass(frozen=True)
class Anatomy:
    """A slice with its masks, ready to be changed.

    Args:
        signal: pixels above the lowest, [H, W].
        y: rows in mm, [H, 1].
        x: columns in mm, [1, W].
        parts: connected pieces of each structure that are large enough, masks [H, W].
        contrast: "T2" if the canal is brighter than the vertebrae, else "T1".
    """

    signal: FloatArray
    y: FloatArray
    x: FloatArray
    parts: dict[int, list[BoolArray]]
    contrast: str

    def unit(self, part: BoolArray, tissue: str) -> float:
        """Estimate the brightest signal at the place of a part from the signal of its tissue."""
        return float(np.median(self.signal[part])) / TISSUES[self.contrast][tissue]

    def inside(self, mask: BoolArray) -> FloatArray:
        """Return 1 inside a mask, 0 outside and a soft edge between, [H, W]."""
        step = (float(self.y[1, 0] - self.y[0, 0]), float(self.x[0, 1] - self.x[0, 0]))
        return np.asarray(ndimage.gaussian_filter(mask.astype(float), [_EDGE_MM / s for s in step]))

    def depth_mm(self, mask: BoolArray) -> FloatArray:
        """Return each pixel's distance to the outside of a mask, in mm."""
        step = (float(self.y[1, 0] - self.y[0, 0]), float(self.x[0, 1] - self.x[0, 0]))
        return np.asarray(ndimage.distance_transform_edt(mask, step))


def read_anatomy(image: Slice, mask: NDArray[np.uint8]) -> Anatomy:
    """Find the structures of a slice.

    Args:
        image: a slice in modality units.
        mask: 1 vertebra, 2 canal, 3 disc, 0 elsewhere; [H, W] of the slice.

    Raises:
        ValueError: the mask is of another size.
    """
    if mask.shape != image.pixels.shape:
        raise ValueError(
            f"the mask has {mask.shape[0]} x {mask.shape[1]} pixels, its slice"
            f" {image.pixels.shape[0]} x {image.pixels.shape[1]}"
        )
    signal = image.pixels.astype(np.float64)
    signal -= signal.min()
    rows_mm, columns_mm = image.spacing_mm
    area_mm2 = rows_mm * columns_mm
    parts = {
        label: _pieces(mask == label, smallest / area_mm2)
        for label, smallest in _SMALLEST_MM2.items()
    }
    # Vertebral bodies border on a disc; spinous processes, which have the same label, do not.
    near_disc = ndimage.distance_transform_edt(mask != DISC, (rows_mm, columns_mm)) < 4
    parts[VERTEBRA] = [part for part in parts[VERTEBRA] if (part & near_disc).any()]
    canal, vertebra = signal[mask == CANAL], signal[mask == VERTEBRA]
    bright = canal.size and vertebra.size and canal.mean() > vertebra.mean()
    y = np.arange(signal.shape[0], dtype=np.float64)[:, None] * rows_mm
    x = np.arange(signal.shape[1], dtype=np.float64)[None, :] * columns_mm
    return Anatomy(signal, y, x, parts, "T2" if bright else "T1")


def plant_lesion(
    image: Slice, anatomy: Anatomy, kind: str, rng: np.random.Generator
) -> Planted | None:
    """Plant one lesion; None if the slice does not show the structure.

    Args:
        image: a slice in modality units.
        anatomy: of the same slice.
        kind: one of LESION_KINDS.
        rng: draws place, size and amplitude.
    """
    planted = LESIONS[kind](anatomy, rng)
    if planted is None:
        return None
    signal, where = planted
    pixels = np.clip(signal, 0, None) + float(image.pixels.min())
    return Planted(replace(image, pixels=pixels.astype(np.float32)), where)


Result = tuple[FloatArray, BoolArray] | None


def vertebral_lesion(a: Anatomy, rng: np.random.Generator) -> Result:
    """Plant a focal lesion of 5 to 10 mm radius into a vertebral body.

    Three of four have the signal of fluid (bright on T2, dark on T1), the others the opposite, at
    0.8 of the amplitude, as in the phantom: metastases and haemangiomas come in both.
    """
    body = _choose(a.parts[VERTEBRA], rng)
    if body is None:
        return None
    sign = 1.0 if a.contrast == "T2" else -1.0
    sign = sign if rng.random() < 0.75 else -0.8 * sign
    radius_mm, aspect = rng.uniform(5, 10), rng.uniform(0.8, 1.2)
    row, column = _deep(a.depth_mm(body), 0.5 * radius_mm, rng)
    dy, dx = a.y - a.y[row, 0], (a.x - a.x[0, column]) * aspect
    # Lesions are rounded, not circles: the radius varies by some 15 % with the direction.
    lobes = 1 + 0.15 * np.sin(2 * np.arctan2(dy, dx) + rng.uniform(0, 2 * np.pi))
    spot = _edge(np.hypot(dy, dx) - radius_mm * lobes) * a.inside(body)
    return _change(a, body, "vertebra", spot, sign * rng.uniform(0.18, 0.40))


def vertebral_oedema(a: Anatomy, rng: np.random.Generator) -> Result:
    """Change a whole vertebral body by 0.15 to 0.35: bright on T2, dark on T1."""
    body = _choose(a.parts[VERTEBRA], rng)
    if body is None:
        return None
    sign = 1.0 if a.contrast == "T2" else -1.0
    patches = ndimage.gaussian_filter(rng.normal(0, 1, a.signal.shape), 4 / a.y[1, 0])
    uneven = 1 + 0.1 * patches / patches.std()
    return _change(a, body, "vertebra", a.inside(body) * uneven, sign * rng.uniform(0.15, 0.35))


def degenerated_disc(a: Anatomy, rng: np.random.Generator) -> Result:
    """Lower a disc to 45 to 75 % of its height and darken it to 40 to 70 % of its signal."""
    disc = _choose(a.parts[DISC], rng)
    if disc is None:
        return None
    centre, along, half_length = _axis(a, disc)
    dy, dx = a.y - centre[0], a.x - centre[1]
    u, v = dy * along[0] + dx * along[1], -dy * along[1] + dx * along[0]
    half_height = 0.5 * float(disc.sum()) * a.y[1, 0] * a.x[0, 1] / (2 * half_length)
    height = rng.uniform(0.45, 0.75)
    reach_mm = half_height + 12  # the adjacent bodies follow, up to half their height
    target = height * half_height
    outer = half_height + (np.abs(v) - target) * (reach_mm - half_height) / (reach_mm - target)
    source = np.sign(v) * np.where(np.abs(v) < target, np.abs(v) / height, outer)
    taper = _edge(np.abs(u) - half_length - 2, 1.5)
    moved = np.where(np.abs(v) < reach_mm, (source - v) * taper, 0)
    rows = (a.y - along[1] * moved) / a.y[1, 0]
    columns = (a.x + along[0] * moved) / a.x[0, 1]
    signal = ndimage.map_coordinates(a.signal, [rows, columns], order=1, mode="nearest")
    inside = ndimage.map_coordinates(a.inside(disc), [rows, columns], order=1)
    signal *= 1 - inside * (1 - rng.uniform(0.4, 0.7))
    return signal, disc | (inside > 0.5)


def herniation(a: Anatomy, rng: np.random.Generator) -> Result:
    """Push disc material into the canal: 45 to 90 % of its depth, 9 to 15 mm high, dark."""
    disc, canal = _choose(a.parts[DISC], rng), _choose(a.parts[CANAL], rng)
    if disc is None or canal is None:
        return None
    to_canal = ndimage.distance_transform_edt(~canal, (a.y[1, 0], a.x[0, 1]))
    row, column = np.unravel_index(np.argmin(np.where(disc, to_canal, np.inf)), disc.shape)
    if to_canal[row, column] > 12:
        return None  # the disc faces no canal in this plane
    centre, along, _ = _axis(a, disc)
    edge = np.array([a.y[row, 0], a.x[0, column]])
    outward = along if along @ (edge - centre) > 0 else -along
    gap_mm = float(to_canal[row, column])
    width_mm = 2 * float(a.depth_mm(canal)[np.hypot(a.y - edge[0], a.x - edge[1]) < 15].max())
    depth_mm = gap_mm + rng.uniform(0.45, 0.90) * width_mm
    middle = edge + outward * depth_mm / 2 + (0, rng.uniform(-1, 1))
    dy, dx = a.y - middle[0], a.x - middle[1]
    u, v = dy * outward[0] + dx * outward[1], -dy * outward[1] + dx * outward[0]
    half_height = rng.uniform(4.5, 7.5)
    shape = (np.abs(u) / (depth_mm / 2)) ** 2.2 + (np.abs(v) / half_height) ** 2.2
    bodies = sum((part.astype(float) for part in a.parts[VERTEBRA]), np.zeros(a.signal.shape))
    alpha = _edge((shape ** (1 / 2.2) - 1) * half_height) * (1 - a.inside(bodies > 0))
    alpha = alpha * (1 - a.inside(disc))
    texture = a.signal[disc].std() * ndimage.gaussian_filter(
        rng.normal(0, 1, a.signal.shape), 1.0 / a.y[1, 0]
    )
    material = 1.15 * np.median(a.signal[disc]) + texture
    return a.signal * (1 - alpha) + material * alpha, np.asarray(alpha > 0.5)


def canal_mass(a: Anatomy, rng: np.random.Generator) -> Result:
    """Change 15 to 30 mm of the canal's content by 0.18 to 0.40, against the signal that is there.

    Half a canal wide or more. Within fluid it is a mass (dark in the bright fluid of T2, bright in
    the dark one of T1), within the cord a change of its signal the other way (myelopathy).
    """
    canal = _choose(a.parts[CANAL], rng)
    if canal is None:
        return None
    depth = a.depth_mm(canal)
    row, column = _deep(depth, 0.75 * float(np.percentile(depth[canal], 90)), rng)
    near = canal & (np.hypot(a.y - a.y[row, 0], a.x - a.x[0, column]) < 25)
    _, along, _ = _axis(a, near)
    dy, dx = a.y - a.y[row, 0], a.x - a.x[0, column]
    u, v = dy * along[0] + dx * along[1], -dy * along[1] + dx * along[0]
    half_length, half_width = (
        rng.uniform(7.5, 15),
        float(depth[row, column]) * rng.uniform(0.5, 0.9),
    )
    distance = np.sqrt((u / half_length) ** 2 + (v / half_width) ** 2)
    spot = _edge((distance - 1) * half_width) * a.inside(canal)
    around = np.percentile(a.signal[near], (5, 95)).mean()
    sign = -1.0 if a.signal[canal & (distance < 1)].mean() > around else 1.0
    return _change(a, near, "csf", spot, sign * rng.uniform(0.18, 0.40))


def _change(
    a: Anatomy, part: BoolArray, tissue: str, spot: FloatArray, amplitude: float
) -> tuple[FloatArray, BoolArray]:
    """Add a change of the given share of the local brightest signal; dark ones keep texture.

    A dark change scales the signal down, to a fifth at most: no tissue but cortex and air is black.
    """
    if amplitude >= 0:
        signal = a.signal + amplitude * a.unit(part, tissue) * spot
    else:
        share = min(0.8, -amplitude / TISSUES[a.contrast][tissue])
        signal = a.signal * (1 - share * spot)
    return signal, np.asarray(spot > 0.5)


def _edge(outside_mm: FloatArray, width_mm: float = _EDGE_MM) -> FloatArray:
    """Return 1 well inside an outline, 0 well outside, from the distance outside it in mm."""
    return np.asarray(1 / (1 + np.exp(np.clip(2 * outside_mm / width_mm, -30, 30))))


def _pieces(mask: BoolArray, smallest: float) -> list[BoolArray]:
    """Split a mask into connected pieces of at least so many pixels."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return [labels == n for n in range(1, count + 1) if sizes[n] >= smallest]


def _choose(parts: list[BoolArray], rng: np.random.Generator) -> BoolArray | None:
    return parts[int(rng.integers(len(parts)))] if parts else None


def _deep(depth_mm: FloatArray, wanted_mm: float, rng: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel at least so deep inside a structure, or as deep as there is."""
    places = np.flatnonzero(depth_mm >= min(wanted_mm, 0.95 * depth_mm.max()))
    row, column = divmod(int(rng.choice(places)), depth_mm.shape[1])
    return row, column


def _axis(a: Anatomy, mask: BoolArray) -> tuple[FloatArray, FloatArray, float]:
    """Return centre, direction and half length of a long structure, (y, x) in mm.

    The direction is the first principal axis; an evenly filled bar of half length L has a standard
    deviation of L / sqrt(3) along it.
    """
    rows, columns = np.nonzero(mask)
    points = np.stack([a.y[rows, 0], a.x[0, columns]])
    centre = points.mean(axis=1)
    values, vectors = np.linalg.eigh(np.cov(points))
    return centre, vectors[:, 1], float(np.sqrt(3 * values[1]))


LESIONS: dict[str, Callable[[Anatomy, np.random.Generator], Result]] = {
    "vertebral lesion": vertebral_lesion,
    "vertebral oedema": vertebral_oedema,
    "disc degeneration": degenerated_disc,
    "herniation": herniation,
    "canal mass": canal_mass,
}
LESION_KINDS = tuple(LESIONS)
