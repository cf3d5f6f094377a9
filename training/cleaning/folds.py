"""Split images into folds that share no patient; score each by a network that never saw it.

Every fold of every round is one `FoldJob`; its scores stay in its folder, so that an interrupted
run does not repeat it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.spec import AutoencoderConfig, InspectorConfig
from training.config import FitConfig
from training.data.training_set import IndexArray, TrainingSet
from training.errors import Diverged, TooFewImages
from training.steps import StretchMetrics
from training.writing import aside

ScoreArray = NDArray[np.float64]
Networks = tuple[AutoencoderConfig, InspectorConfig]
OnStretch = Callable[[StretchMetrics], None]

SCORES_FILE = "scores.npz"
_JOB_FILE = "job.json"
# What a finished job keeps; its checkpoints are as large as all else together.
DETECTOR_FILE, REFERENCE_FILE = "detector.safetensors", "reference.npz"
_KEPT = frozenset({SCORES_FILE, _JOB_FILE, DETECTOR_FILE, REFERENCE_FILE})


@dataclass(frozen=True)
class FoldJob:
    """One training of one round and what it scores; travels to another process.

    The number of steps is the config's, however many images are left to train on: a network that
    was trained for longer would score lower.

    Args:
        inputs: the .npy file of all model inputs, float16 [N, 1, S, S].
        labels: the .npy file of the tissue of each of their pixels, uint8 [N, S, S].
        train: which of them to train on, sorted.
        series: number of the series of each of `train`.
        kinds: number of the kind (contrast) of each of `train`.
        scored: which of them to score, sorted; with crossfit none of their patients is in `train`.
        networks: shapes of the autoencoder and the inspector.
        config: how to train.
        round: of the cleaning, from 1.
        fold: within the round, from 0; (config.seed, round, fold) seeds everything random.
        folder: of this job alone, for checkpoints and scores.
        device: "cpu" or "cuda".
        threads: how many the training may use.
    """

    inputs: Path
    labels: Path
    train: IndexArray
    series: IndexArray
    kinds: IndexArray
    scored: IndexArray
    networks: Networks
    config: FitConfig
    round: int
    fold: int
    folder: Path
    device: str = "cpu"
    threads: int = 1

    def key(self) -> str:
        """Hash everything that the scores depend on."""
        choices = [*(asdict(network) for network in self.networks), asdict(self.config)]
        numbers = [self.round, self.fold, self.device, self.threads]
        # The files' names are hashes of their content.
        names = [self.inputs.name, self.labels.name]
        state = hashlib.sha256(json.dumps([choices, numbers, names]).encode())
        for indices in (self.train, self.series, self.kinds, self.scored):
            state.update(indices.tobytes() + b"/")
        return state.hexdigest()

    def open_inputs(self) -> NDArray[np.float16]:
        """Map all model inputs into memory, read-only: float16 [N, 1, S, S]."""
        x: NDArray[np.float16] = np.load(self.inputs, mmap_mode="r", allow_pickle=False)
        return x

    def training_set(self) -> TrainingSet:
        """Gather what to train on."""
        labels: NDArray[np.uint8] = np.load(self.labels, mmap_mode="r", allow_pickle=False)
        return TrainingSet(self.open_inputs(), labels, self.train, self.series, self.kinds)


TrainAndScore = Callable[[FoldJob, OnStretch], ScoreArray]


def number_groups(names: Sequence[str]) -> IndexArray:
    """Number the groups of images by their names, from 0: [N]."""
    return np.asarray(np.unique(np.asarray(names, np.str_), return_inverse=True)[1], np.int64)


def assign_folds(patients: Sequence[str], n_folds: int, seed: int) -> IndexArray:
    """Deal whole patients into folds of nearly equal size.

    The one with the most images goes first, each to the fold with the fewest images; patients with
    as many images go in the order of their hashes, so that neither file names nor reading order
    matter.

    Args:
        patients: of the images, [N].
        n_folds: how many.
        seed: of the run.

    Returns:
        The fold of each image, [N].

    Raises:
        TooFewImages: fewer patients than folds.
    """
    sizes = Counter(patients)
    if len(sizes) < n_folds:
        raise TooFewImages(
            f"{len(patients)} images of {len(sizes)} patients cannot be split into {n_folds} folds;"
            " add patients, or lower --folds"
        )

    def rank(patient: str) -> tuple[int, bytes]:
        return -sizes[patient], hashlib.sha256(f"{seed}/{patient}".encode()).digest()

    fold_of: dict[str, int] = {}
    filled = [0] * n_folds
    for patient in sorted(sizes, key=rank):
        fold_of[patient] = filled.index(min(filled))
        filled[fold_of[patient]] += sizes[patient]
    return np.array([fold_of[patient] for patient in patients], np.int64)


def run_job(
    job: FoldJob, train_and_score: TrainAndScore, on_stretch: OnStretch = lambda metrics: None
) -> None:
    """Do one job and leave its scores in its folder; a job that is done is not repeated.

    Args:
        job: what to do.
        train_and_score: how.
        on_stretch: called with every stretch of its steps.

    Raises:
        Diverged: a score is not a number.
    """
    if read_scores(job) is not None:
        return
    started = job.folder / _JOB_FILE
    if job.folder.exists() and (not started.exists() or started.read_text("utf-8") != job.key()):
        shutil.rmtree(job.folder)  # checkpoints of another training
    job.folder.mkdir(parents=True, exist_ok=True)
    started.write_text(job.key(), "utf-8")
    scores = np.asarray(train_and_score(job, on_stretch), np.float64)
    if scores.ndim != 2 or len(scores) != len(job.scored) or not np.isfinite(scores).all():
        raise Diverged(
            f"fold {job.fold} of round {job.round} gave scores that are not numbers;"
            " lower --learning-rate"
        )
    with aside(job.folder / SCORES_FILE) as part, part.open("wb") as file:
        np.savez(file, scores=scores, key=np.array(job.key()))
    for path in job.folder.iterdir():
        if path.name not in _KEPT:
            path.unlink()


def read_scores(job: FoldJob) -> ScoreArray | None:
    """Read what `run_job` left, float64 [n_scored, K]; None if it is not of this very job."""
    try:
        with np.load(job.folder / SCORES_FILE, allow_pickle=False) as saved:
            scores: ScoreArray = saved["scores"]
            return scores if str(saved["key"]) == job.key() else None
    except (OSError, ValueError, KeyError, EOFError):
        return None
