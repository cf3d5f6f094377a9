"""Change one place of a slice for training: what the inspector learns to mark.

The evaluation plants its lesions with other code, on the scanner's matrix, with other seeds and
patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label, map_coordinates, zoom

from model.anatomy import CANAL, DISC, VERTEBRA
from training.networks.corruptions import content

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]
Change = NDArray[np.floating]
Generator = np.random.Generator

# A change of a pixel that counts as fully visible, as a share of the window.
_VISIBLE = 0.12


@dataclass(frozen=True)
class Corrupted:
    """A slice with a local change, and how visibly each pixel changed; [S, S] in [0, 1]."""

    x: FloatArray
    changed: FloatArray


def corrupt_locally(
    x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator
) -> Corrupted:
    """Change one place, mostly inside the anatomy; the rest stays as it is.

    Args:
        x: a slice in [0, 1], [S, S].
        anatomy: 1 vertebra, 2 canal, 3 disc, 0 elsewhere, [S, S].
        donor: another slice, from which texture may be taken.
        rng: draws place, size and strength.
    """
    kinds = list(LOCAL_KINDS)
    kind = kinds[rng.choice(len(kinds), p=_LOCAL_SHARES)]
    changed_x = change_place(x, anatomy, donor, kind, rng)
    difference = gaussian_filter(np.abs(changed_x - x), 1.0)
    return Corrupted(changed_x, np.clip(difference / _VISIBLE, 0, 1).astype(np.float32))


def change_place(
    x: FloatArray, anatomy: ByteArray, donor: FloatArray, kind: str, rng: Generator
) -> FloatArray:
    """Apply one local change; the padding stays empty, as no patient reaches into it.

    Args:
        x: a slice in [0, 1], [S, S].
        anatomy: 1 vertebra, 2 canal, 3 disc, 0 elsewhere, [S, S].
        donor: another slice, from which texture may be taken.
        kind: one of LOCAL_KINDS.
        rng: draws place, size and strength.

    Returns:
        [S, S] in [0, 1]; as it was where the kind needs a tissue that the slice does not show.
    """
    box, out = content(x), x.copy()
    changed = LOCAL_KINDS[kind](x, anatomy, donor, rng)
    out[box] = np.clip(changed[box], 0, 1)
    return out


def _blob(x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator) -> Change:
    """Brighten or darken a soft, irregular spot; its texture stays."""
    tissue = int(rng.choice([VERTEBRA, VERTEBRA, VERTEBRA, DISC, CANAL, 0]))
    spot = _spot(x.shape[0], _place(anatomy, tissue, rng), rng)
    if rng.random() < 0.6 and tissue:
        # Kept inside its structure, as marrow lesions are.
        spot = spot * gaussian_filter((anatomy == tissue).astype(np.float32), 0.7)
    amplitude = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.08), np.log(0.5)))
    if rng.random() < 0.3:
        return np.asarray(x * (1 + 1.5 * amplitude * spot))
    return np.asarray(x + amplitude * spot)


def _structure(x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator) -> Change:
    """Change the signal of one vertebra, one disc or a stretch of the canal as a whole."""
    tissue = int(rng.choice([VERTEBRA, VERTEBRA, DISC, CANAL]))
    row, column = _place(anatomy, tissue, rng)
    if tissue == CANAL:
        rows = np.arange(x.shape[0])[:, None]
        inside = (anatomy == CANAL) & (np.abs(rows - row) < rng.uniform(4, 14))
    else:
        parts, _ = label(anatomy == tissue)
        inside = (parts == parts[row, column]) & (parts > 0)
    soft = gaussian_filter(inside.astype(np.float32), rng.uniform(0.6, 1.5))
    if rng.random() < 0.4:
        soft = soft * np.clip(0.6 + 0.5 * _texture(x.shape[0], 6, rng), 0, 1.3)
    amplitude = rng.choice([-1, 1]) * rng.uniform(0.1, 0.4)
    is_factor = rng.random() < 0.5
    return np.asarray(x * (1 + 1.6 * amplitude * soft) if is_factor else x + amplitude * soft)


def _swap(x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator) -> Change:
    """Blend in a piece of another slice, or of another place of the same."""
    source = donor if rng.random() < 0.5 else np.roll(x, rng.integers(15, 60, 2), (0, 1))
    tissue = int(rng.choice([VERTEBRA, DISC, CANAL, 0]))
    spot = _spot(x.shape[0], _place(anatomy, tissue, rng), rng, largest=16)
    return np.asarray(x + rng.uniform(0.4, 1.0) * spot * (source - x))


def _warp(x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator) -> Change:
    """Squeeze or bulge one place: a collapsed body, a flat disc, a narrowed canal."""
    size = x.shape[0]
    tissue = int(rng.choice([VERTEBRA, DISC, DISC, CANAL]))
    row, column = _place(anatomy, tissue, rng)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float64)
    dy, dx = yy - row, xx - column
    radius = rng.uniform(9, 22)
    weight = np.exp(-((dy / radius) ** 2 + (dx / (radius * rng.uniform(0.7, 1.6))) ** 2))
    strength = rng.uniform(0.25, 0.8) * rng.choice([-1, 1])
    vertical = rng.random() < 0.65
    yy = yy + (weight * strength * dy if vertical else weight * rng.normal(0, 2))
    xx = xx + (weight * rng.normal(0, 2) if vertical else weight * strength * dx)
    return np.asarray(map_coordinates(x, (yy, xx), order=1, mode="nearest"))


def _hole(x: FloatArray, anatomy: ByteArray, donor: FloatArray, rng: Generator) -> Change:
    """Lose the signal around metal, with a bright rim."""
    size = x.shape[0]
    place = _place(anatomy, int(rng.choice([VERTEBRA, DISC, 0, 0])), rng)
    spot = _spot(size, place, rng, smallest=5, largest=30)
    rim = np.clip(gaussian_filter(spot, rng.uniform(1.5, 4)) - spot, 0, None)
    return np.asarray(x * (1 - spot) + rng.uniform(0, 2.0) * rim)


LOCAL_KINDS: dict[str, Callable[[FloatArray, ByteArray, FloatArray, Generator], Change]] = {
    "blob": _blob,
    "structure": _structure,
    "swap": _swap,
    "warp": _warp,
    "hole": _hole,
}
_LOCAL_SHARES = (0.34, 0.26, 0.14, 0.14, 0.12)


def _place(anatomy: ByteArray, tissue: int, rng: Generator) -> tuple[int, int]:
    """Draw a pixel of a tissue; anywhere near the middle where there is none, or for tissue 0."""
    size = anatomy.shape[0]
    rows, columns = np.nonzero(anatomy == tissue) if tissue else ((), ())
    if len(rows):
        chosen = rng.integers(len(rows))
        return int(rows[chosen]), int(columns[chosen])
    low, high = size // 8, size - size // 8
    return int(rng.integers(low, high)), int(rng.integers(low, high))


def _spot(
    size: int,
    place: tuple[int, int],
    rng: Generator,
    smallest: float = 2.5,
    largest: float = 11.0,
) -> NDArray[np.float64]:
    """Draw a soft ellipse with an irregular edge, 1 inside and 0 outside, [size, size]."""
    yy, xx = np.mgrid[0:size, 0:size]
    angle = rng.uniform(0, np.pi)
    dy, dx = yy - place[0], xx - place[1]
    u = np.cos(angle) * dx + np.sin(angle) * dy
    v = -np.sin(angle) * dx + np.cos(angle) * dy
    radius = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    aspect = rng.uniform(0.5, 1.0)
    distance = np.hypot(u / radius, v / (radius * aspect))
    if rng.random() < 0.5:
        distance = distance * (1 + 0.15 * np.clip(_texture(size, 7, rng), -2.5, 2.5))
    softness = rng.uniform(0.08, 0.35)
    return np.asarray(1 / (1 + np.exp(np.clip((distance - 1) / softness, -30, 30))))


def _texture(size: int, scale: float, rng: Generator) -> NDArray[np.float64]:
    """Draw smooth noise of unit spread, [size, size]."""
    coarse = rng.normal(0, 1, (int(np.ceil(size / scale)) + 3,) * 2)
    fine = zoom(coarse, scale, order=1)[:size, :size]
    return np.asarray(fine / (fine.std() + 1e-6))
