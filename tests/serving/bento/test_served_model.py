"""A server serves the model that SPINE_MODEL names, one for all its workers, or says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from model.store.find import find_directory
from model.store.stages import tag_stage
from model.store.transfer import export_model
from tests.model.store.versions import save_version
from tests.root import ROOT
from tests.security import process_tree
from tests.serving.server import free_port, serve


@pytest.fixture(scope="module")
def rolled(model_store: Path) -> str:
    """A model of two versions; the older one is production."""
    for n in (1, 2):
        save_version(f"rolled:v{n}", seed=n)
    tag_stage("rolled:v1", "production")
    return "rolled:production"


@pytest.fixture
def home(model_store: Path, tmp_path: Path) -> Path:
    """A home of a server's own, on the store of the tests."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(model_store / "models")
    return tmp_path / "home"


def model_of(url: str, dicom: bytes) -> str:
    answer = httpx.post(f"{url}/predict", files={"file": dicom}, timeout=30)
    assert answer.status_code == 200, answer.text
    model: str = answer.json()["model"]
    return model


def kill_workers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Kill all workers, and wait until another answers."""
    before = process_tree.workers(process.pid, int(url.rpartition(":")[2]))
    assert before
    process_tree.kill(before)

    def is_ready_again() -> bool:
        now = process_tree.workers(process.pid, int(url.rpartition(":")[2]))
        try:
            ready = httpx.get(f"{url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False
        return ready and bool(now) and not set(now) & set(before)

    assert process_tree.wait_until(is_ready_again, seconds=30)


@pytest.mark.heavy
def test_a_stage_that_moves_counts_at_the_next_start_and_for_no_single_worker(
    rolled: str, home: Path, dicom: bytes, tmp_path: Path
) -> None:
    environ = {"BENTOML_HOME": str(home), "SPINE_MODEL": rolled}
    with serve(tmp_path / "log", **environ) as (url, process):
        assert model_of(url, dicom) == "rolled:v1"
        tag_stage("rolled:v2", "production")
        kill_workers(url, process)
        assert model_of(url, dicom) == "rolled:v1"
    line = "serving rolled:v1, which holds the stage production"
    assert (tmp_path / "log").read_text().count(line) == 1
    with serve(tmp_path / "log", **environ) as (url, _):
        assert model_of(url, dicom) == "rolled:v2"


@pytest.mark.heavy
def test_a_mounted_file_is_served_without_a_place_in_the_store(
    rolled: str, dicom: bytes, tmp_path: Path
) -> None:
    file = export_model("rolled:v1", tmp_path / "site.bentomodel")
    environ = {"BENTOML_HOME": str(tmp_path / "home"), "SPINE_MODEL": str(file)}
    with serve(tmp_path / "log", **environ) as (url, process):
        assert model_of(url, dicom) == "rolled:v1"
        export_model("rolled:v2", file, overwrite=True)
        kill_workers(url, process)
        assert model_of(url, dicom) == "rolled:v1"
    assert list((tmp_path / "home" / "models").iterdir()) == []


def cut(path: Path, whole: Path) -> None:
    path.write_bytes(whole.read_bytes()[:5000])


UNFIT: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "missing": (lambda path, whole: None, "is not a file"),
    "a folder": (lambda path, whole: path.mkdir(), "is a folder"),
    "damaged": (cut, "is not a whole .bentomodel file"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_file_that_cannot_be_served_ends_the_start_in_one_line(
    rolled: str, home: Path, tmp_path: Path, kind: str
) -> None:
    make, message = UNFIT[kind]
    make(tmp_path / "m.bentomodel", export_model("rolled:v1", tmp_path / "whole.bentomodel"))
    assert message in line_of_a_failed_start(home, str(tmp_path / "m.bentomodel"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("rolled:staging", "no version of rolled holds the stage staging"),
        ("rolled:v9", "the model store has no rolled:v9"),
        ("rolled:v", "the model store has no rolled:v"),  # BentoML would look for v*
        ("Rolled v1", "'Rolled v1' is not a model tag"),
    ],
)
def test_a_tag_that_means_nothing_ends_the_start_in_one_line(
    rolled: str, home: Path, wanted: str, message: str
) -> None:
    assert message in line_of_a_failed_start(home, wanted)


def line_of_a_failed_start(home: Path, wanted: str) -> str:
    """Start a server that cannot serve; return what it says."""
    lines = []
    command = ("bentoml", "serve", "service:SpineAnomaly", "--port", str(free_port()))
    for module in (command, ("serving.process.preflight", "--port", str(free_port()))):
        done = run(home, wanted, *module)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        lines.append(done.stderr.partition(": ")[2])
    assert lines[0] == lines[1], "preflight says the same"
    return lines[0]


def run(home: Path, wanted: str, *module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own modules)
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home), "SPINE_MODEL": wanted},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BUILD = ("bentoml", "build", "--output", "tag", "--version")


def test_a_bento_keeps_the_version_that_held_the_stage_when_it_was_built(
    rolled: str, home: Path
) -> None:
    assert run(home, "rolled:production", *BUILD, "one").returncode == 0
    bento = home / "bentos" / "dicom-autoencoder" / "one"
    info = yaml.safe_load((bento / "bento.yaml").read_text())
    version = find_directory("rolled:production").name
    assert f"rolled:{version}" in [model["tag"] for model in info["services"][0]["models"]]
    assert {e["name"]: e["value"] for e in info["envs"]}["SPINE_MODEL"] == f"rolled:{version}"


def test_a_bento_is_not_built_of_a_file(rolled: str, home: Path, tmp_path: Path) -> None:
    file = export_model("rolled:v1", tmp_path / "site.bentomodel")
    done = run(home, str(file), *BUILD, "two")
    assert done.returncode == 1
    assert f"python -m model.store import {file}, then name its tag" in done.stderr
    assert not (home / "bentos" / "dicom-autoencoder").exists()
