"""Clean the training set: train, compute reconstruction errors, remove the worst, retrain.

RCA is the Reconstruction-based Cleaning Autoencoder. `crossfit` lets no network judge what it was
trained on, nor anything of the same patient; `percentile` is the plain loop, kept to compare with.
Every round starts from new weights: warm ones would remember what was removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.cleaning.outliers import BoolArray, Judged, Members, ScoreArray, judge
from training.config import FitConfig
from training.data.split import SMALLEST_TRAINING_SET
from training.errors import Diverged, TooDirty, TooFewImages

# (which images to train on, number of the round from 1) -> scores of all images, [N, C].
ScoreRound = Callable[[BoolArray, int], ScoreArray]


@dataclass(frozen=True)
class Round:
    """One cleaning.

    Args:
        scores: of all images, by the networks of this round, higher is worse, [N, C].
        judged: their robust z-scores; None in the plain loop, which has none.
        keep: which images the next training may see, [N].
    """

    scores: ScoreArray
    judged: Judged | None
    keep: BoolArray


def crossfit(
    score_round: ScoreRound,
    members: Members,
    config: FitConfig,
    *,
    n_channels: int | None = None,
    on_round: Callable[[Round], None] = lambda done: None,
) -> tuple[Round, ...]:
    """Quarantine the images whose out-of-fold scores stand out, until that settles.

    Every round trains on what is kept, scores everything, and decides anew about every image: one
    that is no longer an outlier once the others are gone comes back.

    Args:
        score_round: trains and scores; no image may be scored by a network that saw its patient.
        members: what belongs together, and what a person decided.
        config: rounds at most, cut, cap, and when it has settled.
        n_channels: how many of the scores' columns, from the first, are judged; all by default.
        on_round: called with each round, also the one that is then found too dirty.

    Returns:
        The rounds; the last one's `keep` is the cleaned set, its `scores` are out of fold.

    Raises:
        TooDirty: more than the cap would be quarantined.
        TooFewImages: too few would be left to train on.
        Diverged: a score is not a number.
    """
    keep = members.forced >= 0
    _check_size(keep)
    rounds: list[Round] = []
    for number in range(1, config.rounds + 1):
        scores = score_round(keep, number)
        if not np.isfinite(scores).all():
            raise Diverged(f"round {number} gave scores that are no numbers")
        judged = judge(scores[:, :n_channels], keep, members)
        decided = decide(judged, members, config.cut)
        rounds.append(Round(scores, judged, decided))
        on_round(rounds[-1])
        _check_cap(decided, members, number, config.cap)
        n_changed = int((decided != keep).sum())
        keep = decided
        if n_changed < config.settled * len(keep):
            break
    return tuple(rounds)


def decide(judged: Judged, members: Members, cut: float) -> BoolArray:
    """Keep what lies within the cut, alone and with its series, unless a person decided; [N]."""
    keep = judged.highest() <= cut
    keep[members.forced > 0] = True
    keep[members.forced < 0] = False
    return keep


def percentile(
    score_round: ScoreRound,
    forced: NDArray[np.int8],
    config: FitConfig,
    *,
    on_round: Callable[[Round], None] = lambda done: None,
) -> tuple[Round, ...]:
    """Run the plain loop: train, score what was trained on, drop the top percentile, again.

    Args:
        score_round: trains and scores; only the first column of its scores counts.
        forced: a person's decisions: 1 keep, -1 drop, 0 none, [N].
        config: rounds and percent.
        on_round: called with each round.

    Raises:
        TooFewImages: the rounds would leave too few images.
    """
    keep = forced >= 0
    check_rounds(int(keep.sum()), config)
    rounds: list[Round] = []
    for number in range(1, config.rounds + 1):
        scores = score_round(keep, number)
        keep = remove_worst(scores[:, 0], keep, config.remove_percent) | (forced > 0)
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
    """Count what the rounds of the plain loop will leave before any hour is spent on them.

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
            f"{keep.sum()} of {len(keep)} images are left to train on; it takes"
            f" {SMALLEST_TRAINING_SET} at least"
        )


def _check_cap(keep: BoolArray, members: Members, number: int, cap: float) -> None:
    """Stop where the outliers are so many that the question is which side is the usual one."""
    # What a person dropped was no judgement of ours.
    quarantined = int((~keep & (members.forced == 0)).sum())
    judged = int((members.forced >= 0).sum())
    if quarantined > cap * judged:
        raise TooDirty(
            f"round {number} would quarantine {quarantined} of {judged} images"
            f" ({quarantined / judged:.0%}), more than --cap {cap:g} allows: are these the images"
            " you meant? audit.html shows them; leave folders out with --exclude, decide in"
            " overrides.csv, or raise --cap"
        )
    _check_size(keep)
