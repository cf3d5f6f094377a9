"""Bodies and discs against their neighbours, worked out by hand."""

import numpy as np
import pytest

from model.anatomy import (
    CANAL,
    DISC,
    VERTEBRA,
    Differences,
    canal_contrast,
    compare_neighbours,
    find_anatomy,
    halve,
    largest_differences,
)
from tests.model.drawn_slices import (
    BEHIND,
    BODIES,
    CANAL_COLUMNS,
    COLUMNS,
    SIDE,
    Drawn,
    draw,
)


def largest(drawn: Drawn) -> tuple[float, ...]:
    """The largest difference of each map: spot, body, disc."""
    found = compare_neighbours(drawn.half[None], find_anatomy(drawn.tissues))
    return tuple(float(shown.max()) for shown in found)


def test_halving_averages_two_by_two_pixels() -> None:
    x = np.array([[[[0.0, 1.0, 0.5, 0.5], [0.25, 0.75, 0.5, 0.1]]]], np.float32)
    np.testing.assert_allclose(halve(x), [[[0.5, 0.4]]])


def test_bodies_and_discs_that_are_all_alike_do_not_differ() -> None:
    assert largest(draw(bodies=(0.5, 0.5, 0.5), discs=(0.25, 0.25))) == pytest.approx((0, 0, 0))


def test_a_brighter_body_differs_from_its_neighbours_by_what_it_is_brighter() -> None:
    drawn = draw(bodies=(0.5, 0.7, 0.5))
    found = compare_neighbours(drawn.half[None], find_anatomy(drawn.tissues))
    # In its middle the 9 x 9 box holds 0.7, and the 61 x 41 box but its inner 15 x 15 the others.
    assert found.body[0, 36, 36] == pytest.approx(0.7 - 0.5)
    assert largest(drawn) == pytest.approx((0, 0.2, 0), abs=2e-7)
    assert not found.body[0, BODIES[0].stop : BODIES[1].start].any(), "only bodies have a value"


def test_a_spot_differs_from_the_body_around_it() -> None:
    drawn = draw()
    drawn.half[34:37, 34:37] = 0.95
    # Its 3 x 3 pixels are 0.95; the mean of the 9 x 9 around them 0.5 + 0.45 * 9 / 81 = 0.55.
    assert largest(drawn)[0] == pytest.approx(0.95 - 0.55)


def test_a_spot_at_the_rim_of_a_body_is_no_spot() -> None:
    drawn = draw()
    found = compare_neighbours(drawn.half[None], find_anatomy(drawn.tissues))
    drawn.half[BODIES[1].start, COLUMNS] = 0.9  # the end plate: 3 x 3 boxes there reach out of it
    rim = compare_neighbours(drawn.half[None], find_anatomy(drawn.tissues)).spot[0]
    assert not rim[BODIES[1].start].any()
    assert not found.spot.any()


def test_a_disc_is_compared_with_the_mean_of_all_discs_near_it() -> None:
    # 0.2 and 0.3, of the same size: their mean is 0.25.
    assert largest(draw(discs=(0.2, 0.3))) == pytest.approx((0, 0, 0.05))


def test_a_lone_body_has_no_neighbours_to_differ_from() -> None:
    drawn = draw()
    for rows in BODIES[1:]:
        drawn.labels[rows, COLUMNS] = 0
    assert largest(drawn)[1] == 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_posterior_elements_are_vertebra_and_no_bodies(mirrored: bool) -> None:
    drawn = draw(behind=1.0)
    if mirrored:
        drawn = Drawn(drawn.half[:, ::-1].copy(), drawn.labels[:, ::-1].copy())
    anatomy = find_anatomy(drawn.tissues)
    assert anatomy.vertebra.sum() == 3 * 12 * 12 + 8 * 8
    assert anatomy.body.sum() == 3 * 12 * 12
    assert largest(drawn) == pytest.approx((0, 0, 0))


def test_rows_without_canal_take_the_line_of_the_nearest_canal() -> None:
    drawn = draw(behind=1.0)
    drawn.labels[: BEHIND[0].stop, CANAL_COLUMNS] = 0  # the canal ends below the element
    assert find_anatomy(drawn.tissues).body.sum() == 3 * 12 * 12


def test_without_a_canal_all_vertebra_counts_as_bodies() -> None:
    drawn = draw(behind=1.0)
    drawn.labels[drawn.labels == CANAL] = 0
    assert find_anatomy(drawn.tissues).body.sum() == 3 * 12 * 12 + 8 * 8


def test_a_slice_in_which_nothing_is_segmented_differs_nowhere() -> None:
    drawn = draw()
    drawn.labels[:] = 0
    anatomy = find_anatomy(drawn.tissues)
    assert largest(drawn) == (0, 0, 0)
    assert canal_contrast(drawn.half[None], anatomy).tolist() == [0]


@pytest.mark.parametrize("tissue", [VERTEBRA, CANAL, DISC])
def test_a_slice_that_is_all_one_tissue_is_borne(tissue: int) -> None:
    drawn = Drawn(np.ones((SIDE, SIDE), np.float32), np.full((SIDE, SIDE), tissue))
    assert largest(drawn) == pytest.approx((0, 0, 0))


def test_canal_contrast_is_the_logarithm_of_canal_over_body() -> None:
    drawn = draw(bodies=(0.4, 0.4, 0.4), behind=1.0)
    contrast = canal_contrast(drawn.half[None], find_anatomy(drawn.tissues))
    assert contrast.tolist() == pytest.approx([np.log(0.801 / 0.401)])
    dark = draw(bodies=(0.4, 0.4, 0.4))
    dark.half[:, CANAL_COLUMNS] = 0.1
    contrast = canal_contrast(dark.half[None], find_anatomy(dark.tissues))
    assert contrast.tolist() == pytest.approx([np.log(0.101 / 0.401)])


@pytest.mark.parametrize(("n_pixels", "is_enough"), [(4, False), (5, True)])
def test_four_pixels_of_canal_are_no_canal(n_pixels: int, is_enough: bool) -> None:
    drawn = draw()
    drawn.labels[drawn.labels == CANAL] = 0
    drawn.labels[:n_pixels, CANAL_COLUMNS.start] = CANAL
    contrast = canal_contrast(drawn.half[None], find_anatomy(drawn.tissues))
    assert bool(contrast[0]) is is_enough


def test_differences_do_not_depend_on_the_other_slices_of_a_batch() -> None:
    rng = np.random.default_rng(3)
    half = rng.random((6, SIDE, SIDE), dtype=np.float32)
    tissues = rng.random((6, 4, SIDE, SIDE), dtype=np.float32)
    drawn = draw(bodies=(0.2, 0.7, 0.4), behind=1.0)
    tissues[2], half[2] = drawn.tissues, drawn.half
    tissues[4, 0] = 2  # nothing is found in this one
    together = compare_neighbours(half, find_anatomy(tissues))
    for i in range(6):
        alone = compare_neighbours(half[i : i + 1], find_anatomy(tissues[i : i + 1]))
        for name in Differences._fields:
            np.testing.assert_allclose(
                getattr(together, name)[i], getattr(alone, name)[0], rtol=0, atol=1e-7
            )


def test_the_largest_differences_are_those_of_the_maps() -> None:
    rng = np.random.default_rng(5)
    half = rng.random((5, SIDE, SIDE), dtype=np.float32)
    tissues = rng.random((5, 4, SIDE, SIDE), dtype=np.float32)
    tissues[1, 0] = 2  # nothing is found in this one
    anatomy = find_anatomy(tissues)
    maps = compare_neighbours(half, anatomy)
    expected = np.stack([shown.max(axis=(1, 2)) for shown in maps], axis=1)
    np.testing.assert_array_equal(largest_differences(half, anatomy), expected)


def test_box_means_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    half = rng.random((SIDE, SIDE), dtype=np.float32)
    drawn = Drawn(half, rng.integers(0, 4, (SIDE, SIDE)))
    anatomy = find_anatomy(drawn.tissues)
    found = compare_neighbours(half[None], anatomy).disc[0]
    mask = anatomy.disc[0]
    for row, column in np.argwhere(mask)[::97]:
        near, wide = (
            half[part][mask[part]].mean(dtype=np.float64)
            for part in (
                (
                    slice(max(row - up, 0), row + up + 1),
                    slice(max(column - left, 0), column + left + 1),
                )
                for up, left in ((1, 1), (30, 20))
            )
        )
        assert found[row, column] == pytest.approx(abs(near - wide), abs=1e-6)
