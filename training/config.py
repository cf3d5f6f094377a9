"""The choices of one training run, each with its reason; saved in run.json beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("crossfit", "percentile")


@dataclass(frozen=True)
class FitConfig:
    """What `fit` needs to know beside the data and the shape of the network."""

    epochs: int = 150
    """Validation MSE of 434 real slices fell from .0242 at 60 epochs to .0214 at 120, and is flat
    at the end of 150; about a second an epoch on two idle cores."""

    batch_size: int = 16
    """Enough for batch normalisation, small enough for 20 steps an epoch on 300 slices."""

    learning_rate: float = 2e-3
    """Twice as much gave a validation MSE of .0237 against .0242 at 60 epochs: within the noise."""

    weight_decay: float = 0.05
    """Meant for the wide layers around the code, which could memorise slices; not tuned."""

    warmup_epochs: int = 3
    """Batch statistics of the first steps are poor; not tuned."""

    policy: str = "crossfit"
    """How the training set is cleaned; `percentile` is the plain loop, kept for comparison."""

    rounds: int = 3
    """Cleanings: train, compute errors, remove, retrain. Crossfit stops earlier where labels have
    settled; the plain loop runs them all. 0 removes nothing."""

    folds: int = 4
    """Crossfit: each image is scored by a network trained on the three quarters it is not in. More
    folds train on more and cost more."""

    cut: float = 3.5
    """Crossfit: largest robust z that is not an outlier (Iglewicz & Hoaglin, 1993)."""

    cap: float = 0.30
    """Crossfit: quarantining a larger share stops the run with a question: a median of mostly bad
    images calls the good ones outliers."""

    settled: float = 0.01
    """Crossfit: stop when a round changes the label of fewer images than this share."""

    remove_percent: float = 5.0
    """Plain loop: share of the current training slices removed in a round, the worst; a guess at
    how many are bad, as is any fixed share."""

    validation_fraction: float = 0.15
    """Patients whose slices watch the training and set the threshold."""

    holdout_fraction: float = 0.15
    """Patients that nothing is chosen on: every reported number comes from them."""

    percentile: float = 95.0
    """Of the validation slices' MSE, the default threshold: 5 alarms per 100 usual slices."""

    seed: int = 0
    """Split, weights, order and augmentation all follow from it."""

    shift: float = 0.04
    """Augmentation: largest shift, as a share of the side. Twice the shift and zoom rebuilt
    held-out patients no better and left 33 % of axial images above them instead of 73 %."""

    zoom: float = 0.06
    """Augmentation: largest change of scale. No rotation and no flips: those are anomalies."""

    gain: float = 0.10
    """Augmentation: largest change of brightness and of gamma, as between coils and windows."""

    checkpoint_epochs: int = 10
    """Epochs between checkpoints: at most this much work is lost."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if min(self.epochs, self.batch_size, self.checkpoint_epochs) < 1 or self.rounds < 0:
            raise ValueError("epochs, batch_size and checkpoint_epochs start at 1, rounds at 0")
        if self.policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {self.policy!r}")
        if self.folds < 2 or self.cut <= 0:
            raise ValueError("folds start at 2, and cut lies above 0")
        if not 0 < self.cap < 1 or not 0 <= self.settled < 1:
            raise ValueError("cap must lie in (0, 1) and settled in [0, 1)")
        if not 0 < self.remove_percent < 50:
            raise ValueError(f"remove_percent must lie in (0, 50), not {self.remove_percent}")
        fractions = (self.validation_fraction, self.holdout_fraction)
        if min(fractions) <= 0 or sum(fractions) >= 0.9:
            raise ValueError("validation and holdout fractions must be above 0, below 0.9 together")
        if not 50 <= self.percentile <= 100:
            raise ValueError(f"percentile must lie in 50 to 100, not {self.percentile}")
