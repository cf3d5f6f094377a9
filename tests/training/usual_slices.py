"""Slices with a drawn spine each, that a small network learns within seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.training_set import NO_LABEL, TrainingSet

SIZE = 64
_CANAL = slice(40, 44)
_BODIES = tuple(slice(top, top + 12) for top in range(4, 60, 16))


def usual_set(n: int = 24, n_labelled: int = 12, seed: int = 5) -> TrainingSet:
    """Make slices of two contrasts, two of each series; the first ones are labelled."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 1, SIZE, SIZE), np.float16)
    labels = np.zeros((n, SIZE, SIZE), np.uint8)
    for i in range(n):
        body, canal, disc = (0.4, 0.8, 0.2) if i % 4 < 2 else (0.6, 0.2, 0.4)
        picture = np.full((SIZE, SIZE), 0.1) + 0.02 * rng.random((SIZE, SIZE))
        left = int(rng.integers(16, 22))
        picture[:, _CANAL], labels[i, :, _CANAL] = canal, 2
        picture[4:, left : left + 14], labels[i, 4:, left : left + 14] = disc, 3
        for rows in _BODIES:
            picture[rows, left : left + 14] = body * rng.uniform(0.95, 1.05)
            labels[i, rows, left : left + 14] = 1
        x[i, 0] = picture
    labels[n_labelled:] = NO_LABEL
    numbers = np.arange(n)
    return TrainingSet(x, labels, numbers, numbers // 2, numbers % 4 // 2)


def as_floats(data: TrainingSet) -> NDArray[np.float32]:
    """All slices of the set, [N, S, S]."""
    return data.slices(data.train)
