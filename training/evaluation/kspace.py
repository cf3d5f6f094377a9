"""Plant faults that arise while k-space is measured: ghosts, motion, spikes, wrap, noise, blur.

Each takes a signal [H, W] of 0 to about 1 (the 99.5th percentile is 1), the spacing of rows and
columns in mm, and a generator, and returns magnitudes on the same scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Spacing = tuple[float, float]  # of rows and of columns, in mm

BODY = 0.08  # of the brightest signal: above it is tissue, below it air and its noise
_PHANTOM_PIXEL_MM = 250 / 128  # the phantom's severities are given for 128 pixels of 250 mm


def ghosting(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Modulate the phase-encoding lines with a period of 2 to 4: copies of 12 to 30 %.

    Pulsation and breathing change amplitude and phase of the lines in turn, which makes copies at
    the field of view divided by the period (Wood & Henkelman, Med. Phys. 12, 143, 1985). The copies
    have a phase of their own; the magnitude is taken after they are added.
    """
    axis, n_ghosts = int(rng.integers(2)), int(rng.choice([2, 3, 4]))
    amplitude = rng.uniform(0.12, 0.30) * np.exp(1j * rng.uniform(-np.pi / 2, np.pi / 2))
    k_space = np.fft.fft(signal, axis=axis)
    line = np.fft.fftfreq(signal.shape[axis]) * signal.shape[axis]
    copies = 1 if n_ghosts == 2 else 2  # at half the field both copies are one
    modulation = 1 + copies * amplitude * np.cos(2 * np.pi * line / n_ghosts)
    return np.asarray(np.abs(np.fft.ifft(k_space * _along(modulation, axis), axis=axis)))


def motion(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Move the patient by 4 to 12 mm for 2 to 4 bands of phase-encoding lines.

    The bands cover 4 to 15 % of the half matrix each and leave the centre alone, as in the phantom
    (5 to 14 mm there, along the phase direction alone; here in any direction in the plane).
    """
    axis = int(rng.integers(2))
    k_space = np.fft.fft2(signal)
    rows, columns = (np.fft.fftfreq(n) for n in signal.shape)
    # In cycles a pixel of the phantom's 128, so that a finer matrix shows the same movement.
    coarse = np.fft.fftfreq(signal.shape[axis]) * _PHANTOM_PIXEL_MM / spacing_mm[axis]
    for _ in range(int(rng.integers(2, 5))):
        first = rng.uniform(0.03, 0.4)
        lines = np.abs(coarse) if rng.random() < 0.5 else coarse
        band = (lines > first) & (lines < first + rng.uniform(0.04, 0.15))
        angle, moved_mm = rng.uniform(0, 2 * np.pi), rng.uniform(4, 12)
        shift = (moved_mm * np.sin(angle) / spacing_mm[0], moved_mm * np.cos(angle) / spacing_mm[1])
        ramp = np.exp(-2j * np.pi * (rows[:, None] * shift[0] + columns * shift[1]))
        k_space = np.where(_along(band, axis), k_space * ramp, k_space)
    return np.asarray(np.abs(np.fft.ifft2(k_space)))


def spikes(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Put one or two bright samples into k-space: stripes of 3 to 9 % over the whole picture.

    From a few periods in the picture to periods of about 3 mm, as in the phantom (8 to 40 of 128
    lines); electric discharge in the scanner room (Stadler et al., Eur. Radiol. 17, 1242, 2007).
    """
    k_space = np.fft.fft2(signal)
    n_rows, n_columns = signal.shape
    for _ in range(int(rng.integers(1, 3))):
        row = int(rng.integers(8, 40)) * int(rng.choice([-1, 1]))
        column = int(rng.integers(0, 40))
        energy = rng.uniform(0.03, 0.09) * n_rows * n_columns
        k_space[row % n_rows, column % n_columns] += energy * np.exp(2j * np.pi * rng.random())
    return np.asarray(np.abs(np.fft.ifft2(k_space)))


def wrap(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Choose a field of view that is 10 to 25 % too small for the body: what is cut off folds over.

    The picture loses the cut rows or columns and shows them, added, at the opposite side, as a scan
    without oversampling does (Pusey et al., RadioGraphics 6, 891, 1986).
    """
    axis = int(rng.integers(2))
    body = np.flatnonzero((signal > BODY).any(axis=1 - axis))
    first, last = (int(body[0]), int(body[-1]) + 1) if body.size else (0, signal.shape[axis])
    cut = max(1, round((last - first) * rng.uniform(0.10, 0.25)))
    field = max(2, last - first - cut)
    start = first + int(rng.integers(0, last - first - field + 1))
    turned = np.moveaxis(signal, axis, 0)
    folded = np.zeros((field, turned.shape[1]))
    np.add.at(folded, (np.arange(len(turned)) - start) % field, turned)
    return np.ascontiguousarray(np.moveaxis(folded, 0, axis))


def noise(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Add Rician noise of 3 to 6 % of the brightest signal in a pixel of 2 mm.

    Three to five times the phantom's normal noise. Noise is per acquired sample: a finer pixel has
    more of it (Gudbjartsson & Patz, Magn. Reson. Med. 34, 910, 1995).
    """
    pixel_mm = float(np.sqrt(spacing_mm[0] * spacing_mm[1]))
    sigma = rng.uniform(0.03, 0.06) * _PHANTOM_PIXEL_MM / pixel_mm
    real, imaginary = rng.normal(0, sigma, (2, *signal.shape))
    return np.asarray(np.hypot(signal + real, imaginary))


def blur(signal: FloatArray, spacing_mm: Spacing, rng: np.random.Generator) -> FloatArray:
    """Weaken the outer k-space: a Gaussian of 3.5 to 6 mm at half height.

    T2 decay within a long echo train, or a matrix that is too coarse, blurs so (Constable & Gore,
    Magn. Reson. Med. 28, 9, 1992); the phantom's normal blur is 2 to 3.5 mm.
    """
    sigma_mm = rng.uniform(3.5, 6.0) / 2.3548
    row, column = (np.fft.fftfreq(n, d) for n, d in zip(signal.shape, spacing_mm, strict=True))
    squared = row[:, None] ** 2 + column[None, :] ** 2
    k_space = np.fft.fft2(signal) * np.exp(-2 * (np.pi * sigma_mm) ** 2 * squared)
    return np.asarray(np.abs(np.fft.ifft2(k_space)))


def _along(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Shape a row of values so that it varies along one axis of a picture."""
    return values[:, None] if axis == 0 else values[None, :]
