from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.cleaning.outliers import (
    JOINT,
    Members,
    robust_scale,
    robust_z,
    series_spread,
)


def members(
    n: int,
    *,
    fold: NDArray[np.int64] | None = None,
    series: NDArray[np.int64] | None = None,
    contrast: NDArray[np.int64] | None = None,
) -> Members:
    zeros = np.zeros(n, np.int64)
    return Members(
        zeros if fold is None else fold,
        np.arange(n) if series is None else series,
        zeros if contrast is None else contrast,
        np.zeros(n, np.int8),
    )


def everything(n: int) -> NDArray[np.bool_]:
    return np.ones(n, bool)


def test_the_robust_scale_is_1_4826_times_the_median_deviation() -> None:
    # Median 3; deviations 2, 1, 0, 1, 97: their median is 1.
    assert robust_scale(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == pytest.approx(1.4826)


def test_z_is_the_distance_of_the_log_score_from_the_median_in_robust_scales() -> None:
    # Logarithms 0 to 4: median 2, median deviation 1; the last lies 2 / 1.4826 above.
    found = robust_z(np.exp([[0.0], [1.0], [2.0], [3.0], [4.0]]), everything(5), members(5))
    assert found.image_z[:, 0] == pytest.approx([-1.349, -0.6745, 0, 0.6745, 1.349], abs=1e-3)
    assert np.isneginf(found.series_z).all()


def test_images_are_compared_with_the_kept_ones_alone() -> None:
    scores = np.exp([[0.0], [1.0], [2.0], [3.0], [4.0], [50.0], [60.0]])
    kept = np.array([True] * 5 + [False] * 2)
    found = robust_z(scores, kept, members(7))
    assert found.image_z[5, 0] == pytest.approx(48 / 1.4826)


def test_a_score_of_zero_is_neither_usual_nor_unusual() -> None:
    found = robust_z(
        np.array([[0.0]] * 9 + [[1.0], [np.e], [np.e**2]]), everything(12), members(12)
    )
    # Logarithms 0, 1, 2 of those that are seen: median 1, median deviation 1.
    assert found.image_z[:9, 0].tolist() == [0.0] * 9
    assert found.image_z[9:, 0] == pytest.approx([-0.6745, 0, 0.6745], abs=1e-3)
    assert (robust_z(np.zeros((4, 1)), everything(4), members(4)).image_z == 0).all()


def test_a_channel_with_negative_values_is_compared_as_it_is() -> None:
    found = robust_z(np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]]), everything(5), members(5))
    assert found.image_z[:, 0] == pytest.approx([-1.349, -0.6745, 0, 0.6745, 1.349], abs=1e-3)


def test_scores_that_are_all_but_equal_have_no_outliers() -> None:
    scores = np.full((20, 1), 0.01)
    scores[3] *= 1.05
    assert robust_z(scores, everything(20), members(20)).highest().max() < 3.5


def test_each_contrast_is_compared_with_itself() -> None:
    rng = np.random.default_rng(0)
    logs = np.concatenate([rng.normal(0, 0.1, 50), rng.normal(3, 0.1, 50)])
    contrast = np.repeat([0, 1], 50)
    logs[0] = 2.0  # usual for the other contrast
    found = robust_z(np.exp(logs)[:, None], everything(100), members(100, contrast=contrast))
    assert found.image_z[0, 0] > 10
    assert found.image_z[50:].max() < 5


def test_a_contrast_of_few_images_is_compared_with_all() -> None:
    rng = np.random.default_rng(0)
    logs = np.concatenate([rng.normal(0, 0.1, 90), rng.normal(3, 0.1, 10)])
    contrast = np.repeat([0, 1], [90, 10])
    found = robust_z(np.exp(logs)[:, None], everything(100), members(100, contrast=contrast))
    assert found.image_z[90:, 0].min() > 10


def test_a_folds_network_that_scores_everything_higher_makes_no_outliers() -> None:
    rng = np.random.default_rng(0)
    fold = np.arange(200) % 4
    logs = rng.normal(0, 0.1, 200) + (fold == 2) * 1.0
    found = robust_z(np.exp(logs)[:, None], everything(200), members(200, fold=fold))
    assert np.median(found.image_z[fold == 2, 0]) == pytest.approx(0, abs=0.2)


def test_a_series_is_bad_as_a_whole_when_each_slice_is_a_little_bad() -> None:
    rng = np.random.default_rng(0)
    series = np.repeat(np.arange(60), 8)
    logs = rng.normal(0, 1, 480)
    logs[:8] = 2.5
    found = robust_z(np.exp(logs)[:, None], everything(480), members(480, series=series))
    assert found.image_z[:8].max() < 3.5 < found.series_z[:8].min()
    assert found.is_by_series()[:8].all()
    assert found.series_z[8:].max() < 3.5


def test_the_spread_of_series_counts_twenty_more_that_lie_as_far_apart_as_slices() -> None:
    # Five medians with a robust scale of 1.4826: (5 x 1.4826^2 + 20 x 1) / 25 = 1.2396.
    medians = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert series_spread(medians) == pytest.approx(np.sqrt(1.2396), abs=1e-4)


def test_a_series_of_two_slices_has_no_z_of_its_own() -> None:
    series = np.array([0, 0, 1, 1, 1])
    found = robust_z(np.exp(np.arange(5.0))[:, None], everything(5), members(5, series=series))
    assert np.isneginf(found.series_z[:2]).all()
    assert np.isfinite(found.series_z[2:]).all()


def test_an_image_a_little_worse_in_every_channel_stands_out_jointly() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 1, (300, 6))
    logs[0] = 2.2
    found = robust_z(np.exp(logs), everything(300), members(300))
    assert found.image_z[0, :6].max() < 3.5 < found.image_z[0, 6]
    assert found.channel()[0] == 6
    assert JOINT == "joint"


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        members(5, fold=np.zeros(4, np.int64))
