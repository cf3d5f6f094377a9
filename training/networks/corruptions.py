"""Corrupt whole slices for training: faults of the acquisition that the inspector learns to name.

Physics in k-space of the model's own input. The evaluation plants its faults with other code, on
the scanner's matrix, with other seeds and patients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

FloatArray = NDArray[np.float32]
Picture = NDArray[np.float64]
Generator = np.random.Generator


def corrupt_globally(x: FloatArray, kind: str, rng: Generator) -> FloatArray:
    """Apply one fault of the whole picture and scale it as preprocessing would.

    The padding around a slice that is not square stays empty, as it does in serving, where a fault
    comes before it. Half of the time the picture lies on its side: faults act along rows.

    Args:
        x: a slice in [0, 1], [S, S].
        kind: one of GLOBAL_KINDS.
        rng: draws its strength and form.
    """
    box, out = content(x), np.zeros_like(x)
    inside = x[box].astype(np.float64)
    if not inside.size:
        return out
    is_aside = kind != "turned" and rng.random() < 0.5
    faulty = GLOBAL_KINDS[kind](inside.T if is_aside else inside, rng)
    corrupted = _window(faulty.T if is_aside else faulty)
    if corrupted.shape == inside.shape:
        out[box] = corrupted
    else:  # turned by a quarter: centred again
        height, width = corrupted.shape
        top, left = (x.shape[0] - height) // 2, (x.shape[1] - width) // 2
        out[top : top + height, left : left + width] = corrupted
    return out


def content(x: FloatArray) -> tuple[slice, slice]:
    """Find the rows and columns inside the padding; none of a slice that is all zero."""
    rows, columns = (np.flatnonzero(x.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


# Faults of the whole picture: float64 [H, W] -> the same, not scaled; along the rows ------------


def _ghosting(x: Picture, rng: Generator) -> Picture:
    """Modulate k-space lines periodically: displaced copies along the phase direction."""
    lines = np.arange(x.shape[0])
    period = rng.choice([2, 2, 3, 4, 5, 6, rng.uniform(2, 12)])
    wave = rng.uniform(0.06, 0.45) * np.cos(2 * np.pi * lines / period + rng.uniform(0, 6.3))
    factor = np.exp(1j * wave * rng.uniform(1, 2)) if rng.random() < 0.5 else 1 + wave
    return _picture(_k_space(x) * factor[:, None])


def _motion(x: Picture, rng: Generator) -> Picture:
    """Move the patient while lines are acquired: linear phase in some bands, or all along."""
    size = x.shape[0]
    frequency = np.fft.fftshift(np.fft.fftfreq(size))
    if rng.random() < 0.6:
        shift = np.zeros(size)
        for _ in range(rng.integers(1, 6)):
            start, length = rng.integers(0, size), int(size * rng.uniform(0.03, 0.25))
            shift[start : start + length] += rng.normal(0, 3.5)
        shift[np.abs(frequency) < rng.uniform(0.0, 0.05)] = 0
    else:
        wave = 2 * np.pi * np.arange(size) / rng.uniform(4, 60) + rng.uniform(0, 6.3)
        shift = rng.uniform(0.7, 4) * np.sin(wave)
    if rng.random() < 0.7:
        return _picture(_k_space(x) * np.exp(-2j * np.pi * frequency * shift)[:, None])
    across = np.fft.fftshift(np.fft.fftfreq(x.shape[1]))
    return _picture(_k_space(x) * np.exp(-2j * np.pi * shift[:, None] * across[None, :]))


def _spikes(x: Picture, rng: Generator) -> Picture:
    """Put bright samples into k-space: stripes."""
    k_space = _k_space(x)
    for _ in range(rng.integers(1, 4)):
        row, column = rng.integers(0, x.shape[0]), rng.integers(0, x.shape[1])
        energy = rng.uniform(0.012, 0.10) * x.size
        k_space[row, column] += energy * np.exp(2j * np.pi * rng.random())
    return _picture(k_space)


def _wrap(x: Picture, rng: Generator) -> Picture:
    """Fold the field of view: what lies beyond one edge appears at the other."""
    width = max(1, int(x.shape[0] * rng.uniform(0.08, 0.4)))
    gain = rng.uniform(0.4, 1.0)
    folded = x.copy()
    ends = rng.choice(3)
    if ends != 1:
        folded[:width] += gain * x[-width:]
    if ends != 0:
        folded[-width:] += gain * x[:width]
    return folded


def _noise(x: Picture, rng: Generator) -> Picture:
    """Add Rician noise, white or smoothed as interpolation does."""
    sigma = np.exp(rng.uniform(np.log(0.03), np.log(0.35)))
    noise = rng.normal(0, 1, (2, *x.shape))
    if rng.random() < 0.4:
        smooth = rng.uniform(0.4, 1.2)
        noise = gaussian_filter(noise, (0, smooth, smooth))
        noise /= noise.std()
    return np.asarray(np.hypot(x + sigma * noise[0], sigma * noise[1]))


def _blur(x: Picture, rng: Generator) -> Picture:
    """Lose resolution: by a filter, or by leaving out the outer lines of k-space."""
    if rng.random() < 0.5:
        sigma = rng.uniform(0.8, 3.0)
        return gaussian_filter(x, (sigma, sigma * rng.uniform(0.3, 1.0)))
    frequency = np.abs(np.fft.fftshift(np.fft.fftfreq(x.shape[0])))
    return _picture(_k_space(x) * (frequency < rng.uniform(0.1, 0.28))[:, None])


def _bias(x: Picture, rng: Generator) -> Picture:
    """Multiply by a smooth, strong unevenness, as of a broken coil element."""
    coarse = rng.normal(0, 1, (rng.integers(2, 5),) * 2)
    field = zoom(coarse, np.array(x.shape) / len(coarse), order=3, mode="nearest")
    field = (field - field.mean()) / (field.std() + 1e-6)
    return np.asarray(x * np.exp(rng.uniform(0.5, 1.1) * field))


def _lines(x: Picture, rng: Generator) -> Picture:
    """Drop or overdrive lines of k-space, or add interference along one line (zipper)."""
    size = x.shape[0]
    if rng.random() < 0.4:
        out, width = x.copy(), min(size, int(rng.integers(1, 4)))
        first = int(rng.integers(0, max(1, size - width)))
        stripe = np.abs(rng.normal(0, 1, (width, x.shape[1])))
        out[first : first + width] += rng.uniform(0.15, 0.6) * stripe
        return out
    factor = np.ones(size)
    chosen = rng.integers(0, size, rng.integers(1, 5))
    # The middle line is the picture's mean, which the window takes out again.
    chosen = np.where(np.abs(chosen - size // 2) < 3, chosen + 6, chosen) % size
    factor[chosen] = rng.choice([0.0, rng.uniform(4, 20)])
    if rng.random() < 0.4:
        factor[(np.arange(size) % rng.integers(3, 12)) == 0] *= rng.uniform(0.0, 0.6)
    return _picture(_k_space(x) * factor[:, None])


def _turned(x: Picture, rng: Generator) -> Picture:
    """Turn the picture by quarters, mirror it, or both."""
    quarters = int(rng.integers(0, 4))
    turned = np.rot90(x, quarters)
    return np.array(turned[:, ::-1] if quarters == 0 or rng.random() < 0.5 else turned)


def _blanked(x: Picture, rng: Generator) -> Picture:
    """Lose or fill a part of the picture: a box or a band."""
    shape = x.shape
    height, width = (min(side, max(2, int(side * rng.uniform(0.1, 0.6)))) for side in shape)
    if rng.random() < 0.2:
        width = shape[1]
    top, left = rng.integers(0, shape[0] - height + 1), rng.integers(0, shape[1] - width + 1)
    box = (slice(top, top + height), slice(left, left + width))
    out = x.copy()
    fill = rng.choice([0.0, 0.0, float(x.mean()), 1.0])
    out[box] = rng.random((height, width)) if rng.random() < 0.15 else fill
    return out


GLOBAL_KINDS: dict[str, Callable[[Picture, Generator], Picture]] = {
    "ghosting": _ghosting,
    "motion": _motion,
    "spikes": _spikes,
    "wrap": _wrap,
    "noise": _noise,
    "blur": _blur,
    "bias": _bias,
    "lines": _lines,
    "turned": _turned,
    "blanked": _blanked,
}


def _k_space(x: Picture) -> NDArray[np.complexfloating]:
    """Return the centred spectrum."""
    return np.fft.fftshift(np.fft.fft2(x))


def _picture(k_space: NDArray[np.complexfloating]) -> Picture:
    """Return the magnitude image of a centred spectrum."""
    return np.abs(np.fft.ifft2(np.fft.ifftshift(k_space)))


def _window(x: Picture) -> FloatArray:
    """Scale as preprocessing does: the window moves with what a fault adds."""
    low, high = np.percentile(x[::2, ::2], (0.5, 99.5))
    return np.asarray(np.clip((x - low) / max(high - low, 1e-6), 0, 1), np.float32)
