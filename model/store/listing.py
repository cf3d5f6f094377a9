"""What a model store holds, damaged models included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.errors import ModelError
from model.spec import STORE_FILE, load_spec
from model.store.find import store_home
from model.store.stages import stages_of

# What is shown of the model's record.
SHOWN = ("alarm_rate", "alarm_rate_bound", "calibration_studies", "training_images")


@dataclass(frozen=True)
class StoredModel:
    """One version of a model.

    Args:
        tag: name:version.
        stages: that it holds.
        is_latest: what `name` alone means.
        created: when it was saved, ISO 8601.
        facts: SHOWN -> value.
        problem: why it cannot be served, in one line; empty where it can.
    """

    tag: str
    stages: tuple[str, ...] = ()
    is_latest: bool = False
    created: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def list_models() -> list[StoredModel]:
    """All stored models, by name, the newest of each first.

    Raises:
        DamagedModel: it cannot be read which version holds a stage.
    """
    models = store_home() / "models"
    names = sorted(p for p in models.iterdir() if p.is_dir()) if models.is_dir() else []
    return [model for versions in names for model in _newest_first(versions)]


def _newest_first(versions: Path) -> list[StoredModel]:
    return sorted(_describe_all(versions), key=lambda model: model.created, reverse=True)


def _describe_all(versions: Path) -> Iterator[StoredModel]:
    import yaml

    try:
        latest = (versions / "latest").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        latest = ""
    for folder in sorted(p for p in versions.iterdir() if p.is_dir()):
        tag = f"{versions.name}:{folder.name}"
        stages = stages_of(versions, folder.name)
        try:
            load_spec(folder)
            record = yaml.safe_load((folder / STORE_FILE).read_text("utf-8"))
        except (ModelError, OSError, yaml.YAMLError) as error:
            problem = str(error).splitlines()[0]
            yield StoredModel(tag, stages, folder.name == latest, problem=problem)
            continue
        facts = {key: record["metadata"].get(key) for key in SHOWN}
        created = str(record["creation_time"])
        yield StoredModel(tag, stages, folder.name == latest, created, facts)
