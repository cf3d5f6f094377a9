"""What the user of `fit` asked for, kept in run.json so that --resume needs nothing else."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.spec import AutoencoderConfig, InspectorConfig, read_networks
from training.cleaning.overrides import Override
from training.config import FitConfig
from training.data.patients import BY_PATIENT
from training.errors import NotResumable
from training.report import RUN_FILE

_PACKAGES = ("torch", "numpy", "pydicom", "bentoml", "onnxruntime", "onnx", "safetensors")


@dataclass(frozen=True)
class Options:
    """Everything that a run depends on besides the files.

    Args:
        data: files and folders.
        name: in the model store.
        network: shape of the autoencoder.
        inspector: shape of the other network; its side is that of the inputs.
        config: how to train and to clean.
        device: "cpu" or "cuda".
        threads: of the CPU.
        exclude: relative paths to leave out.
        description: of the data, in words.
        command: as it was typed.
        overrides: human decisions; those in the run's own overrides.csv take precedence.
        masks: folder of PNG files that label tissues; empty where there are none.
        teacher: tag or file of a model that labels the tissues where there are no masks; the
            released one by default.
        exclude_file: that named the paths to leave out; for the commands that are printed.
        group_by: how patients are told apart; see training/data/patients.py.
    """

    data: tuple[str, ...]
    name: str
    network: AutoencoderConfig
    inspector: InspectorConfig
    config: FitConfig
    device: str
    threads: int
    exclude: tuple[str, ...]
    description: str
    command: str
    overrides: tuple[Override, ...] = ()
    masks: str = ""
    teacher: str = ""
    exclude_file: str = ""
    group_by: str = BY_PATIENT

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Options:
        """Rebuild an Options from the JSON of its `asdict`."""
        return cls(
            **raw
            | read_networks(raw)
            | {
                "data": tuple(raw["data"]),
                "config": FitConfig(**raw["config"]),
                "exclude": tuple(raw["exclude"]),
                "overrides": tuple((path, frame, what) for path, frame, what in raw["overrides"]),
            }
        )


def versions() -> dict[str, str]:
    """List the versions of what the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}


def choose_device(wanted: str) -> str:
    """Turn 'auto' into 'cuda' where there is one, else 'cpu'.

    Raises:
        ValueError: 'cuda' is wanted and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ValueError("this machine or this build of torch has no CUDA device; use --device cpu")
    return "cuda" if available and wanted != "cpu" else "cpu"


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json of a run.

    Raises:
        NotResumable: there is none, or it is damaged.
    """
    try:
        state: dict[str, Any] = json.loads((folder / RUN_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NotResumable(f"{folder} holds no readable {RUN_FILE}") from error
    return state


def read_options(folder: Path) -> Options:
    """Read the options of a run.

    Raises:
        NotResumable: run.json is missing, damaged or of another version.
    """
    state = read_run(folder)
    try:
        return Options.from_json(state["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotResumable(f"{RUN_FILE} in {folder} is of another version") from error
