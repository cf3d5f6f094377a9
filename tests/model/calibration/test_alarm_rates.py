"""How many patients a rate takes, and the bound of what it realises."""

from __future__ import annotations

import math

import pytest
from scipy.stats import beta

from model.calibration.alarm_rates import TooFewPatients, check_rate, patients_needed, rate_bound


def test_the_smallest_p_value_of_n_patients_is_1_of_n_plus_1() -> None:
    assert [patients_needed(rate) for rate in (0.05, 0.01, 1 / 3, 0.5, 0.9)] == [19, 99, 2, 1, 1]
    assert patients_needed(1e-320) > 10**14


def test_a_rate_that_too_few_patients_hold_says_how_many_it_takes() -> None:
    check_rate(0.05, 19)
    with pytest.raises(
        TooFewPatients, match=r"0\.05 takes 19 calibration patients, and there are 18"
    ):
        check_rate(0.05, 18)
    with pytest.raises(TooFewPatients, match="and there are 0"):
        check_rate(0.05, 0)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan, math.inf])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        check_rate(rate, 1000)


@pytest.mark.parametrize(("n", "percent"), [(100, 7.8), (300, 6.6), (1000, 5.9)])
def test_nine_of_ten_calibrations_stay_below_the_bound(n: int, percent: float) -> None:
    assert round(100 * rate_bound(0.05, n), 1) == percent


@pytest.mark.parametrize("n", [19, 60, 99, 100, 434, 20_000])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.97])
def test_the_bound_is_the_quantile_of_a_beta_distribution(rate: float, n: int) -> None:
    k = math.floor(round(rate * (n + 1), 6))
    assert rate_bound(rate, n) == pytest.approx(beta.ppf(0.9, k, n + 1 - k), rel=1e-9)


def test_one_patient_and_a_half_has_its_bound_at_the_quantile_of_a_uniform() -> None:
    # Beta(1, 1): 90 % of it lies below .9.
    assert rate_bound(0.5, 1) == pytest.approx(0.9)
