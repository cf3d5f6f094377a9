from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.cleaning.contamination import Contaminated, contaminate, principal_components
from tests.training.small import QUICK
from training.cleaning.folds import assign_folds, number_groups
from training.cleaning.outliers import Members
from training.cleaning.rca import Round, check_rounds, crossfit, percentile, remove_worst
from training.errors import Diverged, TooDirty, TooFewImages

BoolArray = NDArray[np.bool_]
ScoreArray = NDArray[np.float64]

CONFIG = replace(QUICK, folds=4, rounds=3)


def members_of(made: Contaminated, human_decision: dict[int, int] | None = None) -> Members:
    decisions = np.zeros(len(made.x), np.int8)
    for index, decision in (human_decision or {}).items():
        decisions[index] = decision
    return Members(
        fold=assign_folds(made.patients, CONFIG.folds, 0),
        series=number_groups(made.patients),
        contrast=made.contrast,
        human_decision=decisions,
    )


def out_of_fold(made: Contaminated, members: Members) -> Callable[[BoolArray, int], ScoreArray]:
    """Score each fold by principal components of the others' kept pictures."""

    def score_round(keep: BoolArray, number: int) -> ScoreArray:
        scores = np.zeros((len(made.x), 2))
        for fold in range(CONFIG.folds):
            chosen = members.fold == fold
            scores[chosen] = principal_components(made.x[keep & ~chosen], made.x[chosen])
        return scores

    return score_round


def clean(made: Contaminated, human_decision: dict[int, int] | None = None) -> tuple[Round, ...]:
    members = members_of(made, human_decision)
    return crossfit(out_of_fold(made, members), members, CONFIG)


def share_of_bad(made: Contaminated, keep: BoolArray) -> float:
    return float(made.bad[keep].mean())


@pytest.mark.parametrize("by_series", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.2])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.heavy)])
def test_planted_contamination_is_quarantined_even_as_whole_series(
    share: float, by_series: bool, seed: int
) -> None:
    made = contaminate(share, by_series=by_series, seed=seed)
    keep = clean(made)[-1].keep
    assert (~keep & made.bad).sum() >= 0.95 * made.bad.sum()
    assert made.bad[~keep].mean() >= 0.75
    assert share_of_bad(made, keep) < 0.01


@pytest.mark.parametrize("by_series", [False, True])
@pytest.mark.parametrize(
    "share", [0.0, 0.1, *(pytest.param(each, marks=pytest.mark.heavy) for each in (0.02, 0.2))]
)
def test_no_round_leaves_the_set_dirtier_than_it_was(share: float, by_series: bool) -> None:
    for seed in range(3):
        made = contaminate(share, by_series=by_series, seed=seed)
        for done in clean(made):
            assert share_of_bad(made, done.keep) <= made.bad.mean()


def test_the_plain_loop_loses_more_good_pictures_and_finds_fewer_bad_ones() -> None:
    made = contaminate(0.2, by_series=True)

    def in_sample(keep: BoolArray, number: int) -> ScoreArray:
        return principal_components(made.x[keep], made.x)

    config = replace(CONFIG, remove_percent=10)
    plain = percentile(in_sample, np.zeros(len(made.x), np.int8), config)[-1].keep
    crossed = clean(made)[-1].keep
    assert (~plain & ~made.bad).sum() > (~crossed & ~made.bad).sum()
    assert (~plain & made.bad).sum() < (~crossed & made.bad).sum()


def test_a_quarantined_picture_comes_back_when_it_no_longer_stands_out() -> None:
    # Six pictures of an unusual patient: with a tenth of the others spoilt, they are outliers.
    made = contaminate(0.1, by_series=True, seed=3)
    first, *_, last = clean(made)
    came_back = ~first.keep & last.keep
    assert came_back.any()
    assert not made.bad[came_back].any()


def table(scores: list[list[float]]) -> Callable[[BoolArray, int], ScoreArray]:
    """Scores that are known beforehand: one list a round."""
    return lambda keep, number: np.array(scores[number - 1])[:, None]


def alone(n: int, human_decision: dict[int, int] | None = None) -> Members:
    """Pictures that have nothing to do with each other."""
    decisions = np.zeros(n, np.int8)
    for index, decision in (human_decision or {}).items():
        decisions[index] = decision
    return Members(np.arange(n) % 4, np.arange(n), np.zeros(n, np.int64), decisions)


SPREAD = np.exp(np.linspace(-1, 1, 39)).tolist()


def test_it_stops_when_labels_have_settled() -> None:
    scores = [*SPREAD, 1e3]
    rounds = crossfit(table([scores] * 3), alone(40), CONFIG)
    assert len(rounds) == 2  # the first puts one away, the second changes nothing
    assert np.flatnonzero(~rounds[-1].keep).tolist() == [39]


def test_it_stops_after_the_rounds_that_are_allowed() -> None:
    # Another image is bad in each round.
    scores = [[*SPREAD[:k], 1e3, *SPREAD[k + 1 :], 1.0] for k in range(3)]
    rounds = crossfit(table(scores), alone(40), CONFIG)
    assert [np.flatnonzero(~done.keep).tolist() for done in rounds] == [[0], [1], [2]]


def test_a_share_of_outliers_above_the_cap_is_a_question() -> None:
    scores = [*SPREAD[:26], *[1e6] * 14]
    seen: list[Round] = []
    with pytest.raises(TooDirty, match=r"14 of 40 images \(35%\), more than --cap 0.3 allows"):
        crossfit(table([scores]), alone(40), CONFIG, on_round=seen.append)
    assert len(seen) == 1  # what the audit shows


def test_what_a_person_dropped_does_not_count_for_the_cap() -> None:
    scores = [*SPREAD[:26], *[1e6] * 14]
    dropped = dict.fromkeys(range(26, 40), -1)
    rounds = crossfit(table([scores] * 3), alone(40, dropped), CONFIG)
    assert np.flatnonzero(~rounds[-1].keep).tolist() == list(range(26, 40))


def test_a_human_decision_wins_over_the_cut_both_ways() -> None:
    scores = [*SPREAD, 1e3]
    rounds = crossfit(table([scores] * 3), alone(40, {39: 1, 0: -1}), CONFIG)
    assert np.flatnonzero(~rounds[-1].keep).tolist() == [0]


def test_a_picture_that_a_person_dropped_is_never_trained_on() -> None:
    trained: list[bool] = []

    def score_round(keep: BoolArray, number: int) -> ScoreArray:
        trained.append(bool(keep[5]))
        return np.array([*SPREAD, 1e3])[:, None]

    crossfit(score_round, alone(40, {5: -1}), CONFIG)
    assert trained == [False, False]


def test_only_the_channels_are_compared() -> None:
    scores = np.stack([[*SPREAD, 1.0], [*SPREAD, 1e9]], axis=1)
    members = alone(40)
    assert crossfit(lambda keep, n: scores, members, CONFIG, n_channels=1)[-1].keep.all()
    assert not crossfit(lambda keep, n: scores, members, CONFIG)[-1].keep[39]


def test_scores_that_are_not_numbers_stop_the_run() -> None:
    with pytest.raises(Diverged, match="round 1"):
        crossfit(table([[*SPREAD, np.nan]]), alone(40), CONFIG)


def test_dropping_nearly_everything_is_refused_before_any_training() -> None:
    with pytest.raises(TooFewImages, match="3 of 40 images are left"):
        crossfit(table([]), alone(40, dict.fromkeys(range(37), -1)), CONFIG)


def test_no_rounds_keep_everything() -> None:
    assert crossfit(table([]), alone(40), replace(CONFIG, rounds=0)) == ()


def test_the_top_percentile_of_those_still_kept_is_removed() -> None:
    errors = np.array([5.0, 1.0, 9.0, 3.0, 7.0, 2.0])
    keep = np.array([True, True, False, True, True, True])
    # 40 % of the five kept slices are two: errors 7 and 5; the 9 is gone already.
    assert remove_worst(errors, keep, 40).tolist() == [False, True, False, True, False, True]


def test_a_fraction_of_a_slice_is_not_removed() -> None:
    keep = np.ones(19, dtype=bool)
    assert remove_worst(np.arange(19.0), keep, 5).all()


def test_of_equal_errors_the_later_slice_goes() -> None:
    keep = remove_worst(np.ones(10), np.ones(10, dtype=bool), 20)
    assert np.flatnonzero(~keep).tolist() == [8, 9]


def test_the_plain_loop_removes_its_percentile_every_round_and_obeys_a_person() -> None:
    human_decision = np.zeros(40, np.int8)
    human_decision[[0, 39]] = -1, 1
    config = replace(CONFIG, remove_percent=10, rounds=2)
    rounds = percentile(table([np.arange(40.0).tolist()] * 2), human_decision, config)
    # 10 % of 39, then of 37: three each time; number 39 stays, as a person decided.
    assert np.flatnonzero(~rounds[0].keep).tolist() == [0, 37, 38]
    assert np.flatnonzero(~rounds[1].keep).tolist() == [0, 35, 36, 37, 38]


def test_rounds_that_would_empty_the_set_are_refused_before_training() -> None:
    with pytest.raises(TooFewImages, match="would leave 7 of 10 training images"):
        check_rounds(10, replace(QUICK, rounds=1, remove_percent=30))
    with pytest.raises(TooFewImages, match="lower --rounds"):
        check_rounds(1000, replace(QUICK, rounds=10, remove_percent=10))
    check_rounds(1000, replace(QUICK, rounds=3, remove_percent=10))
