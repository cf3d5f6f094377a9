"""Read and write .bentomodel files, the archives in which models travel."""

from __future__ import annotations

import errno
import json
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import HASHED_FILES, SPEC_FILE, STORE_FILE, STORE_HASH_FILE

# The stages that the model held where it was exported.
EXPORTED_STAGES_FILE = "exported_stages.json"
# Nothing else is ever unpacked: an archive may hold more, such as the objects that BentoML pickles.
_FILES = {*HASHED_FILES, SPEC_FILE, STORE_FILE, STORE_HASH_FILE, EXPORTED_STAGES_FILE}
# The folder is at fault, not the archive.
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def check_readable(path: Path) -> None:
    """Refuse a path that cannot be a model's file, before anything is read from it.

    Raises:
        ModelNotFound: nothing is there, it is not a regular file, or it cannot be read.
    """
    try:
        if path.is_dir():
            # Docker creates a folder where the source of a bind mount does not exist.
            raise ModelNotFound(
                f"{path} is a folder, not a .bentomodel file; is the source of its mount missing?"
            )
        if not path.is_file():  # opening a pipe would block
            raise ModelNotFound(f"{path} is not a file")
        path.open("rb").close()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelNotFound(f"{path} cannot be read ({reason})") from error


def unpack_model(path: Path, folder: Path) -> None:
    """Unpack the files of a model; none of them may lie outside the folder (PEP 706).

    Raises:
        DamagedModel: the archive is cut short or damaged.
        ModelError: the folder is full or cannot be written to.
    """
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter=_keep_model_files)  # noqa: S202 (it filters)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _CANNOT_WRITE:
            reason = str(error.strerror).lower()
            raise ModelError(f"{path.name} cannot be unpacked into {folder} ({reason})") from error
        raise DamagedModel(f"{path.name} is not a whole .bentomodel file") from error


def _keep_model_files(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Keep the files of a model, refuse what would leave the folder, skip the rest."""
    if member.name.removeprefix("./") not in _FILES:
        return None
    return tarfile.data_filter(member, folder)


def take_exported_stages(folder: Path) -> tuple[str, ...]:
    """Read the stages that an unpacked model held; remove their file, as a store keeps its own.

    Raises:
        DamagedModel: the file is damaged.
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


@contextmanager
def packed_model(directory: Path, path: Path, stages: Sequence[str]) -> Iterator[Path]:
    """Yield an archive of a model and its stages, to be renamed to `path`; else it is removed."""
    import bentoml

    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        copy = shutil.copytree(directory, Path(folder) / "model")
        if stages:
            (copy / EXPORTED_STAGES_FILE).write_text(json.dumps(list(stages)), "utf-8")
        written = Path(folder) / "export.bentomodel"
        bentoml.Model.from_path(copy).export(str(written))
        yield written
