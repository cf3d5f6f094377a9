"""Save models in the BentoML model store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from model.spec import SPEC_FILE, SPEC_HASH, ModelSpec, hash_file
from model.store.find import DEFAULT_NAME, find_directory, one_line_errors, refuse_reserved
from model.store.record import calibration_metadata, labels, metadata, seal

if TYPE_CHECKING:
    from bentoml import Tag

    from model.export import Trained


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
        # The 0700 of mkdtemp would go with the model into an image, where any user may serve it.
        Path(saved.path).chmod(0o755)
        spec = write(Path(saved.path))
        saved.info.labels.update(labels(spec))
        saved.info.metadata.update(metadata(spec))
        saved.info.metadata.update(calibration_metadata(Path(saved.path)))
        saved.info.metadata[SPEC_HASH] = hash_file(Path(saved.path) / SPEC_FILE)
        saved.flush()  # type: ignore[no-untyped-call]  # BentoML leaves it untyped
    seal(find_directory(str(saved.tag)))
    return saved.tag
