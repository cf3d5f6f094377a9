"""Points survive a turn and its way back; the header tells where the feet are."""

import numpy as np
import pytest

from model.levels.orientation import Frame, quarter_turns, turn_back


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_points_and_directions_are_turned_back(turns: int) -> None:
    picture = np.zeros((5, 8))
    picture[1, 6] = 1
    turned = np.argwhere(np.rot90(picture, turns)).astype(float)
    picture[:] = 0
    picture[2, 6] = 1
    below = np.argwhere(np.rot90(picture, turns)).astype(float)
    points, down = turn_back(turned, below - turned, turns, (5, 8))
    assert points.tolist() == [[1, 6]]
    assert down.tolist() == [[1, 0]]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_frame_turns_with_its_map(turns: int) -> None:
    picture = np.zeros((5, 8))
    picture[1:3, 2:7] = 1
    rows, columns = np.nonzero(np.rot90(picture, turns))
    expected = Frame(rows.min() - 0.5, rows.max() + 0.5, columns.min() - 0.5, columns.max() + 0.5)
    assert Frame(0.5, 2.5, 1.5, 6.5).turned(turns, (5, 8)) == expected


@pytest.mark.parametrize(
    ("orientation", "turns"),
    [
        (None, 0),
        ((0, 1, 0, 0, 0, -1), 0),  # sagittal, as usual
        ((0, -1, 0, 0, 0, -1), 0),  # mirrored
        ((0, 0, 1, 0, 1, 0), 1),  # the head is to the right, the feet to the left
        ((0, 1, 0, 0, 0, 1), 2),  # upside-down
        ((0, 0, -1, 0, 1, 0), 3),  # the feet are to the right
        ((1, 0, 0, 0, 1, 0), 0),  # axial: no feet
    ],
)
def test_turns_bring_the_feet_below(orientation: tuple[float, ...] | None, turns: int) -> None:
    assert quarter_turns(orientation) == turns
