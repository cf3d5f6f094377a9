"""Whole runs of the command line: what a person decides, what stops a run, what a kill does."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model.runtime import load_model
from model.store.find import find_directory
from tests.dicom_files import make_dicom
from tests.root import ROOT
from tests.training.small import small_options
from training.__main__ import main
from training.errors import NotResumable
from training.prepare import start

TINY = ["--size", "64", "--latent", "8", "--batch-size", "8", "--folds", "3"]
TINY += ["--steps", "4", "--anatomy-steps", "2", "--inspector-steps", "2"]
TINY += ["--name", "cleaning_test", "--json"]
# A cut so low that some of the normal phantoms are removed.
REMOVING = ["--cut", "2", "--cap", "0.9", "--rounds", "1"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def small(phantom_masks: Path) -> list[str]:
    """Options of a run of seconds in this process."""
    return [*TINY, "--masks", str(phantom_masks), "--threads", "1"]


@pytest.fixture(scope="module")
def audited(
    phantom_folder: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run that removed some images."""
    out = tmp_path_factory.mktemp("runs") / "audited"
    result = call("fit", phantom_folder, *small, *REMOVING, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.heavy
def test_the_next_run_follows_human_decisions(
    small: list[str], audited: Path, phantom_folder: Path, tmp_path: Path
) -> None:
    removed = [row["path"] for row in table(audited / "audit.csv")]
    kept = next(f.name for f in sorted(phantom_folder.glob("*.dcm")) if f.name not in removed)
    decisions = tmp_path / "decisions.csv"
    decisions.write_text(f"path,frame,decision\n{removed[0]},1,keep\n{kept},,drop\n")
    options = [*REMOVING, "--overrides", decisions]
    result = call("fit", phantom_folder, *small, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    states = {row["path"]: row["state"] for row in table(tmp_path / "run" / "audit.csv")}
    assert states[removed[0]] == "kept by a person"
    # A held-out image is not trained on anyway, and is not in the audit.
    assert states.get(kept, "dropped by a person") == "dropped by a person"


@pytest.mark.heavy
def test_decisions_in_the_folder_of_a_run_count_when_it_is_resumed(
    audited: Path, tmp_path: Path
) -> None:
    shutil.copytree(audited, tmp_path / "run")
    first, *others = table(audited / "audit.csv")
    (tmp_path / "run" / "overrides.csv").write_text(f"path,decision\n{first['path']},keep\n")
    result = call("fit", "--resume", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n_removed"] == len(others)


def test_decisions_about_unknown_images_stop_the_run_before_any_training(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("path,decision\nnobody.dcm,keep\n")
    options = [*small, "--overrides", decisions, "--out", tmp_path / "run"]
    result = call("fit", phantom_folder, *options)
    assert result.exit_code == 1
    assert "not among these: nobody.dcm" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "round1").exists()


def test_a_folder_of_outliers_ends_with_a_question_and_its_audit(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    options = ["--cut", 0.1, "--out", tmp_path / "run"]
    result = call("fit", phantom_folder, *small, *options)
    assert result.exit_code == 1
    assert "more than --cap 0.3 allows: are these the images you meant?" in result.stderr
    shown = table(tmp_path / "run" / "audit.csv")
    assert len(shown) > 8
    assert (tmp_path / "run" / "audit.html").read_text().count("<li ") == len(shown)


@pytest.mark.heavy
def test_a_run_resumes_once_the_question_is_answered_in_its_folder(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    asked = call("fit", phantom_folder, *small, "--cut", 0.1, "--out", tmp_path / "run")
    assert asked.exit_code == 1
    shown = table(tmp_path / "run" / "audit.csv")
    answers = [f"{row['path']},keep" for row in shown]
    (tmp_path / "run" / "overrides.csv").write_text("path,decision\n" + "\n".join(answers))
    resumed = call("fit", "--resume", tmp_path / "run", "--json")
    assert resumed.exit_code == 0, resumed.output


@pytest.mark.heavy
def test_the_plain_loop_is_still_there(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    options = ["--policy", "percentile", "--rounds", 2, "--remove-percent", 10]
    result = call("fit", phantom_folder, *small, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    state = json.loads(result.stdout)
    assert [done["in_quarantine"] for done in state["rounds"]] == [2, 4]
    assert {row["z"] for row in table(tmp_path / "run" / "audit.csv")} == {""}


def test_fewer_patients_than_folds_are_refused(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    result = call("fit", phantom_folder, *small, "--folds", 29, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "lower --folds" in result.stderr


@pytest.mark.parametrize("n_patients", [1, 2])
def test_one_or_two_patients_are_refused(small: list[str], tmp_path: Path, n_patients: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(0, 900, (40, 40), dtype=np.uint16)
        content = make_dicom(pixels, PatientID=f"P{number % n_patients}")
        (tmp_path / f"{number}.dcm").write_bytes(content)
    result = call("fit", tmp_path, *small, "--out", tmp_path / "run")
    assert result.exit_code == 1
    # Of two, one is held out.
    assert "0 images of 1 patients" in result.stderr
    assert result.stderr.count("\n") == 1


def test_identical_images_count_once(
    small: list[str], phantom_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(20):
        shutil.copy(phantom_folder / "phantom_00000.dcm", data / f"{number}.dcm")
    result = call("fit", data, *small, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "19 more are copies of these, pixel for pixel" in result.stderr


def test_a_folder_that_changed_is_decoded_again_by_a_new_run(
    phantom_folder: Path, phantom_masks: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_folder, data)
    options = small_options(data, phantom_masks, name="cleaning_test")
    first = start(options, tmp_path / "one").images
    (data / "phantom_00003.dcm").write_bytes((data / "phantom_00004.dcm").read_bytes())
    second = start(options, tmp_path / "two").images
    assert [len(images.sources) for images in (first, second)] == [30, 29]
    assert second.duplicates == ("phantom_00004.dcm",)
    with pytest.raises(NotResumable, match="start a new run"):
        start(options, tmp_path / "one")


# Two processes, and a cut so low that something is removed from among normal phantoms.
@pytest.fixture(scope="module")
def killed(phantom_masks: Path) -> list[str]:
    """Options of the runs that are killed."""
    options = ["--cut", "1.5", "--cap", "0.9", "--rounds", "2", "--threads", "2"]
    options += ["--alarm-rate", "0.2"]  # few patients are left for a smaller one
    return [*TINY, *options, "--masks", str(phantom_masks)]


@pytest.fixture(scope="module")
def whole(
    phantom_folder: Path, killed: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    result = call("fit", phantom_folder, *killed, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.heavy
def test_a_run_killed_in_the_middle_is_resumed_with_the_same_result(
    whole: Path, phantom_folder: Path, killed: list[str], tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    command = [sys.executable, "-m", "training", "fit", str(phantom_folder), *killed]
    run = subprocess.Popen([*command, "--out", str(cut)], cwd=ROOT)  # noqa: S603 - our own code
    while not (cut / "round1/fold1/scores.npz").exists() and run.poll() is None:
        time.sleep(0.02)
    run.kill()
    run.wait()
    # Killed before run.json was there, it starts over in the same folder.
    begun = (cut / "run.json").exists()
    resumed = call("fit", "--resume", cut, "--json") if begun else None
    resumed = resumed or call("fit", phantom_folder, *killed, "--out", cut)
    assert resumed.exit_code == 0, resumed.output
    for name in sorted(path.relative_to(whole) for path in whole.glob("round*/fold*/scores.npz")):
        with np.load(whole / name) as expected, np.load(cut / name) as found:
            assert expected["scores"].tobytes() == found["scores"].tobytes(), name
    # Each run has a salt of its own.
    audits = [
        [{k: v for k, v in row.items() if k != "sop_hash"} for row in table(folder / "audit.csv")]
        for folder in (whole, cut)
    ]
    assert audits[0] == audits[1]
    states = [json.loads((folder / "run.json").read_text()) for folder in (whole, cut)]
    hashes = [load_model(find_directory(str(s["model"]))).spec.sha256 for s in states]
    assert hashes[0]["weights.safetensors"] == hashes[1]["weights.safetensors"]
