"""Count a model's alarms at a site it never saw, before and after recalibration on a few patients.

Example: python -m benchmarks.sites siemens_only PHILIPS_FOLDER --patients 20 --repeats 20
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from model.calibration.usual import UsualSlices
    from model.runtime import LoadedModel

_SEED = 2_024  # of the draws of patients


def measure(
    model: LoadedModel, site: UsualSlices, n_patients: int, repeats: int
) -> dict[str, object]:
    """Compare the model's own calibration with those of randomly drawn patients of the site."""
    from training.calibrate import alarm_share

    patients = np.unique(site.patients)
    if len(patients) <= n_patients:
        raise click.ClickException(
            f"of {len(patients)} patients none is left to count alarms on after calibrating on"
            f" {n_patients}"
        )
    rng, after = np.random.default_rng(_SEED), []
    for _ in range(repeats):
        is_drawn = np.isin(site.patients, rng.permutation(patients)[:n_patients])
        calibration = site.part(is_drawn).calibrate(model.calibration.alarm_rate)
        after.append(alarm_share(calibration, site.part(~is_drawn)))
    return {
        "slices": len(site.scores),
        "patients": len(patients),
        "alarm_rate": model.calibration.alarm_rate,
        "before": alarm_share(model.calibration, site),
        "calibrated_on": n_patients,
        "repeats": repeats,
        "after_mean": float(np.mean(after)),
        "after_p10": float(np.percentile(after, 10)),
        "after_p90": float(np.percentile(after, 90)),
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--exclude", type=click.Path(exists=True, path_type=Path), help="Files to leave out.")
@click.option("--patients", default=20, type=click.IntRange(1), help="To recalibrate on.")
@click.option("--repeats", default=20, type=click.IntRange(1), help="Random draws of patients.")
def main(
    model: str, data: tuple[Path, ...], exclude: Path | None, patients: int, repeats: int
) -> None:
    """Count alarms of MODEL on the usual slices in DATA, which it was not trained on."""
    from model.runtime import load_model
    from model.store.find import find_directory
    from training.calibrate import score_site
    from training.data.collection import load_images
    from training.data.files import read_exclusions

    loaded = load_model(find_directory(model))
    left_out = read_exclusions(exclude) if exclude else []
    site = score_site(loaded, load_images(data, loaded.spec.input, exclude=left_out))
    click.echo(json.dumps(measure(loaded, site, patients, repeats), indent=2))


if __name__ == "__main__":
    main()
