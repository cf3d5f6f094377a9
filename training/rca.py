"""Clean the training set: train, compute reconstruction errors, remove the worst, retrain.

RCA is the Reconstruction-based Cleaning Autoencoder. Every round starts from new weights: warm
ones would remember what was removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.autoencoder import Autoencoder
from model.spec import AutoencoderConfig
from training.config import FitConfig
from training.errors import TooFewImages
from training.fit import EpochMetrics, Fitted, fit, reconstruction_errors
from training.split import SMALLEST_TRAINING_SET

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Train = Callable[[FloatArray, int], Fitted]


@dataclass(frozen=True)
class Round:
    """One cleaning: errors of all training slices, and which are left after it; both [N]."""

    errors: NDArray[np.float64]
    keep: BoolArray


@dataclass(frozen=True)
class Cleaned:
    """The network trained last, which slices it was trained on, and how that came about."""

    network: Autoencoder
    keep: BoolArray
    rounds: tuple[Round, ...]
    errors: NDArray[np.float64]  # of all training slices, by the last network, [N]
    history: tuple[EpochMetrics, ...]


def clean(
    x: FloatArray,
    x_validation: FloatArray,
    network_config: AutoencoderConfig,
    config: FitConfig,
    *,
    device: str = "cpu",
    checkpoints: Path | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
) -> Cleaned:
    """Run the four steps for `config.rounds` rounds; the last step is always a training.

    The validation slices stay as they come: a threshold taken from cleaned slices alarms too often
    on slices that nobody cleaned.

    Args:
        x: training slices, [N, 1, S, S] in [0, 1].
        x_validation: slices to watch, same form.
        network_config: shape of the network.
        config: rounds, percent and everything about one training.
        device: "cpu" or "cuda".
        checkpoints: folder; trainings in it are continued or, if complete, not repeated.
        on_epoch: called after every epoch.

    Raises:
        TooFewImages: cleaning would leave too few slices.
    """
    check_rounds(len(x), config)
    keep, rounds, history = np.ones(len(x), dtype=bool), list[Round](), list[EpochMetrics]()

    def train(x_kept: FloatArray, round_number: int) -> Fitted:
        return fit(
            x_kept,
            x_validation,
            network_config,
            config,
            round_number=round_number,
            device=device,
            checkpoint=checkpoints / f"round{round_number}.safetensors" if checkpoints else None,
            on_epoch=on_epoch,
        )

    fitted = train(x, 0)
    for round_number in range(1, config.rounds + 1):
        history += fitted.history
        errors = reconstruction_errors(fitted.network, x)
        keep = remove_worst(errors, keep, config.remove_percent)
        rounds.append(Round(errors, keep))
        fitted = train(x[keep], round_number)
    history += fitted.history
    errors = reconstruction_errors(fitted.network, x)
    return Cleaned(fitted.network, keep, tuple(rounds), errors, tuple(history))


def remove_worst(errors: NDArray[np.float64], keep: BoolArray, percent: float) -> BoolArray:
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
    """Count what the rounds will leave before any hour is spent on them.

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
