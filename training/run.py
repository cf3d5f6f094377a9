"""One `fit` from folders to a saved model, in a folder that it can be resumed from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.spec import AutoencoderConfig, Decision, Provenance
from model.store import save_model
from preprocessing import InputSpec, to_input
from training import report
from training.config import FitConfig
from training.data import Collection, count_codes, load_images
from training.errors import NotResumable
from training.fit import EpochMetrics, reconstruction_errors
from training.phantom import phantom_slice
from training.rca import Cleaned, clean
from training.split import Split, split_groups

FloatArray = NDArray[np.float32]

CHECKPOINTS = "checkpoints"
_PACKAGES = ("torch", "numpy", "pydicom", "bentoml", "onnxruntime", "onnx", "safetensors")


@dataclass(frozen=True)
class Options:
    """What the user asked for; saved in run.json, so that --resume needs nothing else."""

    data: tuple[str, ...]
    name: str
    network: AutoencoderConfig
    config: FitConfig
    device: str
    threads: int
    exclude: tuple[str, ...]
    description: str
    command: str

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Options:
        """Read what `asdict` and JSON made of an Options."""
        network = raw["network"] | {"channels": tuple(raw["network"]["channels"])}
        return cls(
            **raw
            | {
                "data": tuple(raw["data"]),
                "network": AutoencoderConfig(**network),
                "config": FitConfig(**raw["config"]),
                "exclude": tuple(raw["exclude"]),
            }
        )


@dataclass(frozen=True)
class Hooks:
    """Where progress goes; silent by default."""

    on_file: Callable[[int, int], None] = lambda done, total: None
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None


def choose_device(wanted: str) -> str:
    """Turn 'auto' into 'cuda' where there is one, else 'cpu'.

    Raises:
        ValueError: 'cuda' is wanted and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ValueError("this machine or this build of torch has no CUDA device; use --device cpu")
    return "cuda" if available and wanted != "cpu" else "cpu"


def execute(options: Options, folder: Path, hooks: Hooks | None = None) -> dict[str, Any]:
    """Load, split, clean, decide, save; every step's outcome is in run.json of the folder.

    Args:
        options: what to do.
        folder: of this run; trainings found in it are continued.
        hooks: told of progress.

    Returns:
        The content of run.json.

    Raises:
        TrainingError: nothing readable, too little data, changed data, a loss out of bounds.
        ModelError: the model store refused the model.
    """
    hooks, started = hooks or Hooks(), time.perf_counter()
    torch.set_num_threads(options.threads)
    folder.mkdir(parents=True, exist_ok=True)
    input_spec = InputSpec(size=options.network.size)
    images = load_images(
        [Path(path) for path in options.data],
        input_spec,
        exclude=options.exclude,
        progress=hooks.on_file,
    )
    split = _split(images, options.config)
    state = _begin(options, folder, images, split)
    loaded = time.perf_counter()
    history: list[EpochMetrics] = []

    def on_epoch(metrics: EpochMetrics) -> None:
        history.append(metrics)
        report.write_metrics(folder / report.METRICS_FILE, history)
        hooks.on_epoch(metrics)

    cleaned = clean(
        images.x[split.train].astype(np.float32),
        images.x[split.validation].astype(np.float32),
        options.network,
        options.config,
        device=options.device,
        checkpoints=folder / CHECKPOINTS,
        on_epoch=on_epoch,
    )
    trained = time.perf_counter()
    decision = _decide(cleaned, images, split, options.config)
    metrics = _measure(cleaned, images, split, decision)
    tag = _save(options, input_spec, cleaned, images, split, decision, metrics)
    _draw(folder, cleaned, images, split, decision)
    state |= {
        "status": "finished",
        "model": tag,
        "decision": asdict(decision),
        "metrics": metrics,
        "n_removed": int((~cleaned.keep).sum()),
        "seconds": {
            "load": round(loaded - started, 1),
            # Of all epochs, also those before a --resume.
            "train": round(sum(epoch.seconds for epoch in cleaned.history), 1),
            "save": round(time.perf_counter() - trained, 1),
        },
    }
    report.write_json(folder / report.RUN_FILE, state)
    return state


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json of a run.

    Raises:
        NotResumable: there is none, or it is damaged.
    """
    try:
        state: dict[str, Any] = json.loads((folder / report.RUN_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NotResumable(f"{folder} holds no readable {report.RUN_FILE}") from error
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
        raise NotResumable(f"{report.RUN_FILE} in {folder} is of another version") from error


def _split(images: Collection, config: FitConfig) -> Split:
    return split_groups(
        [source.group for source in images.sources],
        seed=config.seed,
        validation_fraction=config.validation_fraction,
        holdout_fraction=config.holdout_fraction,
    )


def _begin(options: Options, folder: Path, images: Collection, split: Split) -> dict[str, Any]:
    """Write run.json before the first epoch; a folder of other data is not gone on with."""
    digest = images.digest()
    if (folder / report.RUN_FILE).exists():
        before = read_run(folder)
        if before.get("data_sha256") != digest:
            raise NotResumable(
                f"the images are not those that {folder} was started with; start a new run"
            )
    state = {
        "status": "running",
        "options": asdict(options),
        "data_sha256": digest,
        "counts": {
            "images": len(images.sources),
            "patients": len(images.groups),
            "excluded": images.n_excluded,
            "duplicates": len(images.duplicates),
            "skipped": len(images.skipped),
        },
        "split": {
            part: {
                "images": len(indices),
                "patients": len({images.sources[index].group for index in indices}),
            }
            for part, indices in asdict(split).items()
        },
        "skipped_codes": count_codes(images.skipped),
        "skipped": [asdict(skipped) for skipped in images.skipped],
        "duplicates": list(images.duplicates),
        "versions": versions(),
        "cpu_count": os.cpu_count(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    report.write_json(folder / report.RUN_FILE, state)
    return state


def versions() -> dict[str, str]:
    """List what the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}


def _decide(cleaned: Cleaned, images: Collection, split: Split, config: FitConfig) -> Decision:
    """Take the threshold from validation patients, none of whom was trained on."""
    errors = reconstruction_errors(cleaned.network, images.x[split.validation].astype(np.float32))
    return Decision(
        threshold=float(np.percentile(errors, config.percentile)),
        percentile=config.percentile,
        n_images=len(errors),
        n_patients=len({images.sources[index].group for index in split.validation}),
    )


def _measure(
    cleaned: Cleaned, images: Collection, split: Split, decision: Decision
) -> dict[str, float]:
    """Score the held-out patients, on whom nothing was chosen."""
    errors = reconstruction_errors(cleaned.network, images.x[split.holdout].astype(np.float32))
    return {
        "heldout_images": float(len(errors)),
        "heldout_patients": float(len({images.sources[i].group for i in split.holdout})),
        "heldout_mse_mean": float(errors.mean()),
        "heldout_mse_median": float(np.median(errors)),
        "heldout_mse_p95": float(np.percentile(errors, 95)),
        "heldout_alarm_rate": float((errors > decision.threshold).mean()),
        "train_mse_mean": float(cleaned.errors[cleaned.keep].mean()),
    }


def golden_inputs(spec: InputSpec) -> FloatArray:
    """Make the slices that travel with the model: phantoms, so that no patient's image does."""
    kinds = ("none", "none", "lesion", "noise")
    return np.stack([to_input(phantom_slice(0, i, kind), spec) for i, kind in enumerate(kinds)])


def _save(
    options: Options,
    input_spec: InputSpec,
    cleaned: Cleaned,
    images: Collection,
    split: Split,
    decision: Decision,
    metrics: dict[str, float],
) -> str:
    kept = split.train[cleaned.keep]
    provenance = Provenance(
        data=options.description or ", ".join(Path(path).name for path in options.data),
        command=options.command,
        seed=options.config.seed,
        n_images=len(kept),
        n_patients=len({images.sources[index].group for index in kept}),
        n_removed=int((~cleaned.keep).sum()),
        epochs=options.config.epochs,
        metrics=metrics,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    tag = save_model(
        cleaned.network,
        name=options.name,
        input_spec=input_spec,
        decision=decision,
        provenance=provenance,
        golden=golden_inputs(input_spec),
    )
    return str(tag)


def _draw(
    folder: Path, cleaned: Cleaned, images: Collection, split: Split, decision: Decision
) -> None:
    sources = [images.sources[index] for index in split.train]
    report.write_removed(folder / report.REMOVED_FILE, sources, cleaned.rounds)
    report.plot_loss(folder / report.LOSS_PLOT, cleaned.history)
    before = cleaned.rounds[0].errors if cleaned.rounds else cleaned.errors
    report.plot_errors(
        folder / report.ERRORS_PLOT, before, cleaned.errors, cleaned.keep, decision.threshold
    )
