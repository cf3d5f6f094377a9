"""Clean the training set: train, compute reconstruction errors, remove the worst, retrain.

RCA is the Reconstruction-based Cleaning Autoencoder. With `crossfit` no network scores an image
that it was trained on, nor any other image of the same patient; `percentile` is the plain loop,
kept for comparison. Every round starts from new weights: warm ones would remember what was removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.cleaning.outliers import BoolArray, Members, RobustZ, ScoreArray, robust_z
from training.config import FitConfig
from training.data.split import SMALLEST_TRAINING_SET
from training.errors import Diverged, TooDirty, TooFewImages

# (which images to train on, number of the round from 1) -> scores of all images, [N, C].
ScoreRound = Callable[[BoolArray, int], ScoreArray]


@dataclass(frozen=True)
class Round:
    """One round of cleaning.

    Args:
        scores: of all images, by the networks of this round, higher is worse, [N, C].
        z: how far they stand out; None in the plain loop, which has no such measure.
        keep: which images the next training may see, [N].
    """

    scores: ScoreArray
    z: RobustZ | None
    keep: BoolArray


def crossfit(
    score_round: ScoreRound,
    members: Members,
    config: FitConfig,
    *,
    n_channels: int | None = None,
    on_round: Callable[[Round], None] = lambda done: None,
) -> tuple[Round, ...]:
    """Quarantine the images whose out-of-fold scores stand out, until the selection settles.

    Every round trains on the kept images, scores all images and looks at each of them again: one
    that is no longer an outlier once the others are gone comes back.

    Args:
        score_round: trains and scores; no image may be scored by a network that saw its patient.
        members: what belongs together, and what a person decided.
        config: largest number of rounds, cut, cap, and when the selection has settled.
        n_channels: how many of the scores' columns, from the first, are compared; all by default.
        on_round: called with each round, including one that then turns out to be too dirty.

    Returns:
        The rounds; the last one's `keep` is the cleaned set, its `scores` are out of fold.

    Raises:
        TooDirty: more than the cap would be quarantined.
        TooFewImages: too few would be left to train on.
        Diverged: a score is not a number.
    """
    keep = members.human_decision >= 0
    _check_size(keep)
    rounds: list[Round] = []
    for number in range(1, config.rounds + 1):
        scores = score_round(keep, number)
        if not np.isfinite(scores).all():
            raise Diverged(f"round {number} gave scores that are not numbers")
        z = robust_z(scores[:, :n_channels], keep, members)
        selected = keep_within_cut(z, members, config.cut)
        rounds.append(Round(scores, z, selected))
        on_round(rounds[-1])
        _check_cap(selected, members, number, config.cap)
        n_changed = int((selected != keep).sum())
        keep = selected
        if n_changed < config.settled * len(keep):
            break
    return tuple(rounds)


def keep_within_cut(z: RobustZ, members: Members, cut: float) -> BoolArray:
    """Keep an image if it and its series lie within the cut, or as a person decided; [N]."""
    keep = z.highest() <= cut
    keep[members.human_decision > 0] = True
    keep[members.human_decision < 0] = False
    return keep


def percentile(
    score_round: ScoreRound,
    human_decision: NDArray[np.int8],
    config: FitConfig,
    *,
    on_round: Callable[[Round], None] = lambda done: None,
) -> tuple[Round, ...]:
    """Run the plain loop: train, score what was trained on, drop the top percentile, again.

    Args:
        score_round: trains and scores; only the first column of its scores counts.
        human_decision: 1 keep, -1 drop, 0 none, [N].
        config: rounds and percent.
        on_round: called with each round.

    Raises:
        TooFewImages: the rounds would leave too few images.
    """
    keep = human_decision >= 0
    check_rounds(int(keep.sum()), config)
    rounds: list[Round] = []
    for number in range(1, config.rounds + 1):
        scores = score_round(keep, number)
        keep = remove_worst(scores[:, 0], keep, config.remove_percent) | (human_decision > 0)
        rounds.append(Round(scores, None, keep))
        on_round(rounds[-1])
    return tuple(rounds)


def remove_worst(errors: ScoreArray, keep: BoolArray, percent: float) -> BoolArray:
    """Drop the top percentile of the slices that are still kept.

    Args:
        errors: of all slices, [N].
        keep: which are kept so far, [N].
        percent: share of the kept ones to drop; a fraction of a slice is not dropped.

    Returns:
        Which are kept now, [N]. Of equal errors the later slice goes first.
    """
    kept = np.flatnonzero(keep)
    n_remove = int(len(kept) * percent / 100)
    worst = kept[np.argsort(errors[kept], kind="stable")[len(kept) - n_remove :]]
    left = keep.copy()
    left[worst] = False
    return left


def check_rounds(n_images: int, config: FitConfig) -> None:
    """Check how many images the rounds of the plain loop will leave, before time is spent on them.

    Raises:
        TooFewImages: fewer than 8 slices would be left, or more than half would be removed.
    """
    left = n_images
    for _ in range(config.rounds):
        left -= int(left * config.remove_percent / 100)
    if left < SMALLEST_TRAINING_SET or left < n_images / 2:
        raise TooFewImages(
            f"{config.rounds} rounds at {config.remove_percent:g} % would leave {left} of"
            f" {n_images} training images; lower --rounds or --remove-percent"
        )


def _check_size(keep: BoolArray) -> None:
    if keep.sum() < SMALLEST_TRAINING_SET:
        raise TooFewImages(
            f"{keep.sum()} of {len(keep)} images are left to train on; at least"
            f" {SMALLEST_TRAINING_SET} are needed"
        )


def _check_cap(keep: BoolArray, members: Members, number: int, cap: float) -> None:
    """Stop if there are so many outliers that it is unclear which side is the usual one."""
    # What a person dropped is not an outlier that cleaning found.
    quarantined = int((~keep & (members.human_decision == 0)).sum())
    compared = int((members.human_decision >= 0).sum())
    if quarantined > cap * compared:
        raise TooDirty(
            f"round {number} would quarantine {quarantined} of {compared} images"
            f" ({quarantined / compared:.0%}), more than --cap {cap:g} allows: are these the images"
            " you meant? audit.html shows them; leave folders out with --exclude, decide in"
            " overrides.csv, or raise --cap"
        )
    _check_size(keep)
