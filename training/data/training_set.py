"""The slices of one training, read from disk by batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

NO_LABEL = 255

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingSet:
    """What to train on.

    Args:
        x: all model inputs, float16 [N, 1, S, S] in [0, 1], mapped from disk.
        labels: tissue of each pixel, uint8 [N, S, S], mapped from disk; NO_LABEL everywhere in a
            slice without labels.
        train: which slices to train on, sorted.
        series: the series of each of them, as a number, [len(train)].
        kinds: the kind (contrast) of each of them, as a number, [len(train)].
    """

    x: NDArray[np.float16]
    labels: NDArray[np.uint8]
    train: IndexArray
    series: IndexArray
    kinds: IndexArray

    def slices(self, chosen: IndexArray) -> NDArray[np.float32]:
        """Read slices by their index in `x`: [B, S, S]."""
        return np.asarray(self.x[chosen, 0], np.float32)

    @cached_property
    def labelled(self) -> IndexArray:
        """The slices of `train` that have labels."""
        labelled: IndexArray = self.train[self.labels[self.train, 0, 0] != NO_LABEL]
        return labelled

    @cached_property
    def draw_weights(self) -> NDArray[np.float64]:
        """Probability of drawing each of `train`; a series counts by the root of its slices.

        Eight slices of one series are worth more than one, but not eight times as much.
        """
        _, inverse, counts = np.unique(self.series, return_inverse=True, return_counts=True)
        weight = 1 / np.sqrt(counts[inverse])
        return np.asarray(weight / weight.sum())
