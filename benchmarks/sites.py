"""Count a model's alarms at a site it never saw, before and after recalibration on a few studies.

Example: python -m benchmarks.sites siemens_only PHILIPS_FOLDER --studies 20 --repeats 20
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, calibrate
from model.runtime import LoadedModel, load_model
from model.store import find_directory
from model.strata import StratumKey
from model.verdict import kind_of
from training.data import load_images
from training.files import read_exclusions

_BATCH = 8
_SEED = 2_024  # of the draws of studies


@dataclass(frozen=True)
class Site:
    """The usual slices of a site.

    Args:
        scores: of the calibrated channels, [N, C].
        keys: kind of each slice.
        studies: of each slice.
    """

    scores: NDArray[np.float64]
    keys: list[StratumKey]
    studies: NDArray[np.str_]

    def part(self, studies: NDArray[np.str_]) -> Site:
        """The slices of some of the studies."""
        chosen = np.flatnonzero(np.isin(self.studies, studies))
        return Site(self.scores[chosen], [self.keys[i] for i in chosen], self.studies[chosen])


def read_site(model: LoadedModel, data: list[Path], exclude: list[str]) -> Site:
    """Read and score the slices of a site."""
    images = load_images(data, model.spec.input, exclude=exclude)
    rows = np.concatenate(
        [
            model.score(np.asarray(images.x[first : first + _BATCH], np.float32))
            for first in range(0, len(images.x), _BATCH)
        ]
    )
    columns = model.spec.columns
    chosen = [columns.index(channel) for channel in model.calibration.channels]
    keys = [
        kind_of(columns, row, source.facts)
        for row, source in zip(rows, images.sources, strict=True)
    ]
    return Site(rows[:, chosen], keys, np.array([source.study for source in images.sources]))


def alarm_share(calibration: Calibration, site: Site) -> float:
    """Share of slices called anomalies, each study counting once."""
    alarms: dict[str, list[bool]] = {}
    for scores, key, study in zip(site.scores, site.keys, site.studies, strict=True):
        p_value = calibration.judge(scores, key).p_value
        alarms.setdefault(str(study), []).append(p_value <= calibration.alarm_rate)
    return float(np.mean([np.mean(found) for found in alarms.values()]))


def measure(model: LoadedModel, site: Site, n_studies: int, repeats: int) -> dict[str, object]:
    """Compare the model's own calibration with those of randomly drawn studies of the site."""
    studies = np.unique(site.studies)
    if len(studies) <= n_studies:
        raise click.ClickException(
            f"{len(studies)} studies leave none beside {n_studies} to calibrate with"
        )
    rng, after = np.random.default_rng(_SEED), []
    for _ in range(repeats):
        drawn = rng.permutation(studies)
        local = site.part(drawn[:n_studies])
        calibration = calibrate(
            local.scores,
            local.studies.tolist(),
            local.keys,
            channels=model.calibration.channels,
            alarm_rate=model.calibration.alarm_rate,
        )
        after.append(alarm_share(calibration, site.part(drawn[n_studies:])))
    return {
        "slices": len(site.scores),
        "studies": len(studies),
        "alarm_rate": model.calibration.alarm_rate,
        "before": alarm_share(model.calibration, site),
        "calibrated_on": n_studies,
        "repeats": repeats,
        "after_mean": float(np.mean(after)),
        "after_p10": float(np.percentile(after, 10)),
        "after_p90": float(np.percentile(after, 90)),
    }


@click.command()
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--exclude", type=click.Path(exists=True, path_type=Path), help="Files to leave out.")
@click.option("--studies", default=20, type=click.IntRange(1), help="To recalibrate on.")
@click.option("--repeats", default=20, type=click.IntRange(1), help="Random draws of these.")
def main(
    model: str, data: tuple[Path, ...], exclude: Path | None, studies: int, repeats: int
) -> None:
    """Count alarms of MODEL on the usual slices in DATA, none of which it was trained on."""
    loaded = load_model(find_directory(model))
    site = read_site(loaded, list(data), read_exclusions(exclude) if exclude else [])
    click.echo(json.dumps(measure(loaded, site, studies, repeats), indent=2))


if __name__ == "__main__":
    main()
