"""Draw what is not a sagittal spine MR: a knee, a coronal trunk, a spine under X-rays, textures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.phantoms.painting import render, render_axial
from training.phantoms.scanner import acquire
from training.phantoms.spine import TISSUES, draw_spine

FloatArray = NDArray[np.float64]

SIZE = 256
# Relative signal under X-rays, bone window: bone bright, fat darker than water, air black.
_X_RAY = {
    "vertebra": 0.75, "nucleus": 0.52, "annulus": 0.54, "csf": 0.44, "cord": 0.47, "fat": 0.30,
    "muscle": 0.50, "air": 0.0, "ligament": 0.90, "abdomen": 0.45, "root": 0.46,
}  # fmt: skip


def axial(rng: np.random.Generator) -> FloatArray:
    """Draw an axial slice of the trunk as a scanner would deliver it, [S, S]."""
    return _scanned(render_axial(rng, SIZE), rng)


def coronal(rng: np.random.Generator) -> FloatArray:
    """Draw a coronal slice of the lumbar trunk: vertebrae in the middle, a muscle on each side."""
    x, y = _grid(rng)
    t = TISSUES["T2" if rng.random() < 0.6 else "T1"]
    half = rng.uniform(0.65, 0.85) * (1 - 0.12 * np.cos(2.2 * y))
    image = np.where(np.abs(x) < half, t["fat"], t["air"])
    image = np.where(np.abs(x) < half - 0.08, t["abdomen"] * _texture(rng, 3, 0.2), image)
    for side in (-1, 1):  # psoas, wider towards the foot; a kidney above it
        psoas = np.abs(x - side * (0.24 + 0.10 * (y + 1))) < 0.10 + 0.05 * (y + 1)
        image = np.where(psoas, t["muscle"] * _texture(rng, 1.5, 0.1), image)
        kidney = ((x - side * 0.45) / 0.14) ** 2 + ((y + 0.45) / 0.26) ** 2 < 1
        image = np.where(kidney, t["root"] * _texture(rng, 2, 0.1), image)
    spacing, first = rng.uniform(0.27, 0.33), rng.uniform(-1.3, -1.0)
    curve = rng.uniform(-0.05, 0.05)
    for level in range(9):
        middle = first + level * spacing
        u, v = (x - curve * np.sin(2 * y)) / 0.19, (y - middle) / (0.38 * spacing)
        image = np.where(u**4 + v**4 < 1, t["vertebra"] * _texture(rng, 1.2, 0.06), image)
        disc = (y - middle - spacing / 2) / (0.11 * spacing)
        image = np.where(u**4 + disc**4 < 1, t["nucleus"], image)
    return _scanned(image, rng)


def knee(rng: np.random.Generator) -> FloatArray:
    """Draw a sagittal knee: femur above, tibia below, patella in front, fat and muscle around."""
    x, y = _grid(rng)
    t = TISSUES["T1" if rng.random() < 0.6 else "T2"]
    image = np.where(np.abs(x) < 0.62 + 0.06 * np.cos(3 * y), t["fat"], t["air"])
    image = np.where(np.abs(x - 0.12) < 0.36, t["muscle"] * _texture(rng, 1.5, 0.12), image)
    bone = t["vertebra"] * 1.4 * _texture(rng, 2, 0.05)
    shaft = (np.abs(x + 0.02) < 0.17) & (y < -0.1)
    condyle = ((x - 0.06) / 0.34) ** 2 + ((y + 0.10) / 0.27) ** 2 < 1
    plateau = (np.abs(x - 0.05) < 0.32 - 0.12 * np.clip(y - 0.25, 0, 1)) & (y > 0.22)
    patella = ((x + 0.42) / 0.08) ** 2 + ((y + 0.16) / 0.17) ** 2 < 1
    joint = (np.abs(x - 0.05) < 0.34) & (np.abs(y - 0.19) < 0.06)
    image = np.where(joint, t["ligament"], image)
    for part in (shaft | condyle, plateau, patella):
        rim = gaussian_filter(part.astype(float), 2.5)
        image = np.where((rim > 0.1) & ~part, t["ligament"], image)
        image = np.where(part, bone, image)
    return _scanned(image, rng)


def x_ray_spine(rng: np.random.Generator) -> FloatArray:
    """Draw a sagittal spine with the grey values of CT: the same anatomy, another modality."""
    spine = draw_spine(rng)
    signal = {name: value * (1 + rng.uniform(-0.1, 0.1)) for name, value in _X_RAY.items()}
    image = gaussian_filter(render(replace(spine, tissue=signal), SIZE), rng.uniform(0.6, 1.2))
    return np.clip(image + rng.normal(0, rng.uniform(0.01, 0.03), image.shape), 0, None)


def natural_texture(rng: np.random.Generator) -> FloatArray:
    """Draw noise whose amplitude falls as 1/f, as in photographs (Field, JOSA A 4, 2379, 1987)."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    frequency[0, 0] = 1 / SIZE
    waves = np.fft.fft2(rng.normal(0, 1, (SIZE, SIZE))) / frequency ** rng.uniform(0.8, 1.4)
    picture = np.fft.ifft2(waves).real
    return np.asarray(picture - picture.min())


def white_noise(rng: np.random.Generator) -> FloatArray:
    """Draw independent pixels, of the scan's or of a coarser matrix."""
    size = int(rng.choice([96, 192, 384]))
    return rng.random((size, size))


def _grid(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return x and y from -1 to 1, a little zoomed and moved, [S, S] each."""
    yy, xx = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1) * 2 - 1
    zoom = rng.uniform(0.9, 1.1)
    return (xx + rng.uniform(-0.1, 0.1)) * zoom, (yy + rng.uniform(-0.1, 0.1)) * zoom


def _texture(rng: np.random.Generator, width: float, strength: float) -> FloatArray:
    """Draw smooth noise around 1, of a width in pixels of a 128-pixel picture."""
    field = gaussian_filter(rng.normal(0, 1, (SIZE, SIZE)), width * SIZE / 128)
    return np.asarray(1 + strength * field / field.std())


def _scanned(image: NDArray[np.floating], rng: np.random.Generator) -> FloatArray:
    return np.asarray(acquire(image, rng, None, rng))
