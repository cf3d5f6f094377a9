"""P-values: by hand, against a plain loop, and exact by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from model.calibration.conformal import make_peers, p_values, tail_shares

Floats = NDArray[np.float64]


def column(*scores: float) -> Floats:
    return np.array(scores)[:, None]


def each_its_own(n: int) -> NDArray[np.int64]:
    return np.arange(n)


def test_one_channel_gives_the_usual_p_value() -> None:
    # Of 0 to 8 two are as high as 6.5 or higher: (1 + 2) / (9 + 1).
    peers = make_peers(column(*range(9)), each_its_own(9))
    assert p_values(peers, np.array([6.5])).combined == 0.3


def test_ties_count_as_higher() -> None:
    peers = make_peers(column(*range(9)), each_its_own(9))
    assert p_values(peers, np.array([6.0])).combined == 0.4
    assert p_values(peers, np.array([-1.0])).combined == 1.0


def test_identical_scores_are_all_alike() -> None:
    peers = make_peers(np.ones((20, 3)), each_its_own(20))
    assert p_values(peers, np.ones(3)).combined == 1.0
    assert p_values(peers, np.full(3, 2.0)).combined == 1 / 21


def test_a_patient_counts_once_however_many_slices_it_has() -> None:
    # Patient 0 has four slices, two at or above 5: weight 2/4. Patients 1 and 2: one slice above 5.
    # (1 + .5 + 1) / (3 + 1) = .625
    scores = column(9, 6, 1, 2, 3, 8)
    peers = make_peers(scores, np.array([0, 0, 0, 0, 1, 2]))
    assert peers.n_patients == 3
    assert p_values(peers, np.array([5.0])).combined == 0.625


def test_one_patient_allows_no_p_value_below_a_half() -> None:
    peers = make_peers(column(1, 2, 3), np.zeros(3, np.int64))
    assert p_values(peers, np.array([99.0])).combined == 0.5


def test_two_channels_are_one_comparison_in_the_set_of_all() -> None:
    # Patients a, b, c and the new one. Channel 0: 1, 2, 9 and 3; channel 1: 9, 2, 1 and 3.
    # The tail would hold five patients, so it holds all four and begins at 1 on both channels. The
    # excesses are 0, 1, 8, 2 and 8, 1, 0, 2; each sums to 11. The smaller share is exp(-4 * 8 / 11)
    # for a and c, exp(-4 / 11) for b, exp(-4 * 2 / 11) for the new one: a and c are as extreme.
    peers = make_peers(np.array([[1.0, 9], [2, 2], [9, 1]]), each_its_own(3))
    found = p_values(peers, np.array([3.0, 3.0]))
    np.testing.assert_allclose(found.channels, math.exp(-8 / 11))
    assert found.combined == (1 + 2) / 4


def test_beyond_the_tenth_a_share_falls_with_the_distance() -> None:
    # 0 to 98 and a new 100: the tail of 100 patients holds the ten from 90 on, which is 89 + 1.
    # Excesses 1 to 8 and the new 10 sum to 46, the mean is 4.6: .1 * exp(-10 / 4.6).
    peers = make_peers(column(*range(99)), each_its_own(99))
    found = p_values(peers, np.array([100.0]))
    assert found.channels[0] == pytest.approx(0.1 * math.exp(-10 / 4.6), rel=1e-9)
    assert found.combined == 0.01


def test_the_channel_that_speaks_is_the_one_with_the_smallest_share() -> None:
    rng = np.random.default_rng(0)
    peers = make_peers(rng.normal(size=(100, 3)), each_its_own(100))
    # Both lie beyond all calibration slices; the second lies further.
    assert p_values(peers, np.array([4.0, 8.0, 0.0])).most_extreme == 1


def test_only_the_order_of_a_single_channel_matters() -> None:
    rng = np.random.default_rng(1)
    scores, new = rng.normal(size=(50, 1)), rng.normal(size=20)
    plain, bent = (make_peers(f(scores), each_its_own(50)) for f in (np.asarray, np.exp))
    for score in new:
        a, b = p_values(plain, np.array([score])), p_values(bent, np.exp([score]))
        assert a.combined == b.combined == (1 + (scores >= score).sum()) / 51


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    peers = make_peers(np.zeros((5, 2)), each_its_own(5))
    with pytest.raises(ValueError, match="2 finite channel scores"):
        p_values(peers, np.array([0.0, bad]))


def test_a_channel_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="2 finite channel scores"):
        p_values(make_peers(np.zeros((5, 2)), each_its_own(5)), np.zeros(3))


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("has_ties", [False, True])
def test_the_fast_way_gives_what_the_whole_set_gives(slices: int, has_ties: bool) -> None:
    rng = np.random.default_rng(slices)
    for _ in range(50):
        n = int(rng.integers(1, 60))
        scores = rng.integers(0, 20, (n, 3)).astype(float) if has_ties else rng.gamma(1, 1, (n, 3))
        new = scores[0] if has_ties else rng.gamma(1, 2, 3)
        patients = each_its_own(n) // slices
        found = p_values(make_peers(scores, patients), new)
        whole = tail_shares(np.vstack([scores, new]), np.append(patients, 999))
        weights = 1 / np.bincount(patients)[patients]
        is_alike = whole[:-1].min(axis=1) <= whole[-1].min() * (1 + 1e-9)
        np.testing.assert_allclose(found.channels, whole[-1])
        assert found.combined == pytest.approx((1 + weights @ is_alike) / (patients[-1] + 2))


def realised(rate: float, *, n_patients: int, n_slices: int, n_channels: int) -> float:
    """Share of new slices that alarm, over 200 calibrations with 10 new patients each."""
    rng = np.random.default_rng(7)
    alarms = []
    for _ in range(200):
        # Patients differ, slices of a patient are alike, channels are skewed as errors are.
        patient = rng.normal(size=(n_patients + 10, 1, n_channels))
        scores = np.exp(patient + rng.normal(size=(n_patients + 10, n_slices, n_channels)))
        old = scores[:n_patients].reshape(-1, n_channels)
        peers = make_peers(old, np.repeat(np.arange(n_patients), n_slices))
        alarms += [p_values(peers, new[0]).combined <= rate for new in scores[n_patients:]]
    return float(np.mean(alarms))


@pytest.mark.parametrize("n_channels", [1, 6])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_alarm_rate_is_kept_however_many_channels_speak(rate: float, n_channels: int) -> None:
    # 2000 draws: a standard error of .005 at 5 %, and k / (n + 1) can be as low as .049.
    found = realised(rate, n_patients=60, n_slices=1, n_channels=n_channels)
    assert found == pytest.approx(rate, abs=3 * math.sqrt(rate * (1 - rate) / 2000) + 0.01)


def test_the_alarm_rate_is_not_exceeded_where_patients_have_several_slices() -> None:
    assert 0.02 < realised(0.05, n_patients=60, n_slices=4, n_channels=6) < 0.065
