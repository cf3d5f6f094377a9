"""Load a saved model on onnxruntime (serving) or torch (the reference), checked before use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DamagedModel, ModelError, WrongAnswer
from model.scoring import FloatArray, reconstruction_mse
from model.spec import GOLDEN_FILE, ONNX_FILE, WEIGHTS_FILE, ModelSpec, load_spec

# Both runtimes agree on the golden MSE within this, and a later machine with the machine of saving.
RELATIVE_TOLERANCE = 1e-5

Reconstruct = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class LoadedModel:
    """A model that gave its golden output in this process.

    Args:
        spec: the content of model.json.
        reconstruct: slices [B, 1, S, S] in [0, 1] -> reconstructions, same shape; thread-safe.
        golden_x: slices that travel with the model, [N, 1, S, S].
        golden_mse: their reconstruction MSE when the model was saved, [N].
        runtime: "onnx" or "torch".
    """

    spec: ModelSpec
    reconstruct: Reconstruct
    golden_x: FloatArray
    golden_mse: NDArray[np.float64]
    runtime: str

    def score(self, x: FloatArray) -> NDArray[np.float64]:
        """Slices [B, 1, S, S] in [0, 1] -> reconstruction MSE, [B]."""
        return reconstruction_mse(x, self.reconstruct(x))

    def check_golden(self) -> None:
        """Score the golden slices again.

        Raises:
            WrongAnswer: a score is not what it was when the model was saved.
        """
        mse = self.score(self.golden_x)
        if not np.allclose(mse, self.golden_mse, rtol=RELATIVE_TOLERANCE, atol=0):
            worst = float(np.max(np.abs(mse - self.golden_mse) / self.golden_mse))
            raise WrongAnswer(
                f"the {self.runtime} runtime does not reproduce the golden scores of"
                f" {self.spec.name} (relative error {worst:.1e}); import the model again"
            )


def load_model(directory: Path, runtime: str | None = None) -> LoadedModel:
    """Verify the files of a model, build its runtime, reproduce its golden output.

    Args:
        directory: holds model.json and what it names.
        runtime: "onnx" or "torch"; by default what SPINE_RUNTIME says, else "onnx".

    Raises:
        ModelError: a file is damaged, the runtime is unknown, or the golden output differs.
    """
    spec = load_spec(directory)
    runtime = runtime or os.environ.get("SPINE_RUNTIME") or "onnx"
    if runtime == "onnx":
        reconstruct = _load_onnx(directory / ONNX_FILE)
    elif runtime == "torch":
        reconstruct = _load_torch(directory / WEIGHTS_FILE, spec)
    else:
        raise ModelError(f"SPINE_RUNTIME is {runtime!r}; use 'onnx' or 'torch'")
    try:
        with np.load(directory / GOLDEN_FILE, allow_pickle=False) as golden:
            x, mse = golden["x"], golden["mse"]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedModel(f"{GOLDEN_FILE} cannot be read; import the model again") from error
    model = LoadedModel(spec, reconstruct, x, mse, runtime)
    model.check_golden()
    return model


def _load_onnx(path: Path) -> Reconstruct:
    """Build an onnxruntime session on one thread; scale by worker processes, not by threads."""
    # From 1.32 on it keeps a database in the home and sends events to its maker, also on Linux; it
    # reads this when it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A waiting thread that spins takes the core from the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def reconstruct(x: FloatArray) -> FloatArray:
        x_hat: FloatArray = session.run(None, {"x": x})[0]
        return x_hat

    return reconstruct


def _load_torch(path: Path, spec: ModelSpec) -> Reconstruct:
    """Build the PyTorch module itself, on a GPU where there is one."""
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(
            "SPINE_RUNTIME=torch needs torch; install it or use SPINE_RUNTIME=onnx"
        ) from error
    from model.autoencoder import Autoencoder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Autoencoder(spec.network).to(device).eval()
    network.load_state_dict(load_file(path))

    def reconstruct(x: FloatArray) -> FloatArray:
        with torch.inference_mode():
            x_hat: FloatArray = network(torch.from_numpy(x).to(device)).cpu().numpy()
        return x_hat

    return reconstruct
