"""Models in the BentoML model store: save, find, import, export. `python -m model.store --help`."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import (
    SPEC_FILE,
    SPEC_HASH,
    STORE_FILE,
    STORE_HASH_FILE,
    ModelSpec,
    hash_file,
    load_spec,
)

if TYPE_CHECKING:
    from bentoml import Model, Tag

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
    with _one_line_errors(tag), create(tag) as saved:
        spec = write(Path(saved.path))
        saved.info.labels.update(_labels(spec))
        saved.info.metadata.update(_metadata(spec))
        saved.info.metadata.update(_calibration_metadata(Path(saved.path)))
        saved.info.metadata[SPEC_HASH] = hash_file(Path(saved.path) / SPEC_FILE)
        saved.flush()  # type: ignore[no-untyped-call]  # BentoML leaves it untyped
    _seal(find_directory(str(saved.tag)))
    return saved.tag


def _seal(folder: Path) -> None:
    """Write the hash of BentoML's record beside it, aside and then renamed."""
    written = folder / f".{STORE_HASH_FILE}"
    written.write_text(hash_file(folder / STORE_FILE), "ascii")
    written.replace(folder / STORE_HASH_FILE)


def _labels(spec: ModelSpec) -> dict[str, str]:
    """What `bentoml models list` can filter by."""
    return {
        "task": "anomaly-detection",
        "modality": "MR",
        "body_part": "spine",
        "runtime": "onnx",
        "input": f"{spec.input.size}x{spec.input.size}",
    }


def _metadata(spec: ModelSpec) -> dict[str, str | int | float]:
    """What `bentoml models get` shows of model.json."""
    return {
        "threshold": spec.decision.threshold,
        "threshold_percentile": spec.decision.percentile,
        "threshold_patients": spec.decision.n_patients,
        "parameters": spec.n_parameters,
        "latent": spec.network.latent,
        "training_images": spec.provenance.n_images,
        "training_patients": spec.provenance.n_patients,
        "removed_images": spec.provenance.n_removed,
        "data": spec.provenance.data,
        "seed": spec.provenance.seed,
    }


def _calibration_metadata(folder: Path) -> dict[str, str | int | float]:
    """What `bentoml models get` shows of the calibration; the bound holds in 9 of 10 of them."""
    from model.alarm_rates import rate_bound
    from model.runtime import load_calibration

    calibration = load_calibration(folder)
    n_studies, rate = calibration.n_studies, calibration.alarm_rate
    return {
        "alarm_rate": rate,
        "alarm_rate_bound": round(rate_bound(rate, n_studies), 4),
        "calibration_studies": n_studies,
        "calibration_slices": len(calibration.scores),
        "calibration_strata": ", ".join(
            f"{stratum.key} ({stratum.n_studies}{', pooled' if stratum.is_pooled else ''})"
            for stratum in calibration.strata()
        ),
    }


def store_home() -> Path:
    """The folder of the BentoML store: BENTOML_HOME, else ~/bentoml."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")


def find_directory(tag: str = DEFAULT_NAME) -> Path:
    """Find a stored model's folder by name or name:version, without importing BentoML.

    Serving's start checks the model with this: BentoML takes a second to import, this nothing.

    Raises:
        ModelNotFound: no such name or version.
    """
    if not _TAG.fullmatch(tag):
        raise ModelNotFound(f"{tag!r} is not a model tag; write name or name:version")
    name, _, version = tag.partition(":")
    folder = store_home() / "models" / name
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


def import_model(path: Path) -> Tag:
    """Import a .bentomodel file, after holding every file in it against its hash.

    Importing what the store already holds, undamaged, changes nothing; a damaged copy in the
    store is replaced.

    Raises:
        ModelError: no such file, not a model, damaged, or another model under the same tag.
    """
    path = path.resolve()  # BentoML takes a relative path as one from the root
    if not path.is_file():
        raise ModelNotFound(f"{path} is not a file")
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        unpacked = Path(folder)
        unpack_model(path, unpacked)
        spec = load_spec(unpacked)
        return _add(path, unpacked, spec)


def unpack_model(path: Path, folder: Path) -> None:
    """Unpack an archive; nothing in it may lie outside the folder (PEP 706)."""
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DamagedModel(f"{path.name} is not a whole .bentomodel file") from error


def _add(path: Path, unpacked: Path, spec: ModelSpec) -> Tag:
    """Put a checked archive into the store unless it is there, one process at a time."""
    import bentoml

    tag = _read_tag(unpacked)
    folder = store_home() / "models" / tag.name / str(tag.version)
    with _store_lock():
        if folder.is_dir() and _is_whole(folder, spec, tag):
            latest = folder.parent / "latest"
            if not latest.is_file():  # an import that was killed just before its last step
                latest.write_text(str(tag.version), "utf-8")
            if not (folder / STORE_HASH_FILE).is_file():
                _seal(folder)
            return tag
        damaged = folder.with_name(f"{folder.name}.damaged")
        if folder.is_dir():
            shutil.rmtree(damaged, ignore_errors=True)
            folder.rename(damaged)
        try:
            with _one_line_errors(str(tag)):
                imported = bentoml.models.import_model(str(path))
            _seal(folder)
            return imported.tag
        finally:
            if folder.is_dir():
                shutil.rmtree(damaged, ignore_errors=True)
            elif damaged.is_dir():
                damaged.rename(folder)


def _is_whole(folder: Path, spec: ModelSpec, tag: Tag) -> bool:
    """Whether the store's copy is undamaged.

    Raises:
        ModelError: it is, but another model, or of another format: nothing to write over.
    """
    try:
        if load_spec(folder).sha256 != spec.sha256:
            raise ModelError(f"the store holds another model as {tag}; delete it first")
    except DamagedModel:
        return False
    return True


@contextmanager
def _store_lock() -> Iterator[None]:
    """Keep two imports apart: BentoML makes a model's folder first and fills it afterwards."""
    store_home().mkdir(parents=True, exist_ok=True)
    with (store_home() / ".import.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_tag(unpacked: Path) -> Tag:
    """Read the tag from BentoML's own model.yaml."""
    import yaml
    from bentoml import Tag

    try:
        described = yaml.safe_load((unpacked / "model.yaml").read_text("utf-8"))
        return Tag(described["name"], described["version"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DamagedModel("model.yaml is missing or damaged in the .bentomodel file") from error


def export_model(tag: str, path: Path) -> Path:
    """Write a stored model to a .bentomodel file, aside and then renamed.

    Raises:
        ModelError: no such model, damaged, or the file cannot be written.
    """
    import bentoml

    load_spec(find_directory(tag))
    path = path.resolve()  # BentoML takes a relative path as one from the root
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="model-", dir=path.parent) as folder:
        written = Path(folder) / "export.bentomodel"
        with _one_line_errors(tag):
            bentoml.models.export_model(tag, str(written))
        written.replace(path)
    return path


def list_models() -> list[Model]:
    """All stored models, newest first."""
    import bentoml

    return sorted(bentoml.models.list(), key=lambda m: m.info.creation_time, reverse=True)


@contextmanager
def _one_line_errors(tag: str) -> Iterator[None]:
    """Turn BentoML's exceptions into ModelError."""
    from bentoml.exceptions import BentoMLException

    try:
        yield
    except (BentoMLException, ValueError, OSError) as error:
        raise ModelError(f"the model store refused {tag}: {str(error).splitlines()[0]}") from error


@click.group()
def main() -> None:
    """Move models between the BentoML store and .bentomodel files.

    Example: python -m model.store import pretrained/spine_autoencoder.bentomodel
    """


@main.command("import")
@click.argument("path", type=click.Path(path_type=Path))
def import_command(path: Path) -> None:
    """Import PATH; nothing changes when the store holds it already."""
    click.echo(import_model(path))


@main.command("export")
@click.argument("tag")
@click.argument("path", type=click.Path(path_type=Path))
def export_command(tag: str, path: Path) -> None:
    """Export TAG (name or name:version) to PATH."""
    click.echo(export_model(tag, path))


@main.command("list")
def list_command() -> None:
    """List the stored models: tag, alarm rate with its bound, studies and images behind it."""
    shown = ("alarm_rate", "alarm_rate_bound", "calibration_studies", "training_images")
    for model in list_models():
        facts = [f"{key} {model.info.metadata.get(key)!r}" for key in shown]
        click.echo("  ".join([str(model.tag), *facts]))


if __name__ == "__main__":
    try:
        main()
    except ModelError as error:
        sys.exit(f"model.store: {error}")
