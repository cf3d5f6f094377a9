"""Find models in the BentoML model store: by version, `latest` or stage.

A stage is a file beside the versions of a name, like BentoML's own `latest`. Each of its lines is a
version and the SHA-256 of its model.json: the first one holds the stage, the others held it before,
newest first. BentoML's labels are no place for it: they lie in a model's record, which is sealed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import SPEC_FILE, hash_file
from model.store.locking import locked

DEFAULT_NAME = "spine_autoencoder"
# What the store itself accepts (PEP 440-like tags, lower case).
_TAG = re.compile(r"[a-z0-9_.-]+(:[a-z0-9_.-]+)?")
STAGES = ("production", "staging")
_HOLDER = re.compile(r"([a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?) ([0-9a-f]{64})")
# Written by earlier releases.
_OLD_STAGES = "stages.json"


class Holder(NamedTuple):
    """A version that holds or held a stage; the hash shows whether it is still the same model."""

    version: str
    spec_sha256: str


def store_home() -> Path:
    """The folder of the BentoML store: BENTOML_HOME, else ~/bentoml."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")


def store_lock() -> AbstractContextManager[None]:
    """Lock the store for a change: BentoML creates a model's folder first and fills it later."""
    return locked(store_home(), "the model store")


def find_directory(tag: str = DEFAULT_NAME, models: Path | None = None) -> Path:
    """Find a stored model's folder, without importing BentoML.

    A server's start checks the model with it, and importing BentoML would take a second.

    Args:
        tag: name, name:version or name:stage.
        models: the folder of all models of a store; that of `store_home` by default.

    Raises:
        ModelNotFound: no such name or version, or no version holds the stage.
        ModelError: the stage is damaged, or its version is gone or is another model now.
    """
    if not _TAG.fullmatch(tag):
        raise ModelNotFound(f"{tag!r} is not a model tag; write name, name:version or name:stage")
    name, _, version = tag.partition(":")
    folder = (models or store_home() / "models") / name
    if version in STAGES:
        return _find_holder(folder, version)
    if not version or version == "latest":
        try:
            version = (folder / "latest").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            advice = "python -m model.store list names what it holds"
            if name == DEFAULT_NAME:
                advice = "make serve imports the released one"
            raise ModelNotFound(f"the model store has no {name}; {advice}") from error
    # `latest` may contain anything; a damaged name is not printed.
    if not _TAG.fullmatch(f"{name}:{version}") or version.strip(".") == "":
        raise ModelNotFound(f"the model store names no valid version of {name}")
    if not (folder / version).is_dir():
        advice = "python -m model.store list names what it holds"
        raise ModelNotFound(f"the model store has no {name}:{version}; {advice}")
    return folder / version


def _find_holder(versions: Path, stage: str) -> Path:
    """Find the folder of the version that holds a stage.

    Raises:
        ModelNotFound: no version holds it.
        ModelError: the stage is damaged, or its version is gone or is another model now.
    """
    name, holders = versions.name, read_holders(versions, stage)
    if not holders:
        raise ModelNotFound(
            f"no version of {name} holds the stage {stage};"
            f" python -m model.store tag {name}:VERSION stage={stage}"
        )
    if (problem := holder_problem(versions, holders[0])) is not None:
        raise ModelError(f"{stage} of {name} is {problem}; import it, tag another or roll back")
    return versions / holders[0].version


def read_holders(versions: Path, stage: str) -> list[Holder]:
    """Read the versions that hold and held a stage, newest first; none where none ever did.

    Args:
        versions: the folder of all versions of a name.
        stage: one of STAGES.

    Raises:
        ModelError: the stage is damaged, or a version has the same name.
    """
    path, old = versions / stage, versions / _OLD_STAGES
    if old.exists():
        raise ModelError(
            f"{old} is of an older release; note the stages in it, delete it and give them again"
        )
    if path.is_dir():  # saved by another program
        raise ModelError(
            f"{versions.name} has a version called {stage}, which is a stage;"
            f" delete it: bentoml models delete {versions.name}:{stage}"
        )
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        lines = []
    matches = [match for line in lines if (match := _HOLDER.fullmatch(line))]
    if not lines or len(matches) < len(lines):
        raise DamagedModel(
            f"{stage} of {versions.name} is damaged; delete {path} and give the stage again"
        )
    return [Holder(match[1], match[2]) for match in matches]


def holder_problem(versions: Path, holder: Holder) -> str | None:
    """Return why a holder cannot be served; None when its model is the one that got the stage."""
    try:
        found = hash_file(versions / holder.version / SPEC_FILE)
    except OSError:
        return f"{holder.version}, which the store does not hold"
    if found != holder.spec_sha256:
        return f"{holder.version}, and the store holds another model under this version"
    return None


def stages_of(versions: Path, version: str) -> tuple[str, ...]:
    """The stages that a version holds now."""
    return tuple(
        stage
        for stage in STAGES
        if version in [h.version for h in read_holders(versions, stage)[:1]]
    )


def check_name(name: str) -> None:
    """Refuse a name that the store would refuse, or write in another way.

    Raises:
        ModelError: it would.
    """
    from bentoml import Tag

    with one_line_errors(repr(name)):
        if str(Tag.from_str(name)) != name or ":" in name:
            raise ValueError("a model's name is of lower-case letters, digits, '_', '.' and '-'")


def refuse_reserved(tag: str) -> None:
    """Refuse a version that has the name of a stage.

    Raises:
        ModelError: it has.
    """
    version = tag.partition(":")[2]
    if version in (*STAGES, "latest"):
        raise ModelError(f"{version} cannot be a version: {tag} means another one")


@contextmanager
def one_line_errors(tag: str) -> Iterator[None]:
    """Turn BentoML's exceptions into ModelError."""
    from bentoml.exceptions import BentoMLException

    try:
        yield
    except (BentoMLException, ValueError, OSError) as error:
        raise ModelError(f"the model store refused {tag}: {str(error).splitlines()[0]}") from error
