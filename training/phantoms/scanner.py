"""Turn an ideal picture into what a scanner would deliver, with or without an acquisition fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

FloatArray = NDArray[np.floating]
ComplexArray = NDArray[np.complexfloating]


def acquire(
    signal: FloatArray, rng: np.random.Generator, fault: str | None, fault_rng: np.random.Generator
) -> FloatArray:
    """Add the coil's profile, blur, an optional fault and Rician noise.

    Args:
        signal: the ideal picture, [S, S], 0 to about 1.
        rng: draws everything but the fault: a faulty image and its twin share coil and noise.
        fault: one of FAULTS, or None.
        fault_rng: draws the fault.

    Returns:
        Magnitudes, float64 [S, S]; 0 or more, not scaled.
    """
    size = signal.shape[0]
    image = gaussian_filter(signal * coil_profile(rng, size), rng.uniform(0.45, 0.75) * size / 128)
    # Noise is per acquired sample: halving the pixel doubles its share in the picture.
    sigma = rng.uniform(0.006, 0.022) * size / 128
    real, imaginary = rng.normal(0, sigma, (2, size, size))
    measured = image.astype(complex)
    if fault == "spike":
        measured = add_spike(measured, fault_rng)
    elif fault == "ghosting":
        measured = add_ghosting(measured, fault_rng)
    elif fault == "motion":
        measured = add_motion(measured, fault_rng)
    magnitude: FloatArray = np.abs(measured + real + 1j * imaginary)
    if fault == "void":
        magnitude = add_void(magnitude, fault_rng)
    elif fault == "noise":
        magnitude = add_noise(magnitude, fault_rng)
    return magnitude


def coil_profile(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw a surface coil's sensitivity, bright at the back; [size, size]."""
    yy, xx = np.mgrid[0:size, 0:size] / (size - 1) * 2 - 1
    falloff = np.exp(-(1 - xx) * rng.uniform(0.15, 0.45))
    along = np.exp(-((yy - rng.uniform(-0.3, 0.3)) ** 2) * rng.uniform(0.0, 0.35))
    uneven = zoom(rng.normal(0, 0.06, (4, 4)), size / 4, order=3)[:size, :size]
    return np.asarray(falloff * along * np.exp(uneven))


def add_spike(image: ComplexArray, rng: np.random.Generator) -> ComplexArray:
    """Put one bright sample into k-space: stripes over the whole picture."""
    n_rows, n_columns = image.shape
    k_space = np.fft.fft2(image)
    row = int(rng.integers(8, 40)) * int(rng.choice([-1, 1]))
    energy = rng.uniform(0.03, 0.09) * n_rows * n_columns
    k_space[row, int(rng.integers(0, 40))] += energy * np.exp(2j * np.pi * rng.random())
    stripes: ComplexArray = np.abs(np.fft.ifft2(k_space)).astype(complex)
    return stripes


def add_ghosting(image: ComplexArray, rng: np.random.Generator) -> ComplexArray:
    """Add shifted copies along the phase direction, as lines that alternate in amplitude do."""
    n_ghosts = int(rng.choice([2, 3, 4]))
    amplitude = rng.uniform(0.12, 0.30)
    shift = image.shape[0] // n_ghosts
    ghost = np.roll(image, shift, axis=0)
    if n_ghosts > 2:
        ghost = ghost + np.roll(image, -shift, axis=0)
    return image + amplitude * ghost


def add_motion(image: ComplexArray, rng: np.random.Generator) -> ComplexArray:
    """Shift the patient for a few bands of k-space lines."""
    n_rows = image.shape[0]
    k_space = np.fft.fft2(image)
    # In cycles a pixel of a 128-pixel picture, so that a finer matrix shows the same movement.
    ky = np.fft.fftfreq(n_rows) * n_rows / 128
    for _ in range(int(rng.integers(2, 5))):
        first = rng.uniform(0.03, 0.4)
        last = first + rng.uniform(0.04, 0.15)
        shift = rng.uniform(2.5, 7) * rng.choice([-1, 1])
        lines = np.abs(ky) if rng.random() < 0.5 else ky
        band = (lines > first) & (lines < last)
        k_space[band] *= np.exp(-2j * np.pi * ky[band][:, None] * shift)
    return np.fft.ifft2(k_space)


def add_void(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Blank one rectangle, 8 to 26 % of the side in each direction."""
    n_rows, n_columns = image.shape
    height = int(n_rows * rng.uniform(0.08, 0.26))
    width = int(n_columns * rng.uniform(0.08, 0.26))
    top = int(rng.integers(n_rows // 12, n_rows - n_rows // 12 - height))
    left = int(rng.integers(n_columns // 12, int(n_columns * 0.7) - width))
    out = image.copy()
    out[top : top + height, left : left + width] = 0
    return out


def add_noise(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Drown the picture in noise and blank a large block in its middle."""
    n_rows, n_columns = image.shape
    noisy = np.abs(image + rng.normal(0, 0.35, image.shape) * np.percentile(image, 99.5))
    noisy[
        int(n_rows * 0.23) : int(n_rows * 0.77), int(n_columns * 0.20) : int(n_columns * 0.70)
    ] = 0
    return np.asarray(noisy)
