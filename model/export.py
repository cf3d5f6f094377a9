"""Write trained networks as the files of a model; needs torch, so only training imports it."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from model.calibration.calibration import Calibration
from model.networks.detector import Detector, compute
from model.runtime import load_model
from model.scoring import COLUMNS, FloatArray, Outputs, Reference, score
from model.spec import (
    CALIBRATION_FILE,
    GOLDEN_FILE,
    HASHED_FILES,
    ONNX_FILE,
    REFERENCE_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    Decision,
    ModelSpec,
    Provenance,
    hash_file,
)
from preprocessing import InputSpec


@dataclass(frozen=True)
class Trained:
    """Everything that a model is made of.

    Args:
        detector: both networks, trained.
        reference: the spread of the training slices' features.
        calibration: scores of usual slices that the networks were not trained on.
        input_spec: how a slice becomes the networks' input.
        decision: the default threshold of the MSE.
        provenance: where it came from.
        golden: slices that the model is checked with wherever it is loaded, [N, 1, S, S]. They
            travel with the model: use no images of patients.
    """

    detector: Detector
    reference: Reference
    calibration: Calibration
    input_spec: InputSpec
    decision: Decision
    provenance: Provenance
    golden: FloatArray


def write_model(directory: Path, name: str, trained: Trained) -> ModelSpec:
    """Write model.json and the files that it names, then check both runtimes on them.

    Args:
        directory: exists, empty.
        name: of the model.
        trained: its networks are moved to the CPU and left in eval mode.

    Raises:
        ModelError: onnxruntime and torch do not agree on the golden scores.
    """
    detector = trained.detector.to("cpu").eval()
    state = {key: tensor.contiguous() for key, tensor in detector.state_dict().items()}
    save_file(state, directory / WEIGHTS_FILE)
    (directory / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only the owner read it
    _write_onnx(directory / ONNX_FILE, detector)
    np.savez_compressed(directory / REFERENCE_FILE, **trained.reference.to_arrays())  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle
    np.savez_compressed(directory / CALIBRATION_FILE, **trained.calibration.to_arrays())  # type: ignore[arg-type]  # as above
    scores = score(trained.golden, compute(detector, trained.golden), trained.reference)
    np.savez_compressed(directory / GOLDEN_FILE, x=trained.golden, scores=scores)
    spec = ModelSpec(
        name=name,
        network=detector.autoencoder.config,
        inspector=detector.inspector.config,
        input=trained.input_spec,
        columns=COLUMNS,
        decision=trained.decision,
        provenance=trained.provenance,
        n_parameters=detector.n_parameters,
        sha256={file: hash_file(directory / file) for file in HASHED_FILES},
    )
    (directory / SPEC_FILE).write_text(spec.to_json(), "utf-8")
    for runtime in ("onnx", "torch"):
        load_model(directory, runtime)  # raises where the golden scores differ
    return spec


def _write_onnx(path: Path, detector: Detector) -> None:
    """Export one graph with a free batch size: x [B, 1, S, S] -> the fields of Outputs."""
    size = detector.inspector.config.size
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it warns about torchvision operators, which are not used here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            torch.onnx.export(
                detector,
                (torch.zeros(2, 1, size, size),),
                path,
                dynamo=True,
                external_data=False,
                input_names=["x"],
                output_names=list(Outputs._fields),
                dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
