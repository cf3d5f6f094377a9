"""Discs are found where they were drawn, and numbered from the sacrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.anatomy import CANAL, DISC, VERTEBRA
from model.levels.levels import NO_COLUMN, NO_DISC, Frame, Levels, find_levels
from preprocessing import read_image
from preprocessing.dicom.orientation import Orientation
from preprocessing.resizing import resize
from tests.dicom_files import make_dicom
from training.phantoms.painting import disc_outline, make_canvas
from training.phantoms.phantom import SIZE, make_phantom, phantom_labels
from training.phantoms.spine import N_LEVELS, draw_spine

SIDE, SEED = 96, 4_711
TURNS = [Orientation(*map(bool, flips)) for flips in np.ndindex(2, 2, 2)]
# By hand: a straight column of bodies and discs, 14 pixels deep, every 12 rows; the canal behind.
GAP, DEPTH, LEFT = 12, 14, 36
MIDDLE = LEFT + (DEPTH - 1) / 2


def column(n_discs: int, top: int = 6) -> NDArray[np.int64]:
    """Bodies of 9 rows above discs of 3, from `top` on; the column ends with a disc."""
    labels = np.zeros((SIDE, SIDE), np.int64)
    for level in range(n_discs):
        begin, front = top + GAP * level, slice(LEFT, LEFT + DEPTH)
        labels[begin : begin + 9, front] = VERTEBRA
        labels[begin + 9 : begin + 12, front] = DISC
    labels[top : top + GAP * n_discs, LEFT + DEPTH + 2 : LEFT + DEPTH + 7] = CANAL
    return labels


def certain(labels: NDArray[np.int64]) -> NDArray[np.floating]:
    return np.moveaxis(np.eye(4, dtype=np.float32)[labels], -1, 0)


def rows_of_discs(n_discs: int, top: int = 6) -> list[float]:
    return [top + GAP * level + 10 for level in range(n_discs)]


def test_centre_direction_gap_and_depth_are_those_drawn() -> None:
    found = find_levels(certain(column(5)))
    assert list(found.numbers) == [5, 4, 3, 2, 1]
    np.testing.assert_allclose(found.centres[:, 0], rows_of_discs(5), atol=0.3)
    np.testing.assert_allclose(found.centres[:, 1], MIDDLE, atol=0.3)
    np.testing.assert_allclose(found.along, [[1, 0]] * 5, atol=0.03)
    np.testing.assert_allclose(found.front, [[0, -1]] * 5, atol=0.03)  # the canal is to the right
    np.testing.assert_allclose(found.gap, GAP, atol=0.3)
    np.testing.assert_allclose(found.depth, DEPTH, atol=0.6)
    bodies = [row + GAP / 2 for row in rows_of_discs(4)]
    np.testing.assert_allclose(found.bodies, [[row, MIDDLE] for row in bodies], atol=0.3)
    assert found.is_seen.all()
    assert found.is_certain
    assert not found.reason


def test_in_a_mirrored_slice_the_front_is_to_the_right() -> None:
    found = find_levels(certain(column(5)[:, ::-1]))
    np.testing.assert_allclose(found.centres[:, 1], SIDE - 1 - MIDDLE, atol=0.3)
    np.testing.assert_allclose(found.front, [[0, 1]] * 5, atol=0.03)


def test_the_sacrum_is_not_seen_where_the_picture_ends() -> None:
    assert not find_levels(certain(column(7, top=12))).is_certain


def test_padding_shows_no_sacrum() -> None:
    tissues = certain(column(5))  # the lowest disc ends at row 65
    assert find_levels(tissues, Frame(-0.5, 80.5, -0.5, 95.5)).is_certain
    assert not find_levels(tissues, Frame(-0.5, 66.5, -0.5, 95.5)).is_certain


def test_a_disc_cut_off_by_the_edge_of_the_picture_is_left_out() -> None:
    labels = np.roll(column(5), -15, axis=0)  # the first disc's middle is now in row 1
    labels[-15:] = 0
    assert find_levels(certain(labels)).numbers[0] == 4
    assert find_levels(certain(labels), Frame(-3.5, 95.5, -0.5, 95.5)).numbers[0] == 5


def test_a_whole_body_without_a_disc_below_has_one_that_is_not_seen() -> None:
    labels = column(5)
    labels[63:66, LEFT : LEFT + DEPTH] = 0
    found = find_levels(certain(labels))
    assert list(found.is_seen) == [True] * 4 + [False]
    assert found.centres[-1, 0] == pytest.approx(rows_of_discs(5)[-1], abs=2)
    assert found.is_certain


def test_a_missing_disc_between_two_others_is_counted() -> None:
    labels = column(6)
    labels[rows_of_discs(6)[2] - 1 : rows_of_discs(6)[2] + 2, LEFT : LEFT + DEPTH] = VERTEBRA
    found = find_levels(certain(labels))
    assert list(found.is_seen) == [True, True, False, True, True, True]
    assert found.centres[2, 0] == pytest.approx(rows_of_discs(6)[2], abs=0.5)


def test_something_else_beside_the_column_is_ignored() -> None:
    labels = column(5)
    labels[30:45, 2:16] = VERTEBRA
    labels[80:90, 60:80] = DISC
    found = find_levels(certain(labels))
    np.testing.assert_allclose(found.centres[:, 0], rows_of_discs(5), atol=0.7)


def test_without_a_column_there_is_no_level() -> None:
    assert find_levels(certain(np.zeros((SIDE, SIDE), np.int64))).reason == NO_COLUMN


def test_an_axial_slice_has_no_level() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    body = (y - 40) ** 2 + 0.6 * (x - 48) ** 2 < 15**2
    canal = (y - 62) ** 2 + (x - 48) ** 2 < 5**2
    for tissue in (VERTEBRA, DISC):  # the slice runs through a body, or through a disc
        found = find_levels(certain(np.where(body, tissue, np.where(canal, CANAL, 0))))
        assert len(found.numbers) == 0
        assert found.reason == NO_DISC
        assert found.centres.shape == found.bodies.shape == (0, 2)


def test_uncertain_tissues_give_no_level() -> None:
    noise = np.random.default_rng(1).random((4, SIDE, SIDE)).astype(np.float32)
    assert len(find_levels(noise / noise.sum(axis=0)).numbers) == 0


def test_one_disc_is_one_level() -> None:
    labels = column(2, top=30)
    labels[51:54, LEFT : LEFT + DEPTH] = 0  # the lower body is no whole one, so that none follows
    labels[45:54, LEFT : LEFT + DEPTH] = 0
    found = find_levels(certain(labels))
    assert list(found.numbers) == [1]
    assert found.bodies.shape == (0, 2)
    assert found.centres[0, 0] == pytest.approx(40, abs=0.5)


def test_half_a_column_has_the_levels_that_it_shows() -> None:
    labels = column(7)
    labels[48:] = 0  # within the fourth body, where the picture is black from here on
    found = find_levels(certain(labels), Frame(-0.5, 47.5, -0.5, 95.5))
    np.testing.assert_allclose(found.centres[:, 0], rows_of_discs(3), atol=0.3)
    assert not found.is_certain


def test_ten_discs_are_ten_levels() -> None:
    labels = np.zeros((SIDE, SIDE), np.int64)
    for level in range(10):
        labels[4 + 8 * level : 10 + 8 * level, 40:50] = VERTEBRA
        labels[10 + 8 * level : 12 + 8 * level, 40:50] = DISC
    labels[4:84, 52:56] = CANAL
    assert list(find_levels(certain(labels)).numbers) == list(range(10, 0, -1))


def test_whatever_the_tissues_are_levels_are_finite_and_of_one_length() -> None:
    rng, n_found = np.random.default_rng(3), 0
    for _ in range(60):
        labels = np.zeros((32, 32), np.int64)
        for _ in range(int(rng.integers(1, 12))):
            (top, left), (height, width) = rng.integers(0, 30, 2), rng.integers(2, 32, 2)
            labels[top : top + height, left : left + width] = rng.integers(0, 4)
        found = find_levels(certain(labels))
        n = len(found.numbers)
        n_found += n
        assert bool(n) != bool(found.reason)
        for points in (found.centres, found.along, found.front):
            assert points.shape == (n, 2)
            assert np.isfinite(points).all()
        assert found.gap.shape == found.depth.shape == found.is_seen.shape == (n,)
        assert (found.gap > 0).all()
        assert (found.depth > 0).all()
    assert n_found


def as_filed(turn: Orientation) -> dict[str, Any]:
    """Describe a sagittal file whose slice is brought upright by a turn."""
    row = [0.0, -1.0 if turn.flips_columns else 1.0, 0.0]
    column = [0.0, 0.0, 1.0 if turn.flips_rows else -1.0]
    return {"ImageOrientationPatient": column + row if turn.is_transposed else row + column}


def phantom_tissues(index: int, turn: Orientation) -> NDArray[np.floating]:
    """What a segmentation without a mistake would say of a phantom's file, however it is turned."""
    labels = phantom_labels(SEED, index).astype(np.uint16)
    image = read_image(make_dicom(turn.undo(labels), **as_filed(turn)))
    masks = np.eye(4, dtype=np.float32)[image.pixels.astype(np.int64)]
    return np.stack(
        [resize(np.ascontiguousarray(m), SIDE, SIDE) for m in np.moveaxis(masks, -1, 0)]
    )


def phantom_discs(index: int) -> tuple[NDArray[np.floating], float]:
    """The centres of a phantom's discs in the picture, mm, and the pixels of a map in mm."""
    spine = draw_spine(np.random.default_rng(np.random.SeedSequence([SEED, index]).spawn(4)[0]))
    mm = make_phantom(SEED, index).spacing_mm
    canvas, centres = make_canvas(spine, SIZE), []
    for level in range(N_LEVELS):
        u, v, *_ = disc_outline(canvas, spine, level, None)
        distance = np.hypot(u, v)
        nearest = np.unravel_index(np.argmin(distance), distance.shape)
        if distance[nearest] < 2 / SIZE:  # else its centre is outside
            centres.append(nearest)
    return np.array(centres) * mm, mm * SIZE / SIDE


def assert_found(found: Levels, discs: NDArray[np.floating], pixel_mm: float) -> None:
    centres = (found.centres + 0.5) * pixel_mm - 0.5 * pixel_mm * SIDE / SIZE
    distances = np.linalg.norm(centres[:, None] - discs, axis=2)
    assert distances.min(axis=1).max() < 2
    field_mm = SIDE * pixel_mm
    inside = ((discs > 10) & (discs < field_mm - 10)).all(axis=1)
    assert distances.min(axis=0)[inside].max() < 2
    assert found.is_seen.all()


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("turn", TURNS, ids=repr)
def test_phantoms_have_their_discs_within_2_mm_in_all_orientations(
    index: int, turn: Orientation
) -> None:
    tissues, (discs, pixel_mm) = phantom_tissues(index, turn), phantom_discs(index)
    assert_found(find_levels(tissues), discs, pixel_mm)
    mirrored = find_levels(np.ascontiguousarray(tissues[:, :, ::-1]))
    back = mirrored.centres * [1, -1] + [0, SIDE - 1]
    assert_found(mirrored._replace(centres=back), discs, pixel_mm)
