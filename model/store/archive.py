"""Read and write .bentomodel files, the archives in which models travel."""

from __future__ import annotations

import errno
import json
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import HASHED_FILES, SPEC_FILE, STORE_FILE, STORE_HASH_FILE

# The stages that the model held where it was exported.
EXPORTED_STAGES_FILE = "exported_stages.json"
# All that is ever unpacked: an archive may hold more, BentoML's pickled objects for one.
_FILES = {*HASHED_FILES, SPEC_FILE, STORE_FILE, STORE_HASH_FILE, EXPORTED_STAGES_FILE}
# The folder's fault, not the archive's.
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def check_readable(path: Path) -> None:
    """Say what is wrong with a path before anything is read from it.

    Raises:
        ModelNotFound: nothing is there, or no file, or nobody may read it.
    """
    try:
        if path.is_dir():
            # Docker makes a folder of a bind mount whose source is not there.
            raise ModelNotFound(f"{path} is a folder, not a .bentomodel file; is it mounted whole?")
        if not path.is_file():  # a pipe would hold up who opens it
            raise ModelNotFound(f"{path} is not a file")
        path.open("rb").close()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelNotFound(f"{path} cannot be read ({reason})") from error


def unpack_model(path: Path, folder: Path) -> None:
    """Unpack the files of a model; nothing in it may lie outside the folder (PEP 706).

    Raises:
        DamagedModel: not a whole archive.
        ModelError: the folder is full or cannot be written to.
    """
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter=_only_ours)  # noqa: S202 (it filters)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
            reason = str(error.strerror).lower()
            raise ModelError(f"{path.name} cannot be unpacked into {folder} ({reason})") from error
        raise DamagedModel(f"{path.name} is not a whole .bentomodel file") from error


def _only_ours(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Keep what belongs to a model, refuse what would leave the folder, skip the rest."""
    if member.name.removeprefix("./") not in _FILES:
        return None
    return tarfile.data_filter(member, folder)


def take_exported_stages(folder: Path) -> tuple[str, ...]:
    """Read which stages an unpacked model held, and remove the note: a stage is the store's.

    Raises:
        DamagedModel: the note is damaged.
    """
    path = folder / EXPORTED_STAGES_FILE
    try:
        stages = json.loads(path.read_text("utf-8"))
        path.unlink()
        return tuple(str(stage) for stage in stages)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise DamagedModel(f"{EXPORTED_STAGES_FILE} is damaged in the .bentomodel file") from error


def pack_model(directory: Path, path: Path, stages: Sequence[str]) -> None:
    """Write the files of a model and the stages that it holds to an archive, aside and renamed."""
    import bentoml

    with tempfile.TemporaryDirectory(prefix="model-", dir=path.parent) as folder:
        copy = shutil.copytree(directory, Path(folder) / "model")
        if stages:
            (copy / EXPORTED_STAGES_FILE).write_text(json.dumps(list(stages)), "utf-8")
        written = Path(folder) / "export.bentomodel"
        bentoml.Model.from_path(copy).export(str(written))
        written.replace(path)
