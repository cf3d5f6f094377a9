"""Train both networks of a detector, and score slices with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from model.networks.autoencoder import Autoencoder
from model.networks.detector import Detector, compute
from model.networks.inspector import Inspector
from model.scoring import (
    Outputs,
    Reference,
    ScoreArray,
    anomaly_map,
    extended_features,
    fit_reference,
    reconstruction_mse,
    score,
)
from model.spec import AutoencoderConfig, InspectorConfig
from training.config import FitConfig
from training.data.training_set import IndexArray, TrainingSet
from training.networks.autoencoder import fit_autoencoder
from training.networks.inspector import fit_inspector
from training.networks.loop import OnStretch

FloatArray = NDArray[np.float32]

_BATCH = 16
_WEIGHTS_FILE, _REFERENCE_FILE = "detector.safetensors", "reference.npz"


@dataclass(frozen=True)
class TrainedDetector:
    """Both networks and the spread of their features; scores slices as serving does."""

    detector: Detector
    reference: Reference

    def outputs(self, x: FloatArray) -> Outputs:
        """Slices [B, 1, S, S] in [0, 1] -> the outputs of both networks."""
        return compute(self.detector, x)

    def score(self, x: NDArray[np.float16], chosen: IndexArray) -> ScoreArray:
        """Score some slices of a collection, a few at a time: [len(chosen), K]."""
        return np.concatenate(
            [score(part, self.outputs(part), self.reference) for part in _batches(x, chosen)]
        )

    def anomaly_map(self, x: FloatArray) -> FloatArray:
        """Slices [B, 1, S, S] in [0, 1] -> where they are unusual, [B, 1, S/2, S/2] in [0, 1]."""
        return anomaly_map(x, self.outputs(x))


def train_detector(
    data: TrainingSet,
    networks: tuple[AutoencoderConfig, InspectorConfig],
    config: FitConfig,
    *,
    seed: tuple[int, ...],
    folder: Path,
    device: str = "cpu",
    on_stretch: OnStretch = lambda metrics: None,
) -> TrainedDetector:
    """Train both networks from new weights, then measure the spread of their features.

    Args:
        data: slices and labels.
        networks: shapes.
        config: how to train.
        seed: of everything random.
        folder: for checkpoints; a training found in it is continued with the same result.
        device: "cpu" or "cuda".
        on_stretch: called with every 100 steps of either network.

    Raises:
        Diverged: a loss is no longer finite.
        NotResumable: a checkpoint is damaged or of another training.
    """
    autoencoder = fit_autoencoder(
        data, networks[0], config, seed=seed, device=device, folder=folder, on_stretch=on_stretch
    )
    inspector = fit_inspector(
        data, networks[1], config, seed=seed, device=device, folder=folder, on_stretch=on_stretch
    )
    detector = Detector(autoencoder, inspector).to(device).eval()
    features = []
    for x in _batches(data.x, data.train):
        outputs = compute(detector, x)
        mse = reconstruction_mse(outputs.x_small, outputs.x_hat)
        features.append(extended_features(outputs, mse))
    reference = fit_reference(np.concatenate(features), data.kinds, config.shrinkage)
    return TrainedDetector(detector, reference)


def save_detector(trained: TrainedDetector, folder: Path) -> None:
    """Write what `load_detector` reads."""
    state = {k: t.detach().cpu().contiguous() for k, t in trained.detector.state_dict().items()}
    save_file(state, folder / _WEIGHTS_FILE)
    with (folder / _REFERENCE_FILE).open("wb") as file:
        np.savez(file, **trained.reference.to_arrays())  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle


def load_detector(
    folder: Path, networks: tuple[AutoencoderConfig, InspectorConfig]
) -> TrainedDetector:
    """Read the networks of a fold.

    Raises:
        OSError: they do not exist.
    """
    detector = Detector(Autoencoder(networks[0]), Inspector(networks[1])).eval()
    detector.load_state_dict(load_file(folder / _WEIGHTS_FILE))
    with np.load(folder / _REFERENCE_FILE, allow_pickle=False) as arrays:
        return TrainedDetector(detector, Reference.from_arrays(dict(arrays)))


def _batches(x: NDArray[np.float16], chosen: IndexArray) -> Iterator[FloatArray]:
    """Read slices a few at a time, float32 [<= 16, 1, S, S]."""
    for start in range(0, len(chosen), _BATCH):
        yield np.asarray(x[chosen[start : start + _BATCH]], np.float32)
