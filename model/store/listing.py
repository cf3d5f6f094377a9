"""List the models of a store, damaged ones included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model.errors import ModelError
from model.spec import STORE_FILE, load_spec
from model.store.find import DEFAULT_NAME, stages_of, store_home
from model.store.served import choose_served

# The entries of a model's record that are listed.
SHOWN = (
    *("alarm_rate", "alarm_rate_bound", "calibration_patients"),
    "calibration_studies",  # of a model that counted studies
    "training_images",
)


@dataclass(frozen=True)
class StoredModel:
    """One version of a model.

    Args:
        tag: name:version.
        stages: those that it holds.
        is_latest: the newest one.
        is_served: the one that a server takes without SPINE_MODEL.
        created: when it was saved, ISO 8601.
        facts: the values of SHOWN.
        problem: why it cannot be served, in one line; empty where it can.
    """

    tag: str
    stages: tuple[str, ...] = ()
    is_latest: bool = False
    is_served: bool = False
    created: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def list_models() -> list[StoredModel]:
    """List all stored models by name, the newest version of each first.

    Raises:
        ModelError: a stage is damaged.
    """
    models = store_home() / "models"
    names = sorted(p for p in models.iterdir() if p.is_dir()) if models.is_dir() else []
    return [
        model
        for versions in names
        for model in sorted(_describe_all(versions), key=lambda one: one.created, reverse=True)
    ]


def _describe_all(versions: Path) -> Iterator[StoredModel]:
    import yaml

    try:
        latest = (versions / "latest").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        latest = ""
    try:
        served = choose_served(DEFAULT_NAME).folder
    except ModelError:  # a server would not start
        served = None
    for folder in sorted(p for p in versions.iterdir() if p.is_dir()):
        model = StoredModel(
            f"{versions.name}:{folder.name}",
            stages_of(versions, folder.name),
            is_latest=folder.name == latest,
            is_served=folder == served,
        )
        try:
            load_spec(folder)
            record = yaml.safe_load((folder / STORE_FILE).read_text("utf-8"))
        except (ModelError, OSError, yaml.YAMLError) as error:
            yield replace(model, problem=str(error).splitlines()[0])
            continue
        found = record["metadata"]
        facts = {key: found[key] for key in SHOWN if key in found}
        yield replace(model, created=str(record["creation_time"]), facts=facts)
