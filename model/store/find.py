"""Find models in the BentoML model store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from model.errors import ModelError, ModelNotFound
from model.store.locking import locked
from model.store.stages import RESERVED, STAGES, find_holder

DEFAULT_NAME = "spine_autoencoder"
# What the store itself accepts (PEP 440-like tags, lower case).
_TAG = re.compile(r"[a-z0-9_.-]+(:[a-z0-9_.-]+)?")


def store_home() -> Path:
    """The folder of the BentoML store: BENTOML_HOME, else ~/bentoml."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")


def store_lock() -> AbstractContextManager[None]:
    """Keep two changes apart: BentoML makes a model's folder first and fills it afterwards."""
    return locked(store_home(), "the model store")


def find_directory(tag: str = DEFAULT_NAME, models: Path | None = None) -> Path:
    """Find a stored model's folder, without importing BentoML.

    Serving's start checks the model with this: BentoML takes a second to import, this nothing.

    Args:
        tag: name, name:version or name:stage.
        models: the folder of all models of a store; that of `store_home` by default.

    Raises:
        ModelNotFound: no such name or version, or no version holds the stage.
        ModelError: the stage is damaged, or means two things.
    """
    if not _TAG.fullmatch(tag):
        raise ModelNotFound(f"{tag!r} is not a model tag; write name, name:version or name:stage")
    name, _, version = tag.partition(":")
    folder = (models or store_home() / "models") / name
    if version in STAGES:
        return find_holder(folder, version)
    if not version or version == "latest":
        try:
            version = (folder / "latest").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ModelNotFound(
                f"the model store has no {name}; make serve imports the released one"
            ) from error
    # What `latest` says may be anything; a damaged name is not printed.
    if not _TAG.fullmatch(f"{name}:{version}") or version.strip(".") == "":
        raise ModelNotFound(f"the model store names no valid version of {name}")
    if not (folder / version).is_dir():
        raise ModelNotFound(f"the model store has no {name}:{version}")
    return folder / version


def refuse_reserved(tag: str) -> None:
    """Keep versions from being called like a stage.

    Raises:
        ModelError: this one is.
    """
    version = tag.partition(":")[2]
    if version in RESERVED:
        raise ModelError(f"{version} cannot be a version: {tag} means another one")


@contextmanager
def one_line_errors(tag: str) -> Iterator[None]:
    """Turn BentoML's exceptions into ModelError."""
    from bentoml.exceptions import BentoMLException

    try:
        yield
    except (BentoMLException, ValueError, OSError) as error:
        raise ModelError(f"the model store refused {tag}: {str(error).splitlines()[0]}") from error
