from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.small import NETWORK, QUICK, weights
from training.errors import TooFewImages
from training.fit import EpochMetrics
from training.rca import check_rounds, clean, remove_worst

FloatArray = NDArray[np.float32]


def test_planted_contamination_is_removed(usual: FloatArray) -> None:
    x = usual[:32].copy()
    bad = [4, 11, 20]
    x[bad] = np.random.default_rng(0).random((3, 1, 64, 64), dtype=np.float32)
    config = replace(QUICK, epochs=15, remove_percent=10)
    cleaned = clean(x, usual[32:], NETWORK, config)
    assert np.flatnonzero(~cleaned.keep).tolist() == bad
    assert cleaned.errors[bad].min() > cleaned.errors[cleaned.keep].max()


def test_every_round_ends_with_a_retraining_from_new_weights(usual: FloatArray) -> None:
    cleaned = clean(usual[:32], usual[32:], NETWORK, replace(QUICK, rounds=2))
    assert [len(cleaned.rounds), cleaned.history[-1].round] == [2, 2]
    assert [m.round for m in cleaned.history] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = [m.train_mse for m in cleaned.history if m.epoch == 1]
    assert min(first) > cleaned.history[2].train_mse


def test_no_rounds_is_one_training_that_keeps_everything(usual: FloatArray) -> None:
    cleaned = clean(usual[:32], usual[32:], NETWORK, replace(QUICK, rounds=0))
    assert cleaned.keep.all()
    assert cleaned.rounds == ()


@pytest.mark.parametrize("killed_in", [(0, 2), (1, 1), (1, 3)])
def test_a_resumed_cleaning_equals_an_uninterrupted_one(
    usual: FloatArray, tmp_path: Path, killed_in: tuple[int, int]
) -> None:
    whole = clean(usual[:32], usual[32:], NETWORK, QUICK)

    def kill(metrics: EpochMetrics) -> None:
        if (metrics.round, metrics.epoch) == killed_in:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean(usual[:32], usual[32:], NETWORK, QUICK, checkpoints=tmp_path, on_epoch=kill)
    resumed = clean(usual[:32], usual[32:], NETWORK, QUICK, checkpoints=tmp_path)
    assert weights(resumed.network) == weights(whole.network)
    assert np.array_equal(resumed.keep, whole.keep)
    assert np.array_equal(resumed.errors, whole.errors)


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


def test_rounds_that_would_empty_the_set_are_refused_before_training() -> None:
    with pytest.raises(TooFewImages, match="would leave 7 of 10 training images"):
        check_rounds(10, replace(QUICK, rounds=1, remove_percent=30))
    with pytest.raises(TooFewImages, match="lower --rounds"):
        check_rounds(1000, replace(QUICK, rounds=10, remove_percent=10))
    check_rounds(1000, replace(QUICK, rounds=3, remove_percent=10))
