"""Move models between the BentoML model store and .bentomodel files: import, export."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import DamagedModel, ModelError
from model.spec import STORE_HASH_FILE, ModelSpec, load_spec
from model.store.archive import check_readable, packed_model, take_exported_stages, unpack_model
from model.store.find import (
    find_directory,
    one_line_errors,
    refuse_reserved,
    stages_of,
    store_home,
    store_lock,
)
from model.store.record import read_tag, seal
from model.store.stages import adopt_stages

if TYPE_CHECKING:
    from bentoml import Tag

log = logging.getLogger(__name__)


def import_model(path: Path) -> Tag:
    """Import a .bentomodel file after checking every file in it against its hash.

    Importing what the store already holds, undamaged, changes nothing; a damaged copy in the
    store is replaced. The model takes the stages that it held where it was exported, unless
    another version holds them here.

    Raises:
        ModelError: no such file, not a model, damaged, or another model under the same tag.
    """
    check_readable(path)
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        unpacked = Path(folder) / "model"
        unpacked.mkdir()  # its permissions go into the store, those of `folder` are 0700
        unpack_model(path, unpacked)
        spec, tag = load_spec(unpacked), read_tag(unpacked)
        refuse_reserved(str(tag))
        stages = take_exported_stages(unpacked)
        stored = store_home() / "models" / tag.name / str(tag.version)
        is_complete = (stored / STORE_HASH_FILE).is_file() and (stored.parent / "latest").is_file()
        # A store that may only be read serves as well, when the model is in it.
        if stages or not (is_complete and _is_whole(stored, spec, tag)):
            with store_lock():
                _add(unpacked, stored, spec, tag)
                for stage in adopt_stages(stored, stages):
                    log.warning(
                        "%s was %s where it was exported; here another version is, and stays",
                        *(tag, stage),
                    )
    return tag


def _add(unpacked: Path, stored: Path, spec: ModelSpec, tag: Tag) -> None:
    """Put checked files into the store unless they are there; the caller holds its lock."""
    import bentoml

    if stored.is_dir() and _is_whole(stored, spec, tag):
        latest = stored.parent / "latest"
        if not latest.is_file():  # an import that was killed just before its last step
            latest.write_text(str(tag.version), "utf-8")
        if not (stored / STORE_HASH_FILE).is_file():
            seal(stored)
        return
    damaged = stored.with_name(f"{stored.name}.damaged")
    if stored.is_dir():
        shutil.rmtree(damaged, ignore_errors=True)
        stored.rename(damaged)
    try:
        with one_line_errors(str(tag)):
            bentoml.models.import_model(str(unpacked), "folder")
        seal(stored)
    finally:
        if stored.is_dir():
            shutil.rmtree(damaged, ignore_errors=True)
        elif damaged.is_dir():
            damaged.rename(stored)


def _is_whole(folder: Path, spec: ModelSpec, tag: Tag) -> bool:
    """Return whether the store's copy is undamaged.

    Raises:
        ModelError: it is another model or of another format, and must not be overwritten.
    """
    try:
        if load_spec(folder) != spec:
            raise ModelError(f"the store holds another model as {tag}; delete it first")
    except DamagedModel:
        return False
    return True


def export_model(tag: str, path: Path, *, overwrite: bool = False) -> Path:
    """Write a stored model and its stages to a .bentomodel file: to a temporary one, then renamed.

    Args:
        tag: name, name:version or name:stage.
        path: of the file.
        overwrite: replace a file that is there.

    Raises:
        ModelError: no such model, damaged, or the file exists or cannot be written.
    """
    stored = find_directory(tag)
    load_spec(stored)
    path = path.resolve()  # BentoML takes a relative path as one from the root
    _check_target(path, overwrite)
    with one_line_errors(tag):
        path.parent.mkdir(parents=True, exist_ok=True)
        with packed_model(stored, path, stages_of(stored.parent, stored.name)) as written:
            _check_target(path, overwrite)  # packing takes seconds
            written.replace(path)
    return path


def _check_target(path: Path, overwrite: bool) -> None:
    """Refuse to write over what an export must not replace.

    Raises:
        ModelError: a file is there that may not be replaced, or something that is no file.
    """
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is not a file; name the .bentomodel file to write")
    if path.exists() and not overwrite:
        raise ModelError(f"{path} exists; --force replaces it")
