"""Turn a slice so that the feet are below, and turn what was found back. Plain numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


class Frame(NamedTuple):
    """The part of a map that shows the picture, not padding.

    Edges in pixels, with pixel centres at whole numbers: a map of 96 rows reaches from -0.5 to
    95.5.
    """

    top: float
    bottom: float
    left: float
    right: float

    def turned(self, turns: int, shape: tuple[int, int]) -> Frame:
        """Return the frame of a map of this shape after np.rot90(map, turns)."""
        frame, width = self, shape[1]
        for turn in range(turns):
            width = shape[1 - turn % 2]
            frame = Frame(width - 1 - frame.right, width - 1 - frame.left, frame.top, frame.bottom)
        return frame


def quarter_turns(image_orientation_patient: Sequence[float] | None) -> int:
    """Return how often np.rot90 must turn a slice until its feet are below: 0 to 3.

    Args:
        image_orientation_patient: direction cosines of a row, then of a column (PS3.3 C.7.6.2.1.1);
            z points to the head. Without one, or in an axial plane: 0.

    >>> quarter_turns((0, 1, 0, 0, 0, -1))
    0
    >>> quarter_turns((0, 0, -1, 0, 1, 0))  # the feet are to the right
    3
    """
    if image_orientation_patient is None:
        return 0
    right, down = -image_orientation_patient[2], -image_orientation_patient[5]
    if max(abs(right), abs(down)) < 0.5:
        return 0
    return int(np.argmax([down, -right, -down, right]))


def turn_back(
    points: FloatArray, directions: FloatArray, turns: int, shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Return points and directions, [n, 2] each, of np.rot90(map, turns) to the map itself."""
    for turn in reversed(range(turns)):
        width = shape[1 - turn % 2]
        points = np.stack([points[:, 1], width - 1 - points[:, 0]], axis=1)
        directions = np.stack([directions[:, 1], -directions[:, 0]], axis=1)
    return points, directions
