from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from training.evaluation.statistics import (
    Draws,
    auroc,
    auroc_draws,
    average_precision,
    counted_bound,
    draw_groups,
    group_wins,
    interval,
    macro_draws,
    paired_win,
    patient_rate,
    sensitivity,
)


def test_auroc_counts_won_pairs_and_half_of_ties() -> None:
    # Pairs (1,2) (1,3) (2,2) (2,3): won, won, tie, won = 3.5 of 4.
    assert auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(0.875)


def test_wins_are_counted_between_groups() -> None:
    wins = group_wins(
        np.array([1.0, 2.0, 5.0]), np.array([0, 0, 1]), np.array([2.0, 3.0]), np.array([0, 1])
    )
    # 1 and 2 against 2: a win and a tie; against 3: two wins. Nothing beats 5.
    assert wins.tolist() == [[1.5, 2.0], [0.0, 0.0]]


def test_a_bootstrap_sample_weighs_each_patient_by_how_often_it_was_drawn() -> None:
    draws = Draws(("a", "b"), np.array([[1, 1], [2, 0], [0, 2]]))
    usual = (np.array([1.0, 4.0]), ["a", "b"])
    planted = (np.array([2.0, 3.0]), ["a", "b"])
    # All four pairs: 1<2, 1<3 won, 4>2, 4>3 lost. Only a with a: won. Only b with b: lost.
    assert auroc_draws(usual, planted, (draws, draws)).tolist() == [0.5, 1.0, 0.0]


def test_a_sample_without_unusual_images_has_no_auroc() -> None:
    draws = Draws(("a", "b"), np.array([[2, 0], [1, 1]]))
    areas = auroc_draws((np.ones(2), ["a", "b"]), (np.full(1, 2.0), ["b"]), (draws, draws))
    assert np.isnan(areas[0])
    assert areas[1] == 1.0
    assert interval(areas) == (1.0, 1.0)


def test_the_first_draw_of_all_patients_once_is_the_auroc_itself() -> None:
    rng = np.random.default_rng(0)
    usual, unusual = rng.normal(0, 1, 30), rng.normal(0.5, 1, 20)
    names = [f"p{i % 6}" for i in range(30)]
    draws = Draws(tuple(sorted(set(names))), np.ones((1, 6), dtype=np.int64))
    area = auroc_draws((usual, names), (unusual, names[:20]), (draws, draws))
    assert area[0] == pytest.approx(auroc(usual, unusual))


def test_as_many_patients_are_drawn_as_there_are() -> None:
    draws = draw_groups(["b", "a", "b", "c"], np.random.default_rng(1), 50)
    assert draws.names == ("a", "b", "c")
    assert (draws.counts.sum(axis=1) == 3).all()


def test_an_interval_is_wider_over_patients_than_over_slices() -> None:
    rng = np.random.default_rng(2)
    patient = np.repeat(rng.normal(0, 1, 10), 20)
    names = [f"p{i // 20}" for i in range(200)]
    slices = [str(i) for i in range(200)]

    def width(groups: list[str]) -> float:
        draws = draw_groups(groups, np.random.default_rng(3), 400)
        low, high = interval(
            auroc_draws((patient, groups), (patient[::-1] + 0.5, groups), (draws, draws))
        )
        return high - low

    assert width(names) > 2 * width(slices)


def test_an_interval_leaves_out_a_fortieth_at_each_end() -> None:
    assert interval(np.arange(101.0)) == (2.5, 97.5)


def test_a_macro_average_is_taken_within_each_draw() -> None:
    assert macro_draws([np.array([0.2, 0.8]), np.array([0.6, 1.0])]).tolist() == [0.4, 0.9]


def test_sensitivity_is_the_share_above_a_threshold_that_spares_the_usual() -> None:
    # 20 usual scores 1 to 20: 95 % of them, 19, do not exceed 19. Above 19: 19.5 and 30, not 19.
    usual = np.arange(1.0, 21.0)
    assert sensitivity(usual, np.array([3.0, 19.0, 19.5, 30.0])) == 0.5


def test_sensitivity_does_not_interpolate_with_few_usual_images() -> None:
    # Of 3 images 95 % are all of them: the threshold is the largest.
    assert sensitivity(np.array([1.0, 2.0, 10.0]), np.array([9.0, 11.0])) == 0.5


def test_a_pair_is_won_by_the_higher_score_and_halved_by_a_tie() -> None:
    assert paired_win(np.array([2.0, 1.0, 3.0, 0.0]), np.array([1.0, 1.0, 2.0, 5.0])) == 0.625


def test_average_precision_weighs_precision_by_the_gain_in_recall() -> None:
    # From high to low: hit, miss, hit. 1/2 * 1/1 + 1/2 * 2/3 = 5/6.
    mask = np.array([[True, False], [True, False]])
    scores = np.array([[0.9, 0.8], [0.7, 0.1]])
    assert average_precision(mask, scores) == pytest.approx(5 / 6)


def test_a_map_of_one_value_gets_the_share_of_true_pixels() -> None:
    mask = np.array([True, False, False, False])
    assert average_precision(mask, np.zeros(4)) == 0.25


def test_a_patient_counts_once_however_many_slices_it_has() -> None:
    # Patient a: 1 of 3 slices; patient b: its only slice. (1/3 + 1) / 2.
    flags = np.array([True, False, False, True])
    assert patient_rate(flags, ["a", "a", "a", "b"]) == pytest.approx(2 / 3)


def test_the_bound_on_counted_alarms_is_beta_binomial() -> None:
    # n = 19, rate 0.05: k = 1, Beta(1, 19). One new patient alarms with probability 1/20 <= 0.1: 0.
    assert counted_bound(19, 1, 0.05) == 0.0
    # Two new patients: P(no alarm) = 19/21 = .905 (mean of (1-p)^2) >= 0.9: still 0.
    assert counted_bound(19, 2, 0.05) == 0.0
    # Three: 19/22 = .864 < 0.9, so one alarm of three is within the bound.
    assert counted_bound(19, 3, 0.05) == pytest.approx(1 / 3)


def test_the_bound_on_very_many_new_patients_is_that_of_the_true_rate() -> None:
    # With 100 calibration patients the 90 % bound of the realised rate is 7.8 %.
    expected = beta.ppf(0.9, 5, 96)
    assert expected == pytest.approx(0.078, abs=0.001)
    assert counted_bound(100, 100_000, 0.05) == pytest.approx(expected, abs=1e-3)


def test_too_few_calibration_patients_can_raise_no_alarm_at_all() -> None:
    assert counted_bound(10, 50, 0.05) == 0.0
