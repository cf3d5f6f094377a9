"""Save a stored model with another calibration: the same networks, a new version."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.calibration.calibration import Calibration
from model.runtime import load_model
from model.spec import (
    CALIBRATION_FILE,
    HASHED_FILES,
    SPEC_FILE,
    ModelSpec,
    hash_file,
)
from model.store.save import save_files

if TYPE_CHECKING:
    from bentoml import Tag


def save_recalibrated(
    directory: Path, calibration: Calibration, origin: str, *, name: str | None = None
) -> Tag:
    """Save a copy of a model with another calibration, complete or not at all.

    Args:
        directory: of the model in the store, which stays as it is.
        calibration: of the same channels.
        origin: where the calibration came from, in words, for the provenance.
        name: in the store; that of the old model by default.

    Returns:
        The tag of the new version.

    Raises:
        ModelError: the model is damaged, or the store refused the name.
        ValueError: the calibration is of other channels than the model's.
    """
    old = load_model(directory)
    if calibration.channels != old.calibration.channels:
        raise ValueError("the calibration is of other channels than the model's")
    name = name or old.spec.name

    def write(folder: Path) -> ModelSpec:
        for file in HASHED_FILES:
            if file != CALIBRATION_FILE:
                shutil.copyfile(directory / file, folder / file)
        np.savez_compressed(folder / CALIBRATION_FILE, **calibration.to_arrays())  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle
        spec = replace(
            old.spec,
            name=name,
            provenance=replace(old.spec.provenance, recalibrated=origin),
            sha256={file: hash_file(folder / file) for file in HASHED_FILES},
        )
        (folder / SPEC_FILE).write_text(spec.to_json(), "utf-8")
        load_model(folder, "onnx")  # raises where the golden scores differ
        return spec

    return save_files(write, name)
