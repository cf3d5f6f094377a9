"""Slices drawn by hand: three vertebral bodies, two discs, a canal, a posterior element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.anatomy import CANAL, DISC, VERTEBRA
from model.scoring import Outputs

FloatArray = NDArray[np.float32]

SIDE = 96  # of the half-size picture
COLUMNS = slice(30, 42)
BODIES = tuple(slice(top, top + 12) for top in (10, 30, 50))
DISCS = tuple(slice(top, top + 4) for top in (24, 44))
CANAL_COLUMNS = slice(50, 55)
BEHIND = (slice(32, 40), slice(60, 68))


@dataclass(frozen=True)
class Drawn:
    """A picture at half size, [SIDE, SIDE], and the tissue of each of its pixels."""

    half: FloatArray
    labels: NDArray[np.int64]

    @property
    def x(self) -> FloatArray:
        """The slice at full size, [1, 1, 2 SIDE, 2 SIDE]."""
        return self.half.repeat(2, axis=0).repeat(2, axis=1)[None, None]

    @property
    def tissues(self) -> FloatArray:
        """Certain probabilities, [1, 4, SIDE, SIDE]."""
        return np.moveaxis(np.eye(4, dtype=np.float32)[self.labels], -1, 0)[None]


def draw(
    bodies: tuple[float, float, float] = (0.5, 0.5, 0.5),
    discs: tuple[float, float] = (0.25, 0.25),
    *,
    behind: float | None = None,
) -> Drawn:
    """Draw a spine with these intensities; `behind` is that of an element behind the canal."""
    half = np.zeros((SIDE, SIDE), np.float32)
    labels = np.zeros((SIDE, SIDE), np.int64)
    half[:, CANAL_COLUMNS], labels[:, CANAL_COLUMNS] = 0.8, CANAL
    for rows, value in zip(BODIES, bodies, strict=True):
        half[rows, COLUMNS], labels[rows, COLUMNS] = value, VERTEBRA
    for rows, value in zip(DISCS, discs, strict=True):
        half[rows, COLUMNS], labels[rows, COLUMNS] = value, DISC
    if behind is not None:
        half[BEHIND], labels[BEHIND] = behind, VERTEBRA
    return Drawn(half, labels)


def outputs_of(drawn: Drawn, n_features: int = 2, n_faults: int = 2) -> Outputs:
    """Outputs of networks that segment the drawing exactly, and find nothing."""
    small = np.full((1, 1, 24, 24), 0.5, np.float32)
    return Outputs(
        x_small=small,
        x_hat=small.copy(),
        residual=np.zeros((1, 1, 24, 24), np.float32),
        tissues=drawn.tissues,
        marks=np.zeros((1, 1, SIDE, SIDE), np.float32),
        faults=np.full((1, n_faults), -100, np.float32),
        features=np.zeros((1, n_features), np.float32),
    )
