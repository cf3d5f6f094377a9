"""Corrupt usual slices for training: what the inspector learns to see is planted here.

Physics in k-space of the model's own input, local changes in the picture. The evaluation plants its
faults and lesions with other code, on the scanner's matrix, with other seeds and patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label, map_coordinates, zoom

from model.anatomy import CANAL, DISC, VERTEBRA

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]
Picture = NDArray[np.float64]
Change = NDArray[np.floating]
Generator = np.random.Generator

# A change of a pixel that counts as fully visible, as a share of the window.
_VISIBLE = 0.12


@dataclass(frozen=True)
class Corrupted:
    """A slice with a local change, and how visibly each pixel changed; [S, S] in [0, 1]."""

    x: FloatArray
    changed: FloatArray


def corrupt_globally(x: FloatArray, kind: str, rng: Generator) -> FloatArray:
    """Apply one fault of the whole picture and scale it as preprocessing would.

    The padding around a slice that is not square stays empty, as it does in serving, where a fault
    comes before it. Half of the time the picture lies on its side: faults act along rows.

    Args:
        x: a slice in [0, 1], [S, S].
        kind: one of GLOBAL_KINDS.
        rng: draws its strength and form.
    """
    box, out = _content(x), np.zeros_like(x)
    content = x[box].astype(np.float64)
    if not content.size:
        return out
    is_aside = kind != "turned" and rng.random() < 0.5
    faulty = GLOBAL_KINDS[kind](content.T if is_aside else content, rng)
    corrupted = _window(faulty.T if is_aside else faulty)
    if corrupted.shape == content.shape:
        out[box] = corrupted
    else:  # turned by a quarter: centred anew
        height, width = corrupted.shape
        top, left = (x.shape[0] - height) // 2, (x.shape[1] - width) // 2
        out[top : top + height, left : left + width] = corrupted
    return out


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
    box, out = _content(x), x.copy()
    changed = LOCAL_KINDS[kind](x, anatomy, donor, rng)
    out[box] = np.clip(changed[box], 0, 1)
    return out


def _content(x: FloatArray) -> tuple[slice, slice]:
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


# Local changes --------------------------------------------------------------------------------


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
