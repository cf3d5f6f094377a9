"""Plant faults and local changes into a batch of usual slices, with the answers to learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.networks.corruptions import GLOBAL_KINDS, corrupt_globally
from training.networks.local_changes import change_place, corrupt_locally

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

_MOVED = ("turned", "wrap")  # every pixel changes: nothing to mark, and no label fits


class Planted:
    """A batch with faults: x and changed [B, S, S], faults [B, F]; two masks of slices, [B]."""

    def __init__(self, x: FloatArray, n_faults: int) -> None:
        self.x = x.copy()
        self.changed = np.zeros_like(x)
        self.faults = np.zeros((len(x), n_faults), np.float32)
        self.keeps_anatomy = np.ones(len(x), np.float32)
        self.is_marked = np.ones(len(x), np.float32)


def plant(usual: FloatArray, anatomy: ByteArray, rng: np.random.Generator) -> Planted:
    """Plant a hole, local changes, or a fault of the whole picture into six of eight slices."""
    kinds = tuple(GLOBAL_KINDS)
    planted = Planted(usual, len(kinds) + 1)
    for i in range(len(usual)):
        role, donor = i % 8, usual[(i + 1) % len(usual)]
        if role == 0:
            planted.x[i] = change_place(usual[i], anatomy[i], donor, "hole", rng)
            planted.faults[i, -1] = 1
            planted.changed[i] = np.clip(np.abs(planted.x[i] - usual[i]) / 0.12, 0, 1)
        elif role == 1:
            for _ in range(rng.integers(1, 4)):
                corrupted = corrupt_locally(planted.x[i], anatomy[i], donor, rng)
                planted.x[i] = corrupted.x
                planted.changed[i] = np.maximum(planted.changed[i], corrupted.changed)
        elif role < 6:
            number = int(rng.integers(len(kinds)))
            planted.x[i] = corrupt_globally(usual[i], kinds[number], rng)
            planted.faults[i, number] = 1
            if kinds[number] == "blanked":
                planted.changed[i] = np.clip(np.abs(planted.x[i] - usual[i]) / 0.12, 0, 1)
            planted.is_marked[i] = kinds[number] not in _MOVED
            planted.keeps_anatomy[i] = kinds[number] not in (*_MOVED, "blanked")
    return planted
