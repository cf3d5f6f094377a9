"""Write a trained network as the files of a model; needs torch, so only training imports it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from model.autoencoder import Autoencoder
from model.runtime import load_model
from model.scoring import FloatArray
from model.spec import (
    GOLDEN_FILE,
    HASHED_FILES,
    ONNX_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    Decision,
    ModelSpec,
    Provenance,
    hash_file,
)
from preprocessing import InputSpec


def write_model(
    directory: Path,
    network: Autoencoder,
    *,
    name: str,
    input_spec: InputSpec,
    decision: Decision,
    provenance: Provenance,
    golden: FloatArray,
) -> ModelSpec:
    """Write model.json, weights, ONNX graph and golden slices; load both runtimes back.

    Args:
        directory: exists, empty.
        network: trained; moved to the CPU, left in eval mode.
        name: of the model.
        input_spec: how its inputs were made.
        decision: its default threshold.
        provenance: where it came from.
        golden: slices that the model will be checked with wherever it is loaded, [N, 1, S, S].
            They travel with the model: use none that must not leave the house.

    Raises:
        ModelError: onnxruntime and torch do not agree within 1e-5 relative on the golden MSE.
    """
    network = network.to("cpu").eval()
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    save_file(state, directory / WEIGHTS_FILE)
    (directory / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only the owner read it
    _write_onnx(directory / ONNX_FILE, network)
    with torch.inference_mode():
        x_hat = network(torch.from_numpy(golden)).numpy()
    mse = np.square(golden - x_hat).mean(axis=(1, 2, 3), dtype=np.float64)
    np.savez_compressed(directory / GOLDEN_FILE, x=golden, mse=mse)
    spec = ModelSpec(
        name=name,
        network=network.config,
        input=input_spec,
        decision=decision,
        provenance=provenance,
        n_parameters=network.n_parameters,
        sha256={file: hash_file(directory / file) for file in HASHED_FILES},
    )
    (directory / SPEC_FILE).write_text(spec.to_json(), "utf-8")
    for runtime in ("onnx", "torch"):
        load_model(directory, runtime)  # raises where the golden MSE differs
    return spec


def _write_onnx(path: Path, network: Autoencoder) -> None:
    """Export one graph with a free batch size: x [B, 1, S, S] -> x_hat, same shape."""
    size = network.config.size
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it speaks of torchvision operators that nobody uses here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            torch.onnx.export(
                network,
                (torch.zeros(2, 1, size, size),),
                path,
                dynamo=True,
                external_data=False,
                input_names=["x"],
                output_names=["x_hat"],
                dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
