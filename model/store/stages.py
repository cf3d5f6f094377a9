"""Give a stage to a version of a model, or back to the version that held it before.

A server keeps the model that it started with: a stage takes effect at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from model.errors import ModelError, ModelNotFound
from model.runtime import load_model
from model.spec import SPEC_FILE, hash_file
from model.store.find import (
    STAGES,
    Holder,
    find_directory,
    holder_problem,
    read_holders,
    store_home,
    store_lock,
)

log = logging.getLogger(__name__)

# A rollback of more steps is another promotion.
_KEPT = 20


def tag_stage(tag: str, stage: str) -> str:
    """Give a stage to a version that reproduces its golden output here, and take it from any other.

    Args:
        tag: name, name:version or name:stage, which promotes the holder of another stage.
        stage: one of STAGES.

    Returns:
        name:version of the holder.

    Raises:
        ModelError: no such model or stage, or the model cannot be served.
    """
    _check_stage(stage)
    folder = find_directory(tag)
    read_holders(folder.parent, stage)  # a damaged stage is refused before the model is run
    load_model(folder, "onnx")
    with store_lock():
        held, holder = read_holders(folder.parent, stage), _holder(folder)
        if held[:1] != [holder]:
            write_holders(folder.parent, stage, [holder, *held])
    return f"{folder.parent.name}:{folder.name}"


def untag_stage(name: str, stage: str) -> str:
    """Take a stage away from the version that holds it; a damaged stage goes, too.

    Args:
        name: of the model.
        stage: one of STAGES.

    Returns:
        name:stage.

    Raises:
        ModelError: no such model or stage, or no version holds it.
    """
    _check_stage(stage)
    path = _versions(name) / stage
    with store_lock():
        if not path.is_file():
            raise ModelNotFound(f"no version of {name} holds the stage {stage}")
        path.unlink()
    return f"{name}:{stage}"


def roll_back(name: str, stage: str = "production") -> str:
    """Give a stage back to the last version that held it before and can be served.

    Args:
        name: of the model.
        stage: one of STAGES.

    Returns:
        name:version of the holder.

    Raises:
        ModelError: no such version is left; the stage stays where it is.
    """
    _check_stage(stage)
    versions = _versions(name)
    with store_lock():
        held = read_holders(versions, stage)
        for n, before in enumerate(held[1:], 1):
            problem = holder_problem(versions, before) or _serving_problem(
                versions / before.version
            )
            if problem is None:
                write_holders(versions, stage, held[n:])
                return f"{name}:{before.version}"
            log.warning("passed over %s: %s", before.version, problem)
    raise ModelError(f"no earlier {stage} of {name} is left to roll back to")


def adopt_stages(folder: Path, stages: Sequence[str]) -> tuple[str, ...]:
    """Give an imported version the stages that it held elsewhere, unless a version has them here.

    Returns:
        The stages that another version holds here and keeps.
    """
    here = {stage: read_holders(folder.parent, stage) for stage in STAGES if stage in stages}
    for stage, held in here.items():
        if not held:
            write_holders(folder.parent, stage, [_holder(folder)])
    return tuple(stage for stage, held in here.items() if held and held[0].version != folder.name)


def write_holders(versions: Path, stage: str, holders: Iterable[Holder]) -> None:
    """Write a stage to a temporary file and rename it; the caller holds the lock of the store.

    Raises:
        ModelError: the folder cannot be written to.
    """
    written = versions / f".{stage}"
    try:
        written.write_text("".join(f"{a} {b}\n" for a, b in [*holders][:_KEPT]), "utf-8")
        written.replace(versions / stage)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelError(f"the stages in {versions} cannot be written ({reason})") from error


def _versions(name: str) -> Path:
    """Find the folder of all versions of a model.

    Raises:
        ModelNotFound: the store has none.
    """
    versions = store_home() / "models" / name
    if Path(name).name != name or not versions.is_dir():
        raise ModelNotFound(f"the model store has no {name!r}; name a model without its version")
    return versions


def _holder(folder: Path) -> Holder:
    """Describe the version in a folder as it is now."""
    return Holder(folder.name, hash_file(folder / SPEC_FILE))


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise ModelError(f"{stage!r} is not a stage; use {' or '.join(STAGES)}")


def _serving_problem(folder: Path) -> str | None:
    """Return why a version cannot be served; None when it can."""
    try:
        load_model(folder, "onnx")
    except ModelError as error:
        return str(error)
    return None
