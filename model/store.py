"""Models in the BentoML model store: save, find. `python -m model.store --help` does the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ModelError, ModelNotFound
from model.locking import locked
from model.record import calibration_metadata, labels, metadata, seal
from model.spec import SPEC_FILE, SPEC_HASH, ModelSpec, hash_file
from model.stages import RESERVED, STAGES, find_holder

if TYPE_CHECKING:
    from bentoml import Tag

    from model.export import Trained

DEFAULT_NAME = "spine_autoencoder"
# What the store itself accepts (PEP 440-like tags, lower case).
_TAG = re.compile(r"[a-z0-9_.-]+(:[a-z0-9_.-]+)?")


def save_model(trained: Trained, *, name: str = DEFAULT_NAME, version: str | None = None) -> Tag:
    """Save a trained model in the BentoML model store, complete or not at all.

    Args:
        trained: its networks and everything that belongs to them; see `model.export.Trained`.
        name: in the store.
        version: in the store; made by BentoML when not given.

    Returns:
        The tag, name:version.

    Raises:
        ModelError: onnxruntime and torch disagree, or the tag is taken or malformed.
    """
    from model.export import write_model

    return save_files(lambda folder: write_model(folder, name, trained), name, version)


def save_files(
    write: Callable[[Path], ModelSpec], name: str = DEFAULT_NAME, version: str | None = None
) -> Tag:
    """Save what `write` puts into a folder as a model, complete or not at all.

    Args:
        write: fills an empty folder with the files of a model.
        name: in the store.
        version: in the store; made by BentoML when not given.

    Raises:
        ModelError: `write` raised it, or the tag is taken or malformed.
    """
    from bentoml.models import create

    tag = f"{name}:{version}" if version else name
    refuse_reserved(tag)
    with one_line_errors(tag), create(tag) as saved:
        # mkdtemp's 0700 would go with the model into an image, where any user may serve it.
        Path(saved.path).chmod(0o755)
        spec = write(Path(saved.path))
        saved.info.labels.update(labels(spec))
        saved.info.metadata.update(metadata(spec))
        saved.info.metadata.update(calibration_metadata(Path(saved.path)))
        saved.info.metadata[SPEC_HASH] = hash_file(Path(saved.path) / SPEC_FILE)
        saved.flush()  # type: ignore[no-untyped-call]  # BentoML leaves it untyped
    seal(find_directory(str(saved.tag)))
    return saved.tag


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


if __name__ == "__main__":
    from model.store_cli import run

    run()
