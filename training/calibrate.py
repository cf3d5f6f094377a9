"""Recalibrate a model on the usual patients of a site, without training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from model.calibration.alarm_rates import TooFewPatients, check_rate, rate_bound
from model.calibration.calibration import Calibration
from model.calibration.usual import UsualSlices
from model.judge import usual_slices
from model.runtime import LoadedModel, load_model
from model.store.find import find_directory
from model.store.recalibrate import save_recalibrated
from training.data.collection import (
    Collection,
    count_codes,
    count_reasons,
    explained,
    load_images,
)
from training.data.patients import BY_PATIENT
from training.errors import TooFewImages
from training.evaluation.statistics import patient_rate
from training.summary import describe_rest

_BATCH = 8


@dataclass(frozen=True)
class Recalibrated:
    """The result of a recalibration.

    Args:
        model: tag of the new version.
        source: tag of the model that was recalibrated.
        calibration: the new one.
        alarms_before: share of the slices that the old calibration would call anomalies at its own
            alarm rate, each patient counting once. For another scanner it is often most of them.
        images: of the site, with what was skipped and left out.
    """

    model: str
    source: str
    calibration: Calibration
    alarms_before: float
    images: Collection

    def as_json(self) -> dict[str, Any]:
        """Convert everything that is printed to plain values."""
        calibration, images = self.calibration, self.images
        strata = [asdict(s) | {"key": str(s.key)} for s in calibration.strata()]
        return {
            "model": self.model,
            "source": self.source,
            "slices": len(calibration.scores),
            "patients": calibration.n_patients,
            "alarm_rate": calibration.alarm_rate,
            "bound": rate_bound(calibration.alarm_rate, calibration.n_patients),
            "alarms_before": self.alarms_before,
            "strata": strata,
            "doubt": images.doubt,
            "duplicates": list(images.duplicates),
            "left_out_reasons": dict(count_reasons(images.left_out)),
            "left_out": [asdict(frame) for frame in images.left_out],
            "skipped": count_codes(images.skipped),
        }


def recalibrate(
    tag: str,
    data: Sequence[Path],
    *,
    alarm_rate: float,
    name: str | None = None,
    exclude: Sequence[str] = (),
    group_by: str = BY_PATIENT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recalibrated:
    """Score the usual patients of a site, and save the model again with these as its calibration.

    The weights stay as they are; what counts as unusual becomes relative to this site.

    Args:
        tag: of the model in the store.
        data: files and folders; every slice in them counts as usual.
        alarm_rate: saved with the model.
        name: of the new model; that of the old one by default, with a new version.
        exclude: relative paths to leave out.
        group_by: how patients are told apart; see training/data/patients.py.
        progress: called with (files read, files in all).

    Raises:
        TooFewImages: too few patients for the alarm rate; the message says how many are needed.
        NoImages: nothing readable.
        ModelError: the model does not exist or is damaged, or the store refused the new version.
    """
    folder = find_directory(tag)
    model = load_model(folder)
    images = load_images(
        data, model.spec.input, exclude=exclude, group_by=group_by, progress=progress
    )
    with explained(images):
        _check_rate(alarm_rate, len(images.groups))
    site = score_site(model, images)
    calibration = site.calibrate(alarm_rate)
    before = alarm_share(model.calibration, site)
    source = f"{folder.parent.name}:{folder.name}"
    origin = f"{len(site.scores)} slices of {calibration.n_patients} patients, scored by {source}"
    saved = save_recalibrated(folder, calibration, origin, name=name)
    return Recalibrated(
        model=str(saved),
        source=source,
        calibration=calibration,
        alarms_before=before,
        images=images,
    )


def _check_rate(alarm_rate: float, n_patients: int) -> None:
    """Refuse an alarm rate that so few patients do not allow, before they are scored.

    Raises:
        TooFewImages: the message says how many are needed.
    """
    try:
        check_rate(alarm_rate, n_patients)
    except TooFewPatients as error:
        raise TooFewImages(
            f"{error}; add usual patients, or choose a higher --alarm-rate"
        ) from error


def score_site(model: LoadedModel, images: Collection) -> UsualSlices:
    """Score all images, a few at a time, as the usual slices of a site."""
    batches = range(0, len(images.x), _BATCH)
    rows = [model.score(np.asarray(images.x[i : i + _BATCH], np.float32)) for i in batches]
    facts = (source.facts for source in images.sources)
    patients = (source.group for source in images.sources)
    return usual_slices(np.concatenate(rows), facts, patients)


def alarm_share(calibration: Calibration, site: UsualSlices) -> float:
    """Compute the share of alarms among a site's slices, each patient counting once."""
    return patient_rate(site.alarms(calibration), site.patients)


def print_recalibrated(done: Recalibrated, as_json: bool) -> None:
    """Print what the calibration holds, and how far its alarm rate can be trusted."""
    found, console = done.as_json(), Console()
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    table = Table(title=f"{done.model}: alarm rate {done.calibration.alarm_rate:.1%}")
    for column in (
        "kind of slice",
        "slices",
        "patients",
        "compared with",
        "realised, 9 of 10 times",
    ):
        table.add_column(column, justify="left" if column == "kind of slice" else "right")
    for stratum in done.calibration.strata():
        table.add_row(
            str(stratum.key),
            str(stratum.n_slices),
            str(stratum.n_patients),
            f"{stratum.n_compared} patients{', pooled' if stratum.is_pooled else ''}",
            f"at most {stratum.bound:.1%}",
        )
    console.print(table)
    console.print(
        f"{found['slices']} slices of {found['patients']} patients;"
        f" the calibration of {done.source} called {done.alarms_before:.0%} of them anomalies",
        soft_wrap=True,
    )
    for line in describe_rest(found):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"next: SPINE_MODEL={done.model} make serve", soft_wrap=True)
