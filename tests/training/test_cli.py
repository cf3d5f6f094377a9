from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from click.testing import CliRunner, Result

from model.runtime import load_model
from model.store.find import find_directory
from tests.root import ROOT
from tests.training.small import small_options
from training import options as choices
from training import run
from training.__main__ import main
from training.data.collection import Collection
from training.errors import NotResumable
from training.evaluation.faults import FAULT_KINDS
from training.evaluation.foreign import FOREIGN_KINDS
from training.evaluation.lesions import LESION_KINDS
from training.phantoms.phantom import write_phantoms
from training.steps import StretchMetrics
from training.summary import command, print_fit, print_phantoms

SMALL = ["--size", "64", "--latent", "8", "--threads", "1", "--batch-size", "8", "--folds", "3"]
SMALL += ["--steps", "4", "--anatomy-steps", "2", "--inspector-steps", "2", "--rounds", "1"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def fitted(
    phantom_folder: Path, phantom_masks: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """One small run through the command line: its run.json."""
    data, out = (
        tmp_path_factory.mktemp("data") / "it's [my] data",
        tmp_path_factory.mktemp("runs") / "one",
    )
    shutil.copytree(phantom_folder, data)
    (data / "notes.txt").write_text("not an image")
    ds = pydicom.dcmread(data / "phantom_00000.dcm")
    ds.save_as(data / "again.dcm")
    ds.BurnedInAnnotation = "YES"
    ds.save_as(data / "screenshot.dcm")
    # A cut so low that something is removed from among normal phantoms; how many, depends on the
    # machine, and 9 patients are enough for this alarm rate.
    cleaning = ("--cut", 2.0, "--alarm-rate", 0.1, "--masks", phantom_masks)
    name = ("--name", "training_test")
    result = call("fit", data, *SMALL, *cleaning, *name, "--out", out, "--json")
    assert result.exit_code == 3, result.output  # finished, but one file was skipped
    state: dict[str, object] = json.loads(result.stdout)
    return state


def test_fit_saves_a_model_that_serving_can_load(fitted: dict[str, object]) -> None:
    model = load_model(find_directory(str(fitted["model"])))
    assert model.spec.decision.percentile == 95
    assert model.spec.provenance.n_removed == fitted["n_removed"]
    assert fitted["n_removed"] == fitted["rounds"][-1]["in_quarantine"]  # type: ignore[index]
    assert model.spec.decision.n_patients >= 1


def test_a_run_leaves_its_whole_report(fitted: dict[str, object]) -> None:
    folder = Path(str(fitted["run"]))
    made = {path.name for path in folder.iterdir()}
    assert made == {
        "run.json",
        "metrics.csv",
        "audit.csv",
        "audit.html",
        "loss.png",
        "errors.png",
        "final",
        "cache",
        "round1",
    }
    with (folder / "metrics.csv").open() as file:
        lines = [(row["network"], row["step"]) for row in csv.DictReader(file)]
    assert lines == [("autoencoder", "4"), ("inspector", "4")]
    with (folder / "audit.csv").open() as file:
        removed = list(csv.DictReader(file))
    assert len(removed) == fitted["n_removed"] > 0  # type: ignore[operator]
    assert float(removed[0]["z"]) >= float(removed[-1]["z"]) > 1.5
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"PHANTOM" in path.read_bytes()]


def test_no_patients_image_travels_with_the_model(
    fitted: dict[str, object], phantoms: Collection
) -> None:
    golden = load_model(find_directory(str(fitted["model"]))).golden_x
    assert not any(np.array_equal(g, x) for g in golden for x in phantoms.x)


def test_training_and_serving_score_a_file_alike(
    fitted: dict[str, object], phantoms: Collection
) -> None:
    folder = find_directory(str(fitted["model"]))
    onnx, reference = load_model(folder, "onnx"), load_model(folder, "torch")
    x = phantoms.x.astype(np.float32)
    np.testing.assert_allclose(onnx.score(x), reference.score(x), rtol=2e-3, atol=2e-3)


@pytest.mark.heavy
def test_a_run_that_was_cut_off_is_resumed_with_the_same_result(
    phantom_folder: Path, phantom_masks: Path, tmp_path: Path
) -> None:
    def options(folder: str) -> choices.Options:
        return small_options(phantom_folder, phantom_masks, name="training_resume", command=folder)

    def kill(metrics: StretchMetrics) -> None:
        if metrics.network == "inspector":
            raise KeyboardInterrupt

    whole = run.execute(options("whole"), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run.execute(options("cut"), tmp_path / "cut", run.Hooks(on_stretch=kill))
    assert choices.read_run(tmp_path / "cut")["status"] == "running"
    result = call("fit", "--resume", tmp_path / "cut", "--json")
    assert result.exit_code == 0, result.output
    resumed = json.loads(result.stdout)
    for part in ("metrics", "decision", "calibration", "rounds"):
        assert resumed[part] == whole[part]
    with (tmp_path / "cut" / "metrics.csv").open() as file:
        assert [row["network"] for row in csv.DictReader(file)] == ["autoencoder", "inspector"]
    hashes = [load_model(find_directory(s["model"])).spec.sha256 for s in (whole, resumed)]
    for name in ("weights.safetensors", "calibration.npz"):
        assert hashes[0][name] == hashes[1][name]


def test_a_run_is_not_resumed_on_other_images(
    fitted: dict[str, object], phantom_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(str(fitted["run"]), tmp_path / "run")
    shutil.copytree(phantom_folder, tmp_path / "data")
    (tmp_path / "data" / "phantom_00000.dcm").unlink()
    options = replace(choices.read_options(tmp_path / "run"), data=(str(tmp_path / "data"),))
    with pytest.raises(NotResumable, match="start a new run"):
        run.execute(options, tmp_path / "run")


def test_skipped_files_are_counted_and_listed(
    fitted: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fitted["skipped"] == [{"path": "notes.txt", "code": "not_dicom"}]
    print_fit(fitted, Path(str(fitted["run"])), as_json=False)
    out = capsys.readouterr().out
    assert "skipped 1 files: 1 not_dicom" in out
    assert fitted["duplicates"] == ["phantom_00000.dcm"]  # again.dcm comes first
    assert "copies of other images, pixel for pixel, left out: 1 (listed in run.json)\n" in out
    ((reason, count),) = fitted["left_out_reasons"].items()  # type: ignore[attr-defined]
    assert (reason.partition(" ")[0], count) == ("BurnedInAnnotation", 1)
    left_out = [{"path": "screenshot.dcm", "frame": 1, "reason": reason}]
    assert fitted["left_out"] == left_out
    assert f"frames of other kinds, left out: 1 (listed in run.json)\n  1: {reason}\n" in out


def test_the_audit_names_what_was_left_out(fitted: dict[str, object]) -> None:
    page = (Path(str(fitted["run"])) / "audit.html").read_text()
    ((reason, _),) = fitted["left_out_reasons"].items()  # type: ignore[attr-defined]
    assert f"<li>1: {reason}</li>" in page
    assert "<li>1 more are copies of these, pixel for pixel</li>" in page


def printed(capsys: pytest.CaptureFixture[str], start: str) -> str:
    """The rest of the one line that was printed and starts so."""
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(start)]
    return line.removeprefix(start)


def run_printed(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would who copies it into a shell, in the folder of the clone."""
    return subprocess.run(  # noqa: S602 - it is for a shell
        command, shell=True, env=os.environ | environ, capture_output=True, text=True, check=False
    )


@pytest.mark.heavy
def test_the_command_that_is_printed_after_a_training_works(
    fitted: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    print_fit(fitted, Path(str(fitted["run"])), as_json=False)
    done = run_printed(printed(capsys, "next: "))
    assert done.returncode == 0, done.stderr
    assert str(fitted["model"]) in done.stdout


def test_the_command_that_is_printed_names_masks_and_exclusions(
    fitted: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fitted["options"] | {  # type: ignore[operator]
        "exclude_file": "left out.txt",
        "group_by": "folder",
    }
    print_fit(fitted | {"options": options}, tmp_path, as_json=False)
    words = shlex.split(printed(capsys, "next: "))
    masks = options["masks"]
    assert words[-6:] == [
        *("--masks", masks, "--exclude", "left out.txt", "--group-by", "folder"),
    ]
    assert Path(words[0]).resolve() == Path(sys.executable).resolve()


def test_a_training_says_which_model_is_served_now(
    fitted: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Other tests save a spine_autoencoder into the store that all share.
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    print_fit(fitted, tmp_path, as_json=False)
    out = capsys.readouterr().out
    # It is called training_test; this store has no spine_autoencoder.
    assert "make serve serves the released model\n" in out
    assert "to serve this one: SPINE_MODEL=training_test:latest make serve\n" in out


def test_a_training_under_the_served_name_is_served(
    fitted: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained, home = find_directory(str(fitted["model"])), tmp_path / "home"
    models = home / "models" / "spine_autoencoder"
    shutil.copytree(trained, models / "v1")
    (models / "latest").write_text("v1")
    monkeypatch.setenv("BENTOML_HOME", str(home))
    print_fit(fitted | {"model": "spine_autoencoder:v1"}, tmp_path, as_json=False)
    out = capsys.readouterr().out
    assert "make serve serves this one, spine_autoencoder:v1, the newest version" in out


@pytest.mark.heavy
def test_the_command_that_is_printed_after_phantoms_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my phantoms"
    list(write_phantoms(folder, 30, seed=3, size=96))
    print_phantoms(folder, 30, as_json=False)
    words = shlex.split(printed(capsys, "next, in minutes: "))
    assert words[:3] == ["make", "train", f"DATA={folder}"]
    quicker = ["--out", str(tmp_path / "run"), *SMALL]  # the last one counts
    words[-1] += f" {shlex.join(quicker)}"
    # A make that runs the tests hands its own variables on.
    done = run_printed(shlex.join(words), MAKEFLAGS="")
    assert done.returncode == 0, done.stderr
    assert "trial:" in done.stdout
    # stderr is not a terminal here: lines in place of bars.
    assert re.search(r"^training the model: \d+ of \d+ steps", done.stderr, re.MULTILINE)


def test_a_missing_package_is_one_line() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['training', 'fit', 'tests'];"
        "from training.__main__ import run; run()"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("training: torch is not installed")
    assert ".venv/bin/python" in line


def test_commands_are_quoted_for_a_shell() -> None:
    words = shlex.split(command("fit", "--resume", Path("my run/it's")))
    assert words[1:] == ["-m", "training", "fit", "--resume", "my run/it's"]


def test_phantoms_need_no_torch_and_no_store(tmp_path: Path) -> None:
    blocked = ("torch", "safetensors", "onnx", "bentoml", "onnxruntime")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}));"
        "from training.__main__ import main; main()"
    )
    arguments = ["phantom", str(tmp_path), "--count", "1", "--size", "64"]
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "truth.csv").is_file()


def test_a_folder_without_images_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    result = call("fit", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith("training: no readable MR image in 1 files")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["bad name", "Trial", "a/b", "-", "x" * 70, "trial:1", ""])
def test_a_name_that_no_store_takes_is_refused_before_anything_is_read(
    phantom_folder: Path, tmp_path: Path, name: str
) -> None:
    result = call("fit", phantom_folder, "--name", name, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"training: the model store refused {name!r}: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_wrong_usage_ends_with_2(fitted: dict[str, object], phantom_folder: Path) -> None:
    assert call("fit").exit_code == 2
    assert call("fit", phantom_folder, "--resume", fitted["run"]).exit_code == 2
    assert call("fit", phantom_folder, "--out", fitted["run"]).exit_code == 2
    assert call("phantom", "x", "--anomaly", "wobble").exit_code == 2


def test_nothing_that_is_there_is_written_over(phantom_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("mine")
    for words in (("fit", phantom_folder), ("evaluate", "spine_autoencoder", "--phantoms", 2)):
        result = call(*words, "--out", tmp_path)
        assert result.exit_code == 2
        assert "is not empty; name another folder" in result.stderr.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    small = ("--count", 1, "--size", 64, "--json")
    assert call("phantom", tmp_path / "out", *small, "--seed", 1).exit_code == 0
    before = (tmp_path / "out" / "phantom_00000.dcm").read_bytes()
    again = call("phantom", tmp_path / "out", *small, "--seed", 2)
    assert again.exit_code == 2
    assert "--force writes over them" in again.stderr
    assert (tmp_path / "out" / "phantom_00000.dcm").read_bytes() == before
    assert call("phantom", tmp_path / "out", *small, "--seed", 2, "--force").exit_code == 0
    assert (tmp_path / "out" / "phantom_00000.dcm").read_bytes() != before


def test_decisions_in_the_audit_are_not_written_over(
    fitted: dict[str, object], tmp_path: Path
) -> None:
    run = shutil.copytree(str(fitted["run"]), tmp_path / "run")
    (first, *rest) = (run / "audit.csv").read_text().splitlines()
    (run / "audit.csv").write_text("\n".join([first, rest[0] + "keep", *rest[1:]]))
    decided = (run / "audit.csv").read_bytes()
    result = call("fit", "--resume", run)
    assert result.exit_code == 1
    assert "rename it to overrides.csv to have them followed" in result.stderr
    assert (run / "audit.csv").read_bytes() == decided


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    result = call("fit", "--resume", tmp_path)
    assert result.exit_code == 1
    assert "run.json" in result.stderr


def test_a_missing_gpu_is_named(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # wherever this runs
    result = call("fit", phantom_folder, "--device", "cuda", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "--device cpu" in result.stderr


@pytest.mark.parametrize("command", ["fit", "phantom", "evaluate"])
def test_every_help_has_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: python -m training {command}" in result.stdout


def test_phantom_writes_files_and_truth(tmp_path: Path) -> None:
    result = call("phantom", tmp_path / "out", "--count", 2, "--size", 64, "--json")
    assert json.loads(result.stdout)["count"] == 2
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "phantom_00000.dcm",
        "phantom_00001.dcm",
        "truth.csv",
    }


@pytest.mark.heavy
def test_evaluate_judges_held_out_patients_and_everything_planted(
    fitted: dict[str, object], phantom_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation"
    result = call("evaluate", fitted["model"], phantom_folder, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    kinds = {row["kind"]: row for row in found["kinds"]}
    assert found["n_usual"] == fitted["metrics"]["heldout_images"]  # type: ignore[index]
    assert set(FAULT_KINDS) | set(FOREIGN_KINDS) <= set(kinds)
    assert kinds["ghosting"]["n_images"] == found["n_usual"]
    assert not set(LESION_KINDS) & set(kinds)  # without masks
    assert json.loads((out / "evaluation.json").read_text()) == {
        key: value for key, value in found.items() if key != "out"
    }


def test_evaluate_needs_the_data_that_the_model_was_trained_from(
    fitted: dict[str, object], tmp_path: Path
) -> None:
    call("phantom", tmp_path / "others", "--count", 12, "--size", 64, "--seed", 8)
    result = call("evaluate", fitted["model"], tmp_path / "others")
    assert result.exit_code == 1
    assert "name the data it was trained from" in result.stderr


def test_evaluate_refuses_options_that_do_not_go_together(phantom_folder: Path) -> None:
    table = phantom_folder / "truth.csv"
    assert call("evaluate", "nobody", "--truth", table).exit_code == 2
    assert call("evaluate", "nobody", "--masks", phantom_folder).exit_code == 2
    assert call("evaluate", "nobody", "--axial", phantom_folder).exit_code == 2
    assert call("evaluate", "nobody", phantom_folder, "--phantoms", 5).exit_code == 2
    options = ("--truth", table, "--masks", phantom_folder)
    assert call("evaluate", "nobody", phantom_folder, *options).exit_code == 2


def test_evaluate_names_a_model_that_is_not_there(phantom_folder: Path) -> None:
    result = call("evaluate", "nobody", phantom_folder)
    assert result.exit_code == 1
    assert "nobody" in result.stderr
