"""Another calibration for the same networks, as a new version in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bentoml
import numpy as np
import pytest

from model.calibration.calibration import Calibration
from model.calibration.strata import StratumKey
from model.calibration.usual import calibrate
from model.errors import DamagedModel, ModelError
from model.runtime import load_calibration, load_model
from model.spec import CALIBRATION_FILE
from model.store.find import find_directory
from model.store.recalibrate import save_recalibrated


@pytest.fixture(scope="module")
def of_a_site(model_store: Path) -> Calibration:
    channels = load_calibration(find_directory()).channels
    scores = np.random.default_rng(5).normal(size=(99, len(channels)))
    return calibrate(
        scores,
        [str(number) for number in range(99)],
        [StratumKey("T1", "sagittal", "lumbar", "2D")] * 60 + [StratumKey("T2", "axial")] * 39,
        channels=channels,
        alarm_rate=0.05,
    )


def test_bentoml_shows_the_rate_its_bound_and_what_is_behind_it(of_a_site: Calibration) -> None:
    tag = save_recalibrated(find_directory(), of_a_site, "a site", name="shown")
    metadata = bentoml.models.get(tag).info.metadata
    assert (metadata["alarm_rate"], metadata["calibration_patients"]) == (0.05, 99)
    # Beta(5, 95): 90 % of it lies below .0791.
    assert metadata["alarm_rate_bound"] == 0.0791
    assert metadata["calibration_strata"] == "T1 sagittal lumbar 2D (60), T2 axial (39, pooled)"
    assert load_model(find_directory(str(tag))).spec.provenance.recalibrated == "a site"


def test_a_name_that_the_store_refuses_leaves_nothing(
    of_a_site: Calibration, model_store: Path
) -> None:
    with pytest.raises(ModelError, match="the model store refused"):
        save_recalibrated(find_directory(), of_a_site, "a site", name="no name!")
    assert not list((model_store / "models").glob("no*"))


def test_a_calibration_of_other_channels_is_refused(of_a_site: Calibration) -> None:
    other = replace(of_a_site, channels=("loudness",), scores=of_a_site.scores[:, :1])
    with pytest.raises(ValueError, match="other channels"):
        save_recalibrated(find_directory(), other, "a site")


def test_a_damaged_calibration_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / CALIBRATION_FILE).write_bytes(b"PK\3\4 and no more")
    with pytest.raises(DamagedModel, match="import the model again"):
        load_calibration(tmp_path)
    np.savez(tmp_path / CALIBRATION_FILE, scores=np.zeros((3, 1)))
    with pytest.raises(DamagedModel, match=r"calibration\.npz is damaged"):
        load_calibration(tmp_path)
