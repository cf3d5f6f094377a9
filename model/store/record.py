"""Fill, seal and read what BentoML keeps of a stored model: its record, model.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import DamagedModel
from model.spec import STORE_FILE, STORE_HASH_FILE, ModelSpec, hash_file

if TYPE_CHECKING:
    from bentoml import Tag


def seal(folder: Path) -> None:
    """Write the hash of the record next to it, to a temporary file that is then renamed."""
    written = folder / f".{STORE_HASH_FILE}"
    written.write_text(hash_file(folder / STORE_FILE), "ascii")
    written.replace(folder / STORE_HASH_FILE)


def read_tag(folder: Path) -> Tag:
    """Read the tag of the model in a folder.

    Raises:
        DamagedModel: the record is missing or damaged.
    """
    import yaml
    from bentoml import Tag

    try:
        described = yaml.safe_load((folder / STORE_FILE).read_text("utf-8"))
        return Tag(described["name"], described["version"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedModel(f"{STORE_FILE} is missing or damaged in the .bentomodel file") from error


def labels(spec: ModelSpec) -> dict[str, str]:
    """Return what `bentoml models list` can filter by."""
    return {
        "task": "anomaly-detection",
        "modality": "MR",
        "body_part": "spine",
        "runtime": "onnx",
        "input": f"{spec.input.size}x{spec.input.size}",
    }


def metadata(spec: ModelSpec) -> dict[str, str | int | float]:
    """Return what `bentoml models get` shows of model.json."""
    return {
        "threshold": spec.decision.threshold,
        "threshold_percentile": spec.decision.percentile,
        "threshold_patients": spec.decision.n_patients,
        "parameters": spec.n_parameters,
        "latent": spec.network.latent,
        "training_images": spec.provenance.n_images,
        "training_patients": spec.provenance.n_patients,
        "removed_images": spec.provenance.n_removed,
        "data": spec.provenance.data,
        "seed": spec.provenance.seed,
    }


def calibration_metadata(folder: Path) -> dict[str, str | int | float]:
    """Return what `bentoml models get` shows of the calibration; its bound holds for 9 of 10."""
    from model.calibration.alarm_rates import rate_bound
    from model.runtime import load_calibration

    calibration = load_calibration(folder)
    n_patients, rate = calibration.n_patients, calibration.alarm_rate
    return {
        "alarm_rate": rate,
        "alarm_rate_bound": round(rate_bound(rate, n_patients), 4),
        "calibration_patients": n_patients,
        "calibration_slices": len(calibration.scores),
        "calibration_strata": ", ".join(
            f"{stratum.key} ({stratum.n_patients}{', pooled' if stratum.is_pooled else ''})"
            for stratum in calibration.strata()
        ),
    }
