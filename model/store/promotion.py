"""Give a stage to a version of a model, or back to the version before.

A server keeps the model that it started with; the stage counts at its next start.
"""

from __future__ import annotations

import logging
from pathlib import Path

from model.errors import ModelError, ModelNotFound
from model.runtime import load_model
from model.store.find import find_directory, store_home, store_lock
from model.store.stages import (
    STAGES,
    Stages,
    make_holder,
    read_stages,
    refuse_version_of_that_name,
    why_not,
    write_stages,
)

log = logging.getLogger(__name__)


def tag_stage(tag: str, stage: str) -> str:
    """Give a stage to a version that reproduces its golden output here; no other has it then.

    Args:
        tag: name, name:version or name:stage, which promotes the holder of another stage.
        stage: one of STAGES.

    Returns:
        name:version of the holder.

    Raises:
        ModelError: no such model or stage, or the model is not fit to be served.
    """
    _check_stage(stage)
    folder = find_directory(tag)
    refuse_version_of_that_name(folder.parent, stage)
    load_model(folder, "onnx")
    with store_lock():
        stages = read_stages(folder.parent)
        held = stages.get(stage, ())
        holder = make_holder(folder)
        is_held = bool(held) and (held[-1].version, held[-1].spec_sha256) == (
            holder.version,
            holder.spec_sha256,
        )
        if not is_held:
            _write(folder.parent, stages | {stage: (*held, holder)})
    return f"{folder.parent.name}:{folder.name}"


def roll_back(name: str, stage: str = "production") -> str:
    """Give a stage back to the last version that held it before and is fit to be served.

    Args:
        name: of the model.
        stage: one of STAGES.

    Returns:
        name:version of the holder.

    Raises:
        ModelError: no such version is left; the stage stays where it is.
    """
    _check_stage(stage)
    versions = store_home() / "models" / name
    if Path(name).name != name or not versions.is_dir():
        raise ModelNotFound(f"the model store has no {name!r}; name a model without its version")
    with store_lock():
        stages = read_stages(versions)
        held = stages.get(stage, ())
        for n in range(len(held) - 1, 0, -1):
            before = held[n - 1]
            problem = why_not(versions, before) or _unfit(versions / before.version)
            if problem is None:
                _write(versions, stages | {stage: held[:n]})
                return f"{name}:{before.version}"
            log.warning("passed over %s: %s", before.version, problem)
    raise ModelError(f"no earlier {stage} of {name} is left to roll back to")


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise ModelError(f"{stage!r} is not a stage; use {' or '.join(STAGES)}")


def _unfit(folder: Path) -> str | None:
    """Say why a version cannot be served; None when it can."""
    try:
        load_model(folder, "onnx")
    except ModelError as error:
        return str(error)
    return None


def _write(versions: Path, stages: Stages) -> None:
    try:
        write_stages(versions, stages)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelError(f"the stages in {versions} cannot be written ({reason})") from error
