"""Find the model that SPINE_MODEL names: a tag, a stage or a .bentomodel file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import STORE_HASH_FILE, hash_file, load_spec
from model.store.archive import check_readable, unpack_model
from model.store.find import STAGES, find_directory, store_home
from model.store.locking import locked
from model.store.private_folder import make_private
from model.store.record import read_tag, seal

# The choice of the supervisor, which its workers inherit: after a stage has moved or a file was
# replaced, a worker that starts later must still serve the same model as the others.
FOLDER_VARIABLE = "SPINE_MODEL_FOLDER"
_ASIDE = "unpacking-"
_REASONS = {stage: f"which holds the stage {stage}" for stage in STAGES}
_REASONS["latest"] = "the newest version"


def names_file(wanted: str) -> bool:
    """Return whether this is the path of a file, and not a tag."""
    return "/" in wanted or wanted.endswith(".bentomodel")


@dataclass(frozen=True)
class Choice:
    """The model that a server takes.

    Args:
        folder: of its files.
        name: name:version, or the path of its file.
        reason: for the choice, in words that follow the name.
    """

    folder: Path
    name: str
    reason: str

    def __str__(self) -> str:
        """The line that a server prints at its start."""
        return f"serving {self.name}, {self.reason}"


def choose_served(wanted: str, stores: Sequence[Path] = ()) -> Choice:
    """Find the model to serve by name, name:version, name:stage or the path of its file.

    A name alone means the version that holds the stage production, else the newest one: a trial
    training becomes `latest`, but is not served in place of the version that was promoted.

    Args:
        wanted: the value of SPINE_MODEL.
        stores: folders of models in which a tag is looked up before the BentoML store, in order:
            an image has one of its own.

    Raises:
        ModelError: there is no such model, or the file is damaged or cannot be unpacked.
    """
    if names_file(wanted):
        return Choice(unpack_once(Path(wanted)), wanted, "the file that SPINE_MODEL names")
    for models in stores:
        try:
            return _choose(wanted, models)
        except ModelNotFound:
            continue
    return _choose(wanted, store_home() / "models")


def _choose(wanted: str, models: Path) -> Choice:
    version = wanted.partition(":")[2]
    if version:
        reason = _REASONS.get(version, "the version that SPINE_MODEL names")
        folder = find_directory(wanted, models)
    else:
        try:
            reason = _REASONS["production"]
            folder = find_directory(f"{wanted}:production", models)
        except ModelNotFound:
            reason = "the newest version (no version holds the stage production)"
            folder = find_directory(wanted, models)
    return Choice(folder, f"{folder.parent.name}:{folder.name}", reason)


def unpack_once(path: Path) -> Path:
    """Unpack a .bentomodel file next to the store, into a folder named by the hash of the file.

    The store itself stays as it is: a model that is only tried does not become `latest`. The next
    start, and another process at the same time, find the folder and check it again.

    Raises:
        ModelError: no such file, not a model, damaged, of another format, or nowhere to unpack it.
    """
    check_readable(path)
    sha256 = hash_file(path)
    for place in _places():
        if _is_writable(place):
            try:
                with locked(place, "the folder"):
                    return _unpack(path, sha256, place)
            except OSError as error:  # such as a full disk
                reason = (error.strerror or type(error).__name__).lower()
                raise ModelError(f"{path.name} cannot be unpacked ({reason})") from error
    raise ModelError(
        f"{path.name} must be unpacked, and nothing can be written to BENTOML_HOME or TMPDIR;"
        " give one of them a folder with room for 16 MB"
    )


def _unpack(path: Path, sha256: str, place: Path) -> Path:
    """Unpack and check a file unless that was done before; the caller holds the lock."""
    folder = place / sha256
    if folder.is_dir():
        try:
            load_spec(folder)
            return folder
        except DamagedModel:
            shutil.rmtree(folder)
    for leftover in place.glob(f"{_ASIDE}*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=place))
    try:
        unpack_model(path, aside)
        load_spec(aside)
        read_tag(aside)
        if not (aside / STORE_HASH_FILE).is_file():
            seal(aside)
        if hash_file(path) != sha256:
            raise DamagedModel(f"{path.name} changed while it was read; start again")
        return aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(place, os.W_OK | os.X_OK)


def _places() -> Iterator[Path]:
    """List where a file may be unpacked, the best place first."""
    yield store_home() / "unpacked"
    private = Path(tempfile.gettempdir()) / f"spine-unpacked-{os.getuid()}"
    try:
        is_private = make_private(private)
    except OSError:
        return
    if is_private:
        yield private
