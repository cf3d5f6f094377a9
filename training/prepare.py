"""Start or resume a run: read the images, hold out patients, group what belongs together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.calibration.alarm_rates import TooFewPatients, check_rate
from preprocessing import InputSpec
from training import report
from training.cleaning.audit import AUDIT_TABLE
from training.cleaning.clean import gather
from training.cleaning.outliers import Members
from training.cleaning.overrides import OVERRIDES_FILE, Override, read_overrides
from training.config import FitConfig
from training.data.collection import (
    Collection,
    count_codes,
    count_reasons,
    explained,
    load_images,
)
from training.data.headers import Source
from training.data.labels import label_by_masks
from training.data.split import Split, split_groups
from training.data.teacher import RELEASED, label_by_model, load_teacher
from training.data.training_set import IndexArray
from training.errors import NotResumable, TooFewImages, WrongOverrides
from training.options import Options, read_run, versions
from training.writing import write_json

CACHE = "cache"


@dataclass(frozen=True)
class Started:
    """A run that is ready for its first training.

    Args:
        images: everything that was read.
        labels: the .npy file of their tissues.
        split: of its patients; the held-out ones are used in the final measurement only.
        members: which training images belong together, and what a person decided about them.
        state: the content of run.json so far.
    """

    images: Collection
    labels: Path
    split: Split
    members: Members
    state: dict[str, Any]

    def sources(self, indices: IndexArray) -> list[Source]:
        """Return where some of the images came from."""
        return [self.images.sources[index] for index in indices]


def start(
    options: Options,
    folder: Path,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> Started:
    """Read and split the images, and write the first run.json.

    Args:
        options: of the run.
        folder: of the run; it may hold an interrupted run.
        on_file: called with (files read, files in all).

    Raises:
        TrainingError: nothing readable, too few patients, other images than before, decisions
            about images that do not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    salt, data = _salt(folder), [Path(path) for path in options.data]
    images = load_images(
        data,
        InputSpec(size=options.inspector.size),
        exclude=options.exclude,
        group_by=options.group_by,
        cache=folder / CACHE,
        salt=salt,
        progress=on_file,
    )
    overrides = _overrides(options, folder)
    with explained(images):
        split = _split(images, options.config)
        members = gather(images.sources, split.train, overrides, options.config)
        _check_alarm_rate(options, [images.sources[index] for index in split.train])
    state = _begin(options, folder, images, split, salt)
    labels = _label(options, data, images, folder / CACHE)
    return Started(images, labels, split, members, state)


def _label(options: Options, data: Sequence[Path], images: Collection, folder: Path) -> Path:
    """Label vertebrae, canal and discs: by masks that people drew, else by an earlier model.

    Raises:
        WrongMasks: a mask does not fit, or no slice has one.
        ModelError: the model does not exist or is damaged.
    """
    if options.masks:
        return label_by_masks(images, data, Path(options.masks), folder)
    return label_by_model(images, load_teacher(options.teacher or str(RELEASED)), folder)


def _check_alarm_rate(options: Options, sources: Sequence[Source]) -> None:
    """Refuse an alarm rate that the calibration will not allow, before hours are spent.

    Raises:
        TooFewImages: too few patients for the alarm rate; the message says how many are needed.
    """
    n_patients = len({source.group for source in sources})
    try:
        check_rate(options.config.alarm_rate, n_patients)
    except TooFewPatients as error:
        raise TooFewImages(f"{error}; add patients, or choose a higher --alarm-rate") from error


def _salt(folder: Path) -> str:
    """Draw the run's salt or read it from run.json; each run hashes the same image differently."""
    if (folder / report.RUN_FILE).exists():
        return str(read_run(folder).get("salt", ""))
    return secrets.token_hex(16)


def _split(images: Collection, config: FitConfig) -> Split:
    return split_groups(
        [source.group for source in images.sources],
        seed=config.seed,
        holdout_fraction=config.holdout_fraction,
    )


def _overrides(options: Options, folder: Path) -> tuple[Override, ...]:
    """Join the decisions given as an option with those in the run's folder.

    Raises:
        WrongOverrides: a file in the folder cannot be read, or the audit holds decisions that
            nobody handed back.
    """
    decisions = {(path, frame): decision for path, frame, decision in options.overrides}
    if (folder / OVERRIDES_FILE).exists():
        own = read_overrides(folder / OVERRIDES_FILE)
        decisions |= {(path, frame): decision for path, frame, decision in own}
    if (folder / AUDIT_TABLE).exists():
        written = read_overrides(folder / AUDIT_TABLE)
        if any(decisions.get((path, frame)) != decision for path, frame, decision in written):
            raise WrongOverrides(
                f"{AUDIT_TABLE} in {folder} holds decisions, and would be written again; rename it"
                f" to {OVERRIDES_FILE} to have them followed"
            )
    return tuple((path, frame, decision) for (path, frame), decision in decisions.items())


def _begin(
    options: Options, folder: Path, images: Collection, split: Split, salt: str
) -> dict[str, Any]:
    """Write run.json before the first training; a folder of other data is refused."""
    digest = images.digest()
    if (folder / report.RUN_FILE).exists():
        before = read_run(folder)
        if before.get("data_sha256") != digest:
            raise NotResumable(
                f"the images are not those that {folder} was started with; start a new run"
            )
    state = {
        "status": "running",
        "options": asdict(options),
        "salt": salt,
        "data_sha256": digest,
        "counts": {
            "images": len(images.sources),
            "patients": len(images.groups),
            "excluded": images.n_excluded,
            "duplicates": len(images.duplicates),
            "skipped": len(images.skipped),
            "left_out": len(images.left_out),
        },
        "split": {
            part: {
                "images": len(indices),
                "patients": len({images.sources[index].group for index in indices}),
            }
            for part, indices in asdict(split).items()
        },
        "skipped_codes": count_codes(images.skipped),
        "skipped": [asdict(skipped) for skipped in images.skipped],
        "left_out_reasons": dict(count_reasons(images.left_out)),
        "left_out": [asdict(frame) for frame in images.left_out],
        "doubt": images.doubt,
        "duplicates": list(images.duplicates),
        "versions": versions(),
        "cpu_count": os.cpu_count(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / report.RUN_FILE, state)
    return state
