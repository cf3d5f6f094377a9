"""Clean the images of a collection by the policy of a run, in a folder it can be resumed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.calibration.strata import Measured, stratum_of
from training.cleaning.folds import (
    FoldJob,
    Networks,
    TrainAndScore,
    assign_folds,
    number_groups,
    read_scores,
)
from training.cleaning.outliers import BoolArray, Members, ScoreArray
from training.cleaning.overrides import Override, human_decisions
from training.cleaning.rca import Round, crossfit, percentile
from training.cleaning.workers import OnSteps, run_jobs
from training.config import FitConfig
from training.data.headers import Source
from training.data.training_set import IndexArray
from training.errors import TooFewImages

OnRound = Callable[[Round], None]

_SMALLEST_FOLD_TRAINING = 4
_NO_MEASURE = Measured(canal_contrast=0.0, vertebra_share=0.0)


@dataclass(frozen=True)
class Setup:
    """What all trainings of one cleaning have in common.

    Args:
        train_and_score: one fold's training; importable by name from another process.
        n_channels: how many columns of the scores, from the first, are worse the higher they are.
        inputs: the .npy file of the model inputs of a collection.
        labels: the .npy file of their tissues.
        networks: shapes of the autoencoder and the inspector.
        config: everything about cleaning and training.
        folder: of the run.
        device: "cpu" or "cuda".
        threads: of the CPU; folds share them.
    """

    train_and_score: TrainAndScore
    n_channels: int
    inputs: Path
    labels: Path
    networks: Networks
    config: FitConfig
    folder: Path
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Cleaned:
    """The outcome of a cleaning; all arrays are of the images it was given, in their order.

    Args:
        rounds: of the cleaning.
        keep: the images to train the final detector on, [N].
        scores: of every image by networks that never saw its patient, [N, K].
    """

    rounds: tuple[Round, ...]
    keep: BoolArray
    scores: ScoreArray


def clean(
    chosen: IndexArray,
    members: Members,
    setup: Setup,
    *,
    on_round: OnRound = lambda done: None,
    on_steps: OnSteps = lambda job, metrics: None,
) -> Cleaned:
    """Train, compute errors, remove, retrain, on some of the images.

    Args:
        chosen: which of the collection's images, sorted; held-out patients stay out.
        members: which of them belong together, from `gather`.
        setup: how to train and to score.
        on_round: called with each round.
        on_steps: called with each stretch of steps of each fold.

    Raises:
        TrainingError: too few images, too many outliers, a loss or a score out of bounds, a lost
            process.
    """
    config = setup.config

    def score_folds(keep: BoolArray, number: int) -> ScoreArray:
        jobs = fold_jobs(chosen, members, keep, number, setup)
        return _score(jobs, chosen, setup, on_steps)

    def score_all(keep: BoolArray, number: int) -> ScoreArray:
        jobs = [plain_job(chosen, members, keep, number, setup)]
        return _score(jobs, chosen, setup, on_steps)

    if config.policy == "percentile":
        rounds = percentile(score_all, members.human_decision, config, on_round=on_round)
    else:
        rounds = crossfit(
            score_folds, members, config, n_channels=setup.n_channels, on_round=on_round
        )
    keep = rounds[-1].keep if rounds else members.human_decision >= 0
    if config.policy == "crossfit" and rounds:
        scores = rounds[-1].scores
    else:
        # A network's scores of what it was trained on are too low to calibrate with.
        scores = score_folds(keep, len(rounds) + 1)
    return Cleaned(rounds, keep, scores)


def gather(
    sources: Sequence[Source],
    chosen: IndexArray,
    overrides: Sequence[Override],
    config: FitConfig,
) -> Members:
    """Find out which of the chosen images belong together, and what a person decided about them.

    Raises:
        TooFewImages: fewer patients than folds.
        WrongOverrides: a decision about an image that is not there.
    """
    own = [sources[index] for index in chosen]
    kinds = [stratum_of(source.facts, _NO_MEASURE) for source in own]
    return Members(
        fold=assign_folds([source.group for source in own], config.folds, config.seed),
        series=number_groups([source.series for source in own]),
        contrast=number_groups([f"{kind.contrast} {kind.acquisition}" for kind in kinds]),
        human_decision=human_decisions(overrides, sources)[chosen],
    )


def fold_jobs(
    chosen: IndexArray, members: Members, keep: BoolArray, number: int, setup: Setup
) -> list[FoldJob]:
    """Make the jobs of one round: each fold is scored by a network trained on the others.

    Raises:
        TooFewImages: hardly any images are left to train one of the folds on.
    """
    n_folds = int(members.fold.max()) + 1
    threads = max(1, setup.threads // _processes(n_folds, setup))
    trains = [keep & (members.fold != k) for k in range(n_folds)]
    if (smallest := min(int(train.sum()) for train in trains)) < _SMALLEST_FOLD_TRAINING:
        raise TooFewImages(
            f"round {number} would train a fold on {smallest} images; add images, or lower --folds"
        )
    return [
        replace(
            plain_job(chosen, members, train, number, setup),
            scored=chosen[members.fold == k],
            fold=k,
            folder=fold_folder(setup.folder, number, k),
            threads=threads,
        )
        for k, train in enumerate(trains)
    ]


def plain_job(
    chosen: IndexArray, members: Members, keep: BoolArray, number: int, setup: Setup
) -> FoldJob:
    """Make the one job of a round of the plain loop: it scores what it was trained on."""
    return FoldJob(
        inputs=setup.inputs,
        labels=setup.labels,
        train=chosen[keep],
        series=members.series[keep],
        kinds=members.contrast[keep],
        scored=chosen,
        networks=setup.networks,
        config=setup.config,
        round=number,
        fold=0,
        folder=setup.folder / f"round{number}" / "all",
        device=setup.device,
        threads=setup.threads,
    )


def fold_folder(folder: Path, number: int, fold: int) -> Path:
    """Name the folder of one fold of one round."""
    return folder / f"round{number}" / f"fold{fold}"


def _score(
    jobs: Sequence[FoldJob], chosen: IndexArray, setup: Setup, on_steps: OnSteps
) -> ScoreArray:
    """Run the jobs and put their scores together, [N, K]."""
    processes = _processes(len(jobs), setup)
    run_jobs(jobs, setup.train_and_score, processes=processes, on_steps=on_steps)
    found = [scores for job in jobs if (scores := read_scores(job)) is not None]
    assert len(found) == len(jobs), "run_jobs leaves the scores of every job"  # noqa: S101
    order = np.argsort(np.concatenate([job.scored for job in jobs]))
    return np.concatenate(found)[order]


def _processes(n_jobs: int, setup: Setup) -> int:
    # One GPU is not faster when it is shared.
    return min(n_jobs, setup.threads) if setup.device == "cpu" else 1
