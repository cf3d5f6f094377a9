"""Pictures of known quality, and a network small enough to train in a millisecond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SIDE = 16


@dataclass(frozen=True)
class Contaminated:
    """Pictures, [N, SIDE, SIDE], of which `bad` are spoiled; each patient has one series."""

    x: FloatArray
    bad: NDArray[np.bool_]
    patients: list[str]
    contrast: NDArray[np.int64]


def contaminate(
    share: float, *, by_series: bool, n_patients: int = 30, seed: int = 0
) -> Contaminated:
    """Make 30 patients with a series of 6 smooth pictures each, in two contrasts, and spoil some.

    Args:
        share: of all pictures.
        by_series: spoil whole series, each in one way, rather than single pictures.
        n_patients: each with one series.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    pictures, patients, contrast = [], [], []
    for patient in range(n_patients):
        shape = rng.uniform(0, 1, 2)
        for _ in range(6):
            a, b = shape + rng.normal(0, 0.05, 2)
            wave = np.sin(4 * x + a) * np.cos(5 * y + b)
            picture = 0.5 + (0.4 if patient % 2 else -0.25) * wave
            pictures.append(picture + rng.normal(0, 0.01, picture.shape))
            patients.append(f"patient:{patient}")
            contrast.append(patient % 2)
    n_bad = round(share * len(pictures))
    order = np.arange(len(pictures)).reshape(n_patients, 6)
    order = order[rng.permutation(n_patients)] if by_series else rng.permutation(order.ravel())
    chosen = order.ravel()[:n_bad]
    for place, index in enumerate(chosen):
        kind = (place // 6 if by_series else place) % len(FAULTS)
        pictures[index] = FAULTS[kind](pictures[index], rng)
    bad = np.zeros(len(pictures), bool)
    bad[chosen] = True
    return Contaminated(np.stack(pictures), bad, patients, np.array(contrast))


def _noise(picture: FloatArray, rng: np.random.Generator) -> FloatArray:
    return picture + rng.normal(0, 0.15, picture.shape)


def _box(picture: FloatArray, rng: np.random.Generator) -> FloatArray:
    spoilt = picture.copy()
    top, left = rng.integers(0, SIDE // 2, 2)
    spoilt[top : top + SIDE // 2, left : left + SIDE // 2] = 0
    return spoilt


def _turned(picture: FloatArray, rng: np.random.Generator) -> FloatArray:
    return np.rot90(picture, int(rng.choice([1, 3])))


FAULTS = (_noise, _box, _turned)


def principal_components(train: FloatArray, scored: FloatArray, n: int = 12) -> FloatArray:
    """Rebuild pictures from their first components, the linear autoencoder: [n_scored, 2].

    The first column is the mean squared error, the second the largest squared error.
    """
    flat, mean = train.reshape(len(train), -1), train.mean(axis=0).ravel()
    _, _, components = np.linalg.svd(flat - mean, full_matrices=False)
    centred = scored.reshape(len(scored), -1) - mean
    error = np.square(centred - centred @ components[:n].T @ components[:n])
    return np.stack([error.mean(axis=1), error.max(axis=1)], axis=1)
