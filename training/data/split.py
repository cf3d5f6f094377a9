"""Split patients into a training set and a held-out set, both stable as data grow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import TooFewImages

SMALLEST_TRAINING_SET = 8  # batch normalisation needs several slices to average over


@dataclass(frozen=True)
class Split:
    """Indices into a collection, int64; no patient is in both."""

    train: NDArray[np.int64]
    holdout: NDArray[np.int64]


def place(group: str, seed: int) -> float:
    """Hash a patient's key to a number in [0, 1), independent of order and other patients."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split_groups(groups: Sequence[str], *, seed: int, holdout_fraction: float) -> Split:
    """Split images by patient.

    The set of a patient depends only on the seed and the hash of the patient's key, so that no
    patient changes sets when data are added or the command is run on another machine. With few
    patients the held-out set might be empty; it then gets the patient with the lowest hash.

    Args:
        groups: the patient of each image.
        seed: of the run.
        holdout_fraction: of the patients, on average.

    Raises:
        TooFewImages: fewer than two patients, or fewer than 8 training images.
    """
    order = sorted(set(groups), key=lambda group: place(group, seed))
    if len(order) < 2:
        raise TooFewImages(
            f"{len(groups)} images of {len(order)} patients: training and held-out sets need two"
            " patients"
        )
    n_holdout = max(1, sum(place(group, seed) < holdout_fraction for group in order))
    held_out = set(order[:n_holdout])
    is_held_out = np.array([group in held_out for group in groups])
    split = Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))
    if split.train.size < SMALLEST_TRAINING_SET:
        raise TooFewImages(
            f"{split.train.size} of {len(groups)} images are left to train on; it takes"
            f" {SMALLEST_TRAINING_SET} at least"
        )
    return split
