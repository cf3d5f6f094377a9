"""`python -m training calibrate`: a site's own usual patients in place of those of training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result

from model.judge import judge_slices
from model.runtime import load_model
from model.spec import CALIBRATION_FILE, SPEC_FILE, hash_file
from model.store.find import find_directory
from preprocessing import read_image
from training.__main__ import main
from training.phantoms.phantom import make_phantom, phantom_bytes

SITE = "calibrated_at_a_site"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def done(
    model_store: Path, phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A site of 30 phantoms, a copy and a file that is none: what the command prints."""
    data = tmp_path_factory.mktemp("site") / "in"
    shutil.copytree(phantom_folder, data)
    ds = pydicom.dcmread(data / "phantom_00007.dcm")
    ds.PatientID, ds.SOPInstanceUID, ds.StudyInstanceUID = "SOMEONE-ELSE", "1.2.3", "1.2.4"
    ds.save_as(data / "under_another_name.dcm")
    ds.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    ds.save_as(data / "a_map.dcm")
    (data / "notes.txt").write_text("not an image")
    result = call("calibrate", "spine_autoencoder", data, "--name", SITE, "--json")
    assert result.exit_code == 3, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_patients_are_counted_with_the_bound_of_their_rate(done: dict[str, Any]) -> None:
    assert (done["slices"], done["patients"], done["alarm_rate"]) == (30, 30, 0.05)
    # Beta(1, 30): 1 - .1 ** (1 / 30) = .0739
    assert done["bound"] == pytest.approx(1 - 0.1 ** (1 / 30))
    assert sum(stratum["n_slices"] for stratum in done["strata"]) == 30
    assert all(stratum["is_pooled"] for stratum in done["strata"])
    assert {stratum["key"] for stratum in done["strata"]} <= {
        *("T1 sagittal lumbar 2D synthetic phantom", "T2 sagittal lumbar 2D synthetic phantom"),
    }
    assert 0 <= done["alarms_before"] <= 1
    assert done["skipped"] == {"not_dicom": 1}
    assert done["duplicates"] == ["under_another_name.dcm"]
    assert done["doubt"] == ""
    assert [(one["path"], one["frame"]) for one in done["left_out"]] == [("a_map.dcm", 1)]
    ((reason, count),) = done["left_out_reasons"].items()
    assert reason.startswith("ImageType says")
    assert count == 1


def test_the_weights_stay_and_the_calibration_changes(done: dict[str, Any]) -> None:
    old, new = find_directory("spine_autoencoder"), find_directory(done["model"])
    changed = {
        path.name for path in old.iterdir() if hash_file(path) != hash_file(new / path.name)
    } - {"model.yaml", "model.yaml.sha256"}
    assert changed == {CALIBRATION_FILE, SPEC_FILE}
    before, after = load_model(old), load_model(new)
    assert before.calibration.n_patients != 30
    assert after.calibration.n_patients == 30
    assert after.spec.name == SITE
    assert after.spec.provenance.n_images == before.spec.provenance.n_images
    x = after.golden_x
    np.testing.assert_array_equal(before.score(x), after.score(x))


def test_the_new_version_says_what_was_recalibrated(done: dict[str, Any]) -> None:
    provenance = load_model(find_directory(done["model"])).spec.provenance
    assert done["source"] in provenance.recalibrated
    assert "30 patients" in provenance.recalibrated


def test_usual_slices_of_the_site_are_mostly_normal_afterwards(done: dict[str, Any]) -> None:
    model = load_model(find_directory(done["model"]))
    alarms = []
    for index in range(40):
        image = read_image(phantom_bytes(make_phantom(99, index, size=96), 99, index))
        verdict = judge_slices(model, [image])[0].verdict
        assert verdict.scope_reason is None
        alarms.append(verdict.p_value <= 0.05)
    # 1 / 31 expected; nine of ten calibrations stay below 7.4 %.
    assert np.mean(alarms) < 0.2


def test_too_few_patients_are_refused_with_the_number_it_takes(
    model_store: Path, phantom_folder: Path
) -> None:
    name = ("--name", "too_few")
    result = call("calibrate", "spine_autoencoder", phantom_folder, "--alarm-rate", 0.01, *name)
    assert result.exit_code == 1
    assert "an alarm rate of 0.01 takes 99 calibration patients, and there are 30" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (model_store / "models" / "too_few").exists()


@pytest.fixture(scope="module")
def anonymous(phantom_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 slices of 24 studies in 12 folders, all of the patient ANONYMOUS."""
    data = tmp_path_factory.mktemp("anonymous")
    for n, path in enumerate(sorted(phantom_folder.glob("*.dcm"))[:24]):
        ds = pydicom.dcmread(path)
        ds.PatientID = "Anonymous"
        (data / f"p{n // 2}").mkdir(exist_ok=True)
        ds.save_as(data / f"p{n // 2}" / path.name)
    return data


def test_a_folder_of_anonymous_patients_is_named_as_such(
    model_store: Path, anonymous: Path, tmp_path: Path
) -> None:
    for command in (
        ("calibrate", "spine_autoencoder", anonymous),
        ("fit", anonymous, "--out", tmp_path / "run"),
    ):
        result = call(*command)
        assert result.exit_code == 1
        (line,) = result.stderr.strip().splitlines()
        assert "of 1 patients" in line or "patients, and there are 1;" in line
        assert "24 of 24 files have the PatientID ANONYMOUS, which names nobody" in line
        assert "in 24 studies and 12 folders; --group-by folder, study or a CSV" in line


def test_anonymous_patients_are_told_apart_by_their_folders_or_a_table(
    model_store: Path, anonymous: Path, tmp_path: Path
) -> None:
    options = ("--alarm-rate", 0.1, "--name", "grouped", "--json")
    result = call("calibrate", "spine_autoencoder", anonymous, *options, "--group-by", "folder")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["patients"] == 12
    table = tmp_path / "t.csv"
    table.write_text("path,patient\n" + "".join(f"p{n},Doe{n % 10}\n" for n in range(12)))
    result = call("calibrate", "spine_autoencoder", anonymous, *options, "--group-by", table)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["patients"] == 10
    kept = [path.read_bytes() for path in find_directory(found["model"]).iterdir()]
    assert not [content for content in kept if b"DOE" in content.upper()]


def test_people_read_a_table(model_store: Path, phantom_folder: Path) -> None:
    result = call("calibrate", "spine_autoencoder", phantom_folder, "--name", "for_people")
    assert result.exit_code == 0, result.output
    assert "30 slices of 30 patients" in result.stdout
    assert "at most 7.4%" in result.stdout
    assert "next: SPINE_MODEL=for_people:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("calibrate", "no_such_model", "."), 1),
        (("calibrate", "spine_autoencoder", "/nowhere"), 2),
        (("calibrate", "spine_autoencoder", ".", "--alarm-rate", "1"), 2),
        (("calibrate", "spine_autoencoder"), 2),
        (("calibrate", "spine_autoencoder", ".", "--group-by", "nothing.csv"), 2),
    ],
)
def test_wrong_usage_ends_in_one_message(
    model_store: Path, arguments: tuple[str, ...], code: int
) -> None:
    result = call(*arguments)
    assert result.exit_code == code
    assert "Traceback" not in result.output
