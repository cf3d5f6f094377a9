"""Part patients into training, validation and held-out sets that stay the same as data grows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import TooFewImages

SMALLEST_TRAINING_SET = 8  # below it batch normalisation has nothing to average


@dataclass(frozen=True)
class Split:
    """Indices into a collection, int64; no patient is in two of them."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    holdout: NDArray[np.int64]


def place(group: str, seed: int) -> float:
    """Hash a patient's key to a number in [0, 1); neither order nor other patients matter."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split_groups(
    groups: Sequence[str], *, seed: int, validation_fraction: float, holdout_fraction: float
) -> Split:
    """Part images by patient.

    A patient's set follows from the hash of its key and the seed alone, so that a patient never
    changes sides when data are added or the command is run on another machine. With few patients
    a set can come out empty: then the patient nearest to it joins.

    Args:
        groups: the patient of each image.
        seed: of the run.
        validation_fraction: of the patients, on average.
        holdout_fraction: of the patients, on average.

    Raises:
        TooFewImages: fewer than three patients, or fewer than 8 training images.
    """
    order = sorted(set(groups), key=lambda group: place(group, seed))
    if len(order) < 3:
        raise TooFewImages(
            f"{len(groups)} images of {len(order)} patients: training, validation and held-out sets"
            " need three patients; patients are told apart by PatientID, StudyInstanceUID or folder"
        )
    places = np.array([place(group, seed) for group in order])
    n_holdout = max(1, int((places < holdout_fraction).sum()))
    last = int((places < holdout_fraction + validation_fraction).sum())
    last = max(n_holdout + 1, last)
    side = {group: (rank >= n_holdout) + (rank >= last) for rank, group in enumerate(order)}
    sides = np.array([side[group] for group in groups])
    split = Split(*(np.flatnonzero(sides == number) for number in (2, 1, 0)))
    if split.train.size < SMALLEST_TRAINING_SET:
        raise TooFewImages(
            f"{split.train.size} of {len(groups)} images are left to train on; it takes"
            f" {SMALLEST_TRAINING_SET} at least"
        )
    return split
