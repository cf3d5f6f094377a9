"""Load a saved model on onnxruntime (serving) or torch (the reference), checked before use."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calibration.calibration import Calibration
from model.errors import DamagedModel, ModelError, WrongAnswer
from model.scoring import (
    CHANNELS,
    COLUMNS,
    FloatArray,
    Outputs,
    Reference,
    ScoreArray,
    anomaly_map,
    score,
)
from model.spec import (
    CALIBRATION_FILE,
    GOLDEN_FILE,
    ONNX_FILE,
    REFERENCE_FILE,
    WEIGHTS_FILE,
    ModelSpec,
    load_spec,
)

# How closely the golden scores must be reproduced: by either runtime, on any machine. The MSE is a
# plain mean; the other scores pass through more layers, maxima and a matrix inverse.
MSE_TOLERANCE = 1e-5
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 2e-3, 2e-3

Compute = Callable[[FloatArray], Outputs]

# What reading an .npz file raises after one flipped bit; RuntimeError where it then claims to be
# encrypted or compressed by another method.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class LoadedModel:
    """A model that has reproduced its golden scores in this process.

    Args:
        spec: the content of model.json.
        compute: slices [B, 1, S, S] in [0, 1] -> the networks' outputs; thread-safe.
        reference: the spread of the training slices' features.
        calibration: scores of usual slices.
        golden_x: slices that travel with the model, [N, 1, S, S].
        golden_scores: their scores when the model was saved, [N, K].
        runtime: "onnx" or "torch".
    """

    spec: ModelSpec
    compute: Compute
    reference: Reference
    calibration: Calibration
    golden_x: FloatArray
    golden_scores: ScoreArray
    runtime: str

    def score(self, x: FloatArray) -> ScoreArray:
        """Score slices [B, 1, S, S] in [0, 1]: [B, K], the columns that `spec.columns` names."""
        return score(x, self.compute(x), self.reference)

    def anomaly_map(self, x: FloatArray) -> FloatArray:
        """Show where slices [B, 1, S, S] are unusual: [B, 1, S/2, S/2] in [0, 1]."""
        return anomaly_map(x, self.compute(x))

    def check_golden(self) -> None:
        """Score the golden slices again.

        Raises:
            WrongAnswer: a score is not what it was when the model was saved.
        """
        scores = self.score(self.golden_x)
        same_mse = np.allclose(scores[:, 0], self.golden_scores[:, 0], rtol=MSE_TOLERANCE, atol=0)
        same = np.allclose(
            scores, self.golden_scores, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE
        )
        if not (same_mse and same):
            worst = float(np.max(np.abs(scores - self.golden_scores)))
            raise WrongAnswer(
                f"the {self.runtime} runtime does not reproduce the golden scores of"
                f" {self.spec.name} (they differ by {worst:.1e}); import the model again"
            )


def load_model(directory: Path, runtime: str | None = None) -> LoadedModel:
    """Check the files of a model, build its runtime, reproduce its golden scores.

    Args:
        directory: holds model.json and what it names.
        runtime: "onnx" or "torch"; by default what SPINE_RUNTIME says, else "onnx".

    Raises:
        ModelError: a file is damaged, the runtime is unknown, or the golden scores differ.
    """
    spec = load_spec(directory)
    if spec.columns != COLUMNS:
        raise DamagedModel(f"{spec.name} has other scores than this program; train it again")
    runtime = runtime or os.environ.get("SPINE_RUNTIME") or "onnx"
    if runtime == "onnx":
        compute = _load_onnx(directory / ONNX_FILE)
    elif runtime == "torch":
        compute = _load_torch(directory / WEIGHTS_FILE, spec)
    else:
        raise ModelError(f"SPINE_RUNTIME is {runtime!r}; use 'onnx' or 'torch'")
    golden = _load_arrays(directory / GOLDEN_FILE)
    try:
        model = LoadedModel(
            spec,
            compute,
            Reference.from_arrays(_load_arrays(directory / REFERENCE_FILE)),
            load_calibration(directory),
            golden["x"],
            golden["scores"],
            runtime,
        )
    except (ValueError, KeyError) as error:
        raise DamagedModel(
            f"an array of {spec.name} is missing or damaged; import the model again"
        ) from error
    if not _fits(model):
        raise DamagedModel(f"the arrays of {spec.name} do not fit to it; import the model again")
    model.check_golden()
    return model


def _fits(model: LoadedModel) -> bool:
    """Whether golden slices, reference and calibration have this model's sizes."""
    spec, x = model.spec, model.golden_x
    side, faults = spec.input.size, len(spec.inspector.faults)
    n_features = 2 * sum(spec.inspector.channels) + spec.network.latent + 2 + faults
    return (
        x.shape[1:] == (1, side, side)
        and len(x) > 0
        and x.dtype == np.float32
        and model.golden_scores.shape == (len(x), len(COLUMNS))
        and model.reference.scale.shape == (n_features,)
        and model.calibration.channels == CHANNELS
    )


def load_calibration(directory: Path) -> Calibration:
    """Read the calibration of a model, without checking its hash.

    Raises:
        DamagedModel: it is missing or damaged.
    """
    try:
        return Calibration.from_arrays(_load_arrays(directory / CALIBRATION_FILE))
    except ValueError as error:
        raise DamagedModel(f"{CALIBRATION_FILE} is damaged; import the model again") from error


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read an .npz file, without pickled objects.

    Raises:
        DamagedModel: it is not one.
    """
    try:
        # Opened here, because numpy leaves a file open that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except _UNREADABLE as error:
        raise DamagedModel(f"{path.name} cannot be read; import the model again") from error


def _load_onnx(path: Path) -> Compute:
    """Build an onnxruntime session on one thread; scale by worker processes, not by threads."""
    # From 1.32 on, onnxruntime keeps a database in the home folder and sends usage events to its
    # maker, on Linux too. It reads this variable when it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena keeps a block for each batch size: 28 MB a worker, not 6, to save 0.1 ms a slice.
    options.enable_cpu_mem_arena = False
    # A waiting thread that spins takes the core from the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def compute(x: FloatArray) -> Outputs:
        return Outputs(*session.run(list(Outputs._fields), {"x": x}))

    return compute


def _load_torch(path: Path, spec: ModelSpec) -> Compute:
    """Build the PyTorch module itself, on a GPU where there is one."""
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(
            "SPINE_RUNTIME=torch needs torch; install it or use SPINE_RUNTIME=onnx"
        ) from error
    from model.networks.autoencoder import Autoencoder
    from model.networks.detector import Detector, compute
    from model.networks.inspector import Inspector

    device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = Detector(Autoencoder(spec.network), Inspector(spec.inspector)).to(device).eval()
    detector.load_state_dict(load_file(path))
    return partial(compute, detector)
