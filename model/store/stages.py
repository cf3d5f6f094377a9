"""Which version of a model holds a stage, and which ones did before: stages.json beside them.

`name:production` means the version that holds the stage, and never a version of that name. BentoML
keeps labels in a model's own record, which is sealed; a stage moves, so it lies outside of it, in
one file for all versions of a name: who holds it and who held it change in the same rename.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model.errors import DamagedModel, ModelError, ModelNotFound
from model.spec import SPEC_FILE, hash_file

STAGES = ("production", "staging")
# No version may be called so.
RESERVED = (*STAGES, "latest")
STAGES_FILE = "stages.json"
# A rollback of more steps is another promotion.
_KEPT = 20
# As BentoML has it; it is a folder's name, which a damaged file must not lead out of the store.
_VERSION = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")


@dataclass(frozen=True)
class Holder:
    """A version that holds a stage, or held it.

    Args:
        version: in the store.
        spec_sha256: of its model.json: another model that took the same version is noticed.
        since: UTC time, ISO 8601.
    """

    version: str
    spec_sha256: str
    since: str


# Stage -> holders, oldest first; the last one holds it.
Stages = Mapping[str, tuple[Holder, ...]]


def make_holder(folder: Path) -> Holder:
    """The version in a folder, as it is now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(folder.name, hash_file(folder / SPEC_FILE), now)


def read_stages(versions: Path) -> dict[str, tuple[Holder, ...]]:
    """Read the stages of a model's versions; none where no stage was ever given.

    Args:
        versions: the folder of all versions of a name.

    Raises:
        DamagedModel: the file is not what `write_stages` wrote.
    """
    path = versions / STAGES_FILE
    try:
        raw = json.loads(path.read_text("utf-8"))
        stages = {stage: tuple(Holder(**one) for one in held) for stage, held in raw.items()}
        for holder in (one for held in stages.values() for one in held):
            if not _VERSION.fullmatch(holder.version):
                raise ValueError(holder.version)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise DamagedModel(
            f"{STAGES_FILE} of {versions.name} is damaged; delete {path} and give the stage again"
        ) from error
    return stages


def write_stages(versions: Path, stages: Stages) -> None:
    """Write the stages aside and rename them; hold the store's lock meanwhile."""
    kept = {
        stage: [dataclasses.asdict(holder) for holder in held[-_KEPT:]]
        for stage, held in stages.items()
        if held
    }
    written = versions / f".{STAGES_FILE}"
    written.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    written.replace(versions / STAGES_FILE)


def find_holder(versions: Path, stage: str) -> Path:
    """Find the folder of the version that holds a stage.

    Raises:
        ModelNotFound: no version holds it.
        ModelError: a version is called like the stage, the one that holds it is gone, or another
            model took its place.
    """
    refuse_version_of_that_name(versions, stage)
    name, held = versions.name, read_stages(versions).get(stage, ())
    if not held:
        raise ModelNotFound(
            f"no version of {name} holds the stage {stage};"
            f" python -m model.store tag {name}:VERSION stage={stage}"
        )
    if (problem := why_not(versions, held[-1])) is not None:
        raise ModelError(f"{stage} of {name} is {problem}; import it, tag another or roll back")
    return versions / held[-1].version


def why_not(versions: Path, holder: Holder) -> str | None:
    """Say why a holder cannot be used; None when its folder holds what was given the stage."""
    try:
        found = hash_file(versions / holder.version / SPEC_FILE)
    except OSError:
        return f"{holder.version}, which the store does not hold"
    if found != holder.spec_sha256:
        return f"{holder.version}, and the store holds another model under this version"
    return None


def refuse_version_of_that_name(versions: Path, stage: str) -> None:
    """Refuse a stage that is the name of a version as well.

    Raises:
        ModelError: another program has saved such a version.
    """
    if (versions / stage).is_dir():
        raise ModelError(
            f"{versions.name} has a version called {stage}, which is a stage;"
            f" delete it: bentoml models delete {versions.name}:{stage}"
        )


def stages_of(versions: Path, version: str) -> tuple[str, ...]:
    """The stages that a version holds now."""
    stages = read_stages(versions)
    return tuple(s for s in STAGES if stages.get(s) and stages[s][-1].version == version)


def adopt_stages(folder: Path, stages: Sequence[str]) -> tuple[str, ...]:
    """Give an imported version the stages that it held elsewhere, unless a version has them here.

    Returns:
        The stages that another version holds here, and goes on holding.
    """
    versions = folder.parent
    here = read_stages(versions)
    free = [stage for stage in STAGES if stage in stages and not here.get(stage)]
    if free:
        write_stages(versions, here | {stage: (make_holder(folder),) for stage in free})
    return tuple(
        s for s in STAGES if s in stages and here.get(s) and here[s][-1].version != folder.name
    )
