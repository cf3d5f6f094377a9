"""Run the parts of a training for a few steps each, and measure their pace."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.cleaning.clean import Setup
    from training.data.collection import Collection
    from training.data.training_set import TrainingSet

SEED = 72  # of the phantoms
# Of autoencoder, anatomy and inspector in a fold, as training.config has them: 1200, 250, 1000.
_SHARES = (5, 1, 4)


@dataclass(frozen=True)
class Job:
    """What every part works on: a folder of phantoms and masks, numbers of steps and threads."""

    folder: Path
    steps: int
    threads: int

    def images(self) -> Collection:
        """Return the decoded phantoms; only the first call decodes them."""
        from preprocessing import InputSpec
        from training.data.collection import load_images

        return load_images([self.folder / "dicom"], InputSpec(192), cache=self.folder / "cache")

    def labels(self, images: Collection) -> Path:
        """Return the masks in the form of the inputs; only the first call converts them."""
        from training.data.labels import label_by_masks

        data, masks = [self.folder / "dicom"], self.folder / "masks"
        return label_by_masks(images, data, masks, self.folder / "cache")

    def training_set(self) -> TrainingSet:
        """Gather all of them to train on."""
        import numpy as np

        from training.data.training_set import TrainingSet

        images = self.images()
        every = np.arange(len(images.sources))
        labels = np.load(self.labels(images), mmap_mode="r", allow_pickle=False)
        return TrainingSet(images.x, labels, every, every, every % 2)


@dataclass(frozen=True)
class Pace:
    """How many images were processed, in how many seconds and seconds of computing."""

    images: int
    seconds: float
    cpu_s: float


def read(job: Job) -> Pace:
    """Decode, window, resize and keep the phantoms."""
    import training.data.collection  # noqa: F401 - before the clock

    began = _clocks()
    images = job.images()
    pace = _pace(len(images.sources), began, _clocks())
    job.labels(images)
    return pace


def train_autoencoder(job: Job) -> Pace:
    """Take steps of the autoencoder."""
    from model.spec import AutoencoderConfig
    from training.config import FitConfig
    from training.networks.autoencoder import fit_autoencoder

    data = job.training_set()
    config = FitConfig()
    return pace_of_steps(
        job.steps,
        job.threads,
        config.batch_size,
        lambda n: fit_autoencoder(
            data, AutoencoderConfig(), replace(config, steps=n), seed=(SEED,)
        ),
    )


def train_anatomy(job: Job) -> Pace:
    """Take steps of the inspector that learn the anatomy alone."""
    return _train_inspector(job, "anatomy_steps")


def train_inspector(job: Job) -> Pace:
    """Take steps of the inspector that learn everything, planting included."""
    return _train_inspector(job, "inspector_steps")


def _train_inspector(job: Job, varied: str) -> Pace:
    from model.spec import InspectorConfig
    from training.config import FitConfig
    from training.networks.inspector import fit_inspector

    data, shortest = job.training_set(), replace(FitConfig(), anatomy_steps=1, inspector_steps=1)

    def train(n: int) -> None:
        config = replace(shortest, **{varied: n})  # type: ignore[arg-type]  # it names a number
        fit_inspector(data, InspectorConfig(), config, seed=(SEED,))

    return pace_of_steps(job.steps, job.threads, shortest.batch_size, train)


def pace_of_steps(
    steps: int, threads: int, images_a_step: int, train: Callable[[int], object]
) -> Pace:
    """Time the steps of a training without its start-up."""
    import torch

    torch.set_num_threads(threads)
    train(1)  # warm
    clocks = [_clocks()]
    for n_steps in (1, 1 + steps):
        train(n_steps)
        clocks.append(_clocks())
    short, long = (_pace(1, *pair) for pair in pairwise(clocks))
    return Pace(steps * images_a_step, long.seconds - short.seconds, long.cpu_s - short.cpu_s)


def _clocks() -> tuple[float, float]:
    """Seconds, and seconds of computing, those of ended processes included."""
    return time.perf_counter(), sum(os.times()[:4])


def _pace(images: int, began: tuple[float, float], ended: tuple[float, float]) -> Pace:
    return Pace(images, ended[0] - began[0], ended[1] - began[1])


def score(job: Job) -> Pace:
    """Score all phantoms as a fold does with those that it did not train on."""
    import torch

    from training.networks.detector import train_detector

    torch.set_num_threads(job.threads)
    data, setup = job.training_set(), _setup(job, job.images(), 1)
    trained = train_detector(data, setup.networks, setup.config, seed=(SEED,), folder=setup.folder)
    trained.score(data.x, data.train[:16])  # warm
    began = _clocks()
    trained.score(data.x, data.train)
    return _pace(len(data.train), began, _clocks())


def clean(job: Job) -> Pace:
    """Train and score the folds of a cleaning's round, side by side where there are cores."""
    import numpy as np

    from training.cleaning.clean import fold_jobs, gather
    from training.cleaning.workers import run_jobs

    images = job.images()
    every = np.arange(len(images.sources))
    config = _setup(job, images, 1).config
    members = gather(images.sources, every, (), config)

    def run(n: int) -> None:
        setup = _setup(job, images, n)
        jobs = fold_jobs(every, members, every >= 0, 1, setup)
        run_jobs(jobs, setup.train_and_score, processes=min(len(jobs), job.threads))

    images_a_step = config.folds * sum(_SHARES) * config.batch_size
    return pace_of_steps(max(1, job.steps // max(_SHARES)), 1, images_a_step, run)


def _setup(job: Job, images: Collection, n: int) -> Setup:
    """Everything as `training fit` has it, but n times the few steps of _SHARES."""
    from model.scoring import CHANNELS
    from model.spec import AutoencoderConfig, InspectorConfig
    from training.cleaning.clean import Setup
    from training.cleaning.fold_training import train_and_score
    from training.config import FitConfig

    names = ("steps", "anatomy_steps", "inspector_steps")
    steps = {name: n * share for name, share in zip(names, _SHARES, strict=True)}
    return Setup(
        train_and_score=train_and_score,
        n_channels=1 + len(CHANNELS),
        inputs=images.path,
        labels=job.labels(images),
        networks=(AutoencoderConfig(), InspectorConfig()),
        config=replace(FitConfig(), **steps),  # type: ignore[arg-type]  # the names are of numbers
        folder=Path(tempfile.mkdtemp(dir=job.folder)),
        threads=job.threads,
    )


PARTS = {
    "read": read,
    "autoencoder": train_autoencoder,
    "anatomy": train_anatomy,
    "inspector": train_inspector,
    "score": score,
    "clean": clean,
}
