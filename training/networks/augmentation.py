"""Vary the inspector's slices and their labels: place, size, brightness, contrast."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training.data.training_set import NO_LABEL

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


def augment_labelled(
    x: FloatArray, labels: ByteArray, rng: np.random.Generator
) -> tuple[FloatArray, ByteArray]:
    """Shift, and of every second slice also turn and scale, a little; brighten each.

    Whole pixels for the others: interpolation blurs, and blur is a fault to be found.
    """
    size, n = x.shape[1], len(x)
    is_shifted = rng.random(n) < 0.5
    largest = size // 14
    zoom, angle = 1 + 0.12 * rng.uniform(-1, 1, n), 0.12 * rng.uniform(-1, 1, n)
    move = 0.12 * rng.uniform(-1, 1, (n, 2))
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = zoom * np.cos(angle)
    theta[:, 1, 0] = zoom * np.sin(angle)
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = move
    grid = functional.affine_grid(torch.from_numpy(theta), [n, 1, size, size], align_corners=False)
    moved = functional.grid_sample(torch.from_numpy(x)[:, None], grid, align_corners=False)
    tissue = torch.from_numpy(labels.astype(np.float32))[:, None]
    moved_labels = functional.grid_sample(tissue, grid, mode="nearest", align_corners=False)
    out, out_labels = moved[:, 0].numpy(), moved_labels[:, 0].numpy().astype(np.uint8)
    no_label = labels[:, 0, 0] == NO_LABEL
    for i in np.flatnonzero(is_shifted):
        down, right = rng.integers(-largest, largest + 1, 2)
        out[i], out_labels[i] = (shift(picture[i], down, right) for picture in (x, labels))
    out_labels[no_label] = NO_LABEL
    gamma, gain = np.exp(0.25 * rng.normal(size=(n, 1, 1))), rng.uniform(0.9, 1.1, (n, 1, 1))
    bright = np.clip(gain * np.clip(out, 0, 1) ** gamma, 0, 1)
    return bright.astype(np.float32), out_labels


def vary_labelled(
    x: FloatArray, labels: ByteArray, rng: np.random.Generator
) -> tuple[FloatArray, ByteArray]:
    """Scale, turn, move, stretch, mirror and brighten each slice: as other scanners show a spine.

    More than `augment_labelled`, because nothing but the anatomy is learned from it: half to
    one and a half of the field, anatomy cut off above or below, a quarter mirrored.
    """
    n, size = len(x), x.shape[1]
    zoom, stretch = np.exp(rng.uniform(-0.35, 0.25, n)), np.exp(0.08 * rng.normal(size=n))
    angle, side = 0.15 * rng.normal(size=n), np.where(rng.random(n) < 0.25, -1, 1)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = (
        zoom * stretch * np.cos(angle) * side,
        zoom / stretch * np.cos(angle),
    )
    theta[:, 1, 0], theta[:, 0, 1] = zoom * np.sin(angle) * side, -zoom * np.sin(angle)
    theta[:, :, 2] = rng.uniform(-0.12, 0.12, (n, 2))
    theta[:, 1, 2] += np.where(rng.random(n) < 0.3, rng.uniform(-0.35, 0.35, n), 0)
    grid = functional.affine_grid(torch.from_numpy(theta), [n, 1, size, size], align_corners=False)
    moved = functional.grid_sample(torch.from_numpy(x)[:, None], grid, align_corners=False)
    tissue = torch.from_numpy(labels.astype(np.float32))[:, None]
    moved_labels = functional.grid_sample(tissue, grid, mode="nearest", align_corners=False)
    gamma, gain = np.exp(0.25 * rng.normal(size=(n, 1, 1))), rng.uniform(0.85, 1.1, (n, 1, 1))
    bright = np.clip(gain * np.clip(moved[:, 0].numpy(), 0, 1) ** gamma, 0, 1)
    return bright.astype(np.float32), moved_labels[:, 0].numpy().astype(np.uint8)


def disturb(x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Add a coil's shading to half of the slices, noise to two of five, blur to one of seven."""
    n, size = len(x), x.shape[1]
    coarse = torch.from_numpy(0.35 * rng.normal(size=(n, 1, 3, 3)).astype(np.float32))
    field = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    shaded = np.clip(x * field[:, 0].exp().numpy(), 0, 1)
    x = np.where(rng.random((n, 1, 1)) < 0.5, shaded, x)
    noise = np.where(rng.random((n, 1, 1)) < 0.4, 0.05 * rng.random((n, 1, 1)), 0)
    x = (x + noise * rng.standard_normal(x.shape, np.float32)).astype(np.float32)
    blurred = functional.avg_pool2d(torch.from_numpy(x)[:, None], 3, 1, 1)[:, 0].numpy()
    return np.asarray(np.where(rng.random((n, 1, 1)) < 0.15, blurred, x), np.float32)


def shift(picture: NDArray[np.generic], down: int, right: int) -> NDArray[np.generic]:
    """Move by whole pixels; what comes in is 0."""
    out = np.zeros_like(picture)
    height, width = picture.shape
    to_rows, from_rows = slice(max(down, 0), height + min(down, 0)), slice(max(-down, 0), None)
    to_columns = slice(max(right, 0), width + min(right, 0))
    from_columns = slice(max(-right, 0), None)
    part = picture[from_rows, from_columns]
    out[to_rows, to_columns] = part[: height - abs(down), : width - abs(right)]
    return out


def remap(x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw a new contrast for each slice: a random curve through six points, black stays black."""
    n, n_points = len(x), 6
    curve = rng.random((n, n_points)) + 0.02
    rising = np.cumsum(curve, axis=1)
    rising = (rising - rising[:, :1]) / (rising[:, -1:] - rising[:, :1])
    curve = np.where(rng.random((n, 1)) < 0.5, rising, curve)
    curve[:, 0] = 0
    place = x * (n_points - 1)
    lower = np.clip(place.astype(np.int64), 0, n_points - 2)
    rows = np.arange(n)[:, None, None]
    part = place - lower
    mapped = curve[rows, lower] * (1 - part) + curve[rows, lower + 1] * part
    return mapped.astype(np.float32)
