"""The choices of one training run, each with its reason; saved in its run.json."""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("crossfit", "percentile")


@dataclass(frozen=True)
class FitConfig:
    """What `fit` needs to know besides the data and the shapes of the networks."""

    steps: int = 1200
    """Of the autoencoder, the same in every fold and round, because a network that trains longer
    scores lower. Chosen so that a whole run takes half an hour, not by a comparison."""

    batch_size: int = 16
    """Enough for batch normalisation; a batch of 16 takes 0.07 s on one core, of the inspector
    0.2 s."""

    learning_rate: float = 2e-3
    """Of the autoencoder. Twice the rate gave a validation MSE of .0237, not .0242: noise."""

    weight_decay: float = 0.05
    """For the wide layers around the code, which could memorise slices; not tuned."""

    warmup_steps: int = 60
    """The batch statistics of the first steps are poor; not tuned."""

    anatomy_steps: int = 250
    """Of the inspector, on labelled slices only; then it labels the others."""

    inspector_steps: int = 1000
    """Of the inspector, on all tasks. Chosen for the same half hour."""

    inspector_learning_rate: float = 3e-3
    """2e-3 with half the batch and twice the steps was no better."""

    shrinkage: float = 0.1
    """Of the features' correlation towards the identity; .3 found faults as well (.848, .852)."""

    policy: str = "crossfit"
    """How the training set is cleaned; `percentile` is the simple loop, kept for comparison."""

    rounds: int = 2
    """Of cleaning: train, compute errors, remove, retrain. Crossfit stops earlier once the outliers
    no longer change; the simple loop runs all rounds. 0 removes nothing. A round took 14 minutes
    for 319 slices, on a machine with other work."""

    folds: int = 3
    """Crossfit: each image is scored by a network trained on the two thirds without it. With more
    folds, each network trains on more images, at a higher cost."""

    cut: float = 3.5
    """Crossfit: largest robust z that is not an outlier (Iglewicz & Hoaglin, 1993)."""

    cap: float = 0.30
    """Crossfit: if a larger share went to quarantine, the run stops and asks, because a median of
    mostly bad images makes the good ones outliers."""

    settled: float = 0.01
    """Crossfit: stop when a round moves a smaller share of the images in or out of quarantine."""

    remove_percent: float = 5.0
    """Simple loop: percentage of the current training slices, the worst, that a round removes; like
    any fixed share, a guess at how many are bad."""

    holdout_fraction: float = 0.20
    """Share of the patients that nothing is chosen on: all reported numbers come from them."""

    percentile: float = 95.0
    """Of the kept slices' out-of-fold MSE: the threshold that is saved with the calibration."""

    seed: int = 0
    """Of the split, the weights, the order and the augmentation."""

    shift: float = 0.04
    """Augmentation: largest shift, as a share of the side. With twice the shift and zoom, held-out
    patients were rebuilt no better, and 33 % instead of 73 % of axial images scored above them."""

    zoom: float = 0.06
    """Augmentation: largest change of scale. No rotation and no flips: those are anomalies."""

    gain: float = 0.10
    """Augmentation: largest change of brightness and gamma, as coils and windows cause."""

    alarm_rate: float = 0.05
    """Share of usual slices that the model may call anomalies; a request can ask for another."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if min(self.steps, self.batch_size, self.anatomy_steps, self.inspector_steps) < 1:
            raise ValueError("steps and batch_size start at 1")
        if self.rounds < 0:
            raise ValueError("rounds start at 0")
        if self.policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {self.policy!r}")
        if self.folds < 2 or self.cut <= 0:
            raise ValueError("folds start at 2, and cut lies above 0")
        if not 0 < self.cap < 1 or not 0 <= self.settled < 1:
            raise ValueError("cap must lie in (0, 1) and settled in [0, 1)")
        if not 0 < self.remove_percent < 50:
            raise ValueError(f"remove_percent must lie in (0, 50), not {self.remove_percent}")
        if not 0 < self.holdout_fraction < 0.9:
            raise ValueError("holdout_fraction must lie in (0, 0.9)")
        if not 50 <= self.percentile <= 100:
            raise ValueError(f"percentile must lie in 50 to 100, not {self.percentile}")
