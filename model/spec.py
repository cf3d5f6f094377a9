"""ModelSpec <-> model.json: how to rebuild a model, preprocess for it and decide with it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.errors import DamagedModel, OtherFormat
from preprocessing import InputSpec

FORMAT_VERSION = 2
SPEC_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
ONNX_FILE = "model.onnx"
REFERENCE_FILE = "reference.npz"
CALIBRATION_FILE = "calibration.npz"
GOLDEN_FILE = "golden.npz"
HASHED_FILES = (WEIGHTS_FILE, ONNX_FILE, REFERENCE_FILE, CALIBRATION_FILE, GOLDEN_FILE)
# BentoML's own record of a stored model; its metadata keeps the hash of model.json.
STORE_FILE = "model.yaml"
SPEC_HASH = "spec_sha256"
# The hash of that record itself, written when the model is saved or imported: with another name or
# date in it BentoML would fail, or mistake one model for another.
STORE_HASH_FILE = "model.yaml.sha256"


@dataclass(frozen=True)
class AutoencoderConfig:
    """The shape of the network.

    Args:
        size: side of the square input, pixels; a multiple of 2 ** len(channels).
        channels: feature maps after each halving of the resolution.
        latent: length of the global code. A narrow one (16-128) finds more than a wide one, which
            also rebuilds what it never saw (measured on phantoms and on real slices).
    """

    size: int = 128
    channels: tuple[int, ...] = (8, 16, 32, 64, 128)
    latent: int = 64

    def __post_init__(self) -> None:
        if not self.channels or min(*self.channels, self.latent, self.size) < 1:
            raise ValueError("size, channels and latent must be positive")
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} is not a multiple of {2 ** len(self.channels)}")


@dataclass(frozen=True)
class InspectorConfig:
    """The shape of the second network.

    Args:
        size: side of the square input, pixels; a multiple of 2 ** len(channels).
        channels: feature maps after each halving of the resolution. Multiples of 16, because
            onnxruntime takes as long for 24 as for 32.
        hidden: units between the pooled features and the faults.
        n_tissues: background, vertebra, canal, disc.
        faults: the kinds of corruption that it recognises, in the order of its outputs.
    """

    size: int = 192
    channels: tuple[int, ...] = (16, 32, 48, 64, 96)
    hidden: int = 64
    n_tissues: int = 4
    faults: tuple[str, ...] = (
        *("ghosting", "motion", "spikes", "wrap", "noise", "blur"),
        *("bias", "lines", "turned", "blanked", "hole"),
    )

    def __post_init__(self) -> None:
        if len(self.channels) < 3 or min(*self.channels, self.hidden, self.size) < 1:
            raise ValueError(
                "three stages are the fewest; size, channels and hidden must be positive"
            )
        if self.size % 2 ** len(self.channels):
            raise ValueError(f"size {self.size} is not a multiple of {2 ** len(self.channels)}")


@dataclass(frozen=True)
class Decision:
    """A default threshold of the MSE; requests that name no threshold are decided by alarm rate.

    Args:
        threshold: reconstruction MSE above which a slice is called an anomaly.
        percentile: of the validation slices' MSE, 0-100, that the threshold is.
        n_images: number of validation slices.
        n_patients: number of their patients, none of whom was trained on.
    """

    threshold: float
    percentile: float
    n_images: int
    n_patients: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            raise ValueError(f"threshold must be finite and not negative, not {self.threshold}")


@dataclass(frozen=True)
class Provenance:
    """How a model was made.

    Args:
        data: what it was trained on, in words.
        command: the command that made it.
        seed: seed of split, weights and augmentation.
        n_images: slices trained on, after cleaning.
        n_patients: number of their patients.
        n_removed: slices that cleaning removed.
        epochs: passes over the data in the final training.
        metrics: measured on patients that were neither trained on nor used for the threshold.
        versions: package -> version.
        created: UTC time, ISO 8601.
        recalibrated: the origin of the calibration, if it is not that of the training.
    """

    data: str
    command: str
    seed: int
    n_images: int
    n_patients: int
    n_removed: int
    epochs: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    recalibrated: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """The content of model.json."""

    name: str
    network: AutoencoderConfig
    inspector: InspectorConfig
    input: InputSpec
    columns: tuple[str, ...]
    decision: Decision
    provenance: Provenance
    n_parameters: int
    sha256: Mapping[str, str]
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.inspector.size != self.input.size or self.network.size > self.input.size:
            raise ValueError(
                f"the networks take {self.inspector.size} px and at most as many"
                f" ({self.network.size}), preprocessing makes {self.input.size}"
            )

    def to_json(self) -> str:
        """Write the spec as indented JSON, keys in the order of the fields."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read what `to_json` wrote.

        Raises:
            DamagedModel: it is not JSON, or has a field too many or too few.
            OtherFormat: written by another version of this program.
        """
        try:
            raw: dict[str, Any] = json.loads(text)
            version = raw.get("format_version")
            if version != FORMAT_VERSION:
                raise OtherFormat(
                    f"{SPEC_FILE} has format {version!r}, this program reads {FORMAT_VERSION};"
                    " train the model again, or import the released one"
                )
            return cls(
                **raw
                | read_networks(raw)
                | {
                    "columns": tuple(raw["columns"]),
                    "input": InputSpec(**raw["input"]),
                    "decision": Decision(**raw["decision"]),
                    "provenance": Provenance(**raw["provenance"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedModel(f"{SPEC_FILE} is damaged; import the model again") from error


def read_networks(raw: Mapping[str, Any]) -> dict[str, AutoencoderConfig | InspectorConfig]:
    """Rebuild the networks' shapes from the JSON of whatever has them as fields.

    Raises:
        KeyError, TypeError, ValueError: one is missing or damaged.
    """
    network, inspector = raw["network"], raw["inspector"]
    lists = {name: tuple(inspector[name]) for name in ("channels", "faults")}
    return {
        "network": AutoencoderConfig(**network | {"channels": tuple(network["channels"])}),
        "inspector": InspectorConfig(**inspector | lists),
    }


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_spec(directory: Path) -> ModelSpec:
    """Read model.json and check every file against its hash; in a store, model.json too.

    Raises:
        DamagedModel: a file is missing, cut short or changed.
        OtherFormat: written by another version of this program.
    """
    if (directory / STORE_FILE).exists() or (directory / STORE_HASH_FILE).exists():
        _check_spec_hash(directory)
    try:
        spec = ModelSpec.from_json((directory / SPEC_FILE).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedModel(f"{SPEC_FILE} cannot be read; import the model again") from error
    for name in HASHED_FILES:
        path = directory / name
        if not path.is_file():
            raise DamagedModel(f"{name} is missing; import the model again")
        if hash_file(path) != spec.sha256.get(name):
            raise DamagedModel(f"{name} is not the file that was saved; import the model again")
    return spec


def _check_spec_hash(directory: Path) -> None:
    """Check model.json against the hash in BentoML's record of the model.

    Raises:
        DamagedModel: one of the two is missing, cut short or changed.
    """
    import yaml

    try:
        seal = directory / STORE_HASH_FILE
        if seal.exists() and seal.read_text("ascii") != hash_file(directory / STORE_FILE):
            raise DamagedModel(
                f"{STORE_FILE} is not the file that was saved; import the model again"
            )
        record = yaml.safe_load((directory / STORE_FILE).read_text("utf-8"))
        expected = record["metadata"][SPEC_HASH]
        for key in ("name", "version", "creation_time"):  # BentoML fails without them
            record[key]
        found = hash_file(directory / SPEC_FILE)
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise DamagedModel(
            f"{STORE_FILE} or {SPEC_FILE} is damaged; import the model again"
        ) from error
    if found != expected:
        raise DamagedModel(f"{SPEC_FILE} is not the file that was saved; import the model again")
