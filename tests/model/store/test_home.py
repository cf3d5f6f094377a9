from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.store.home import use_clone_store
from tests.root import ROOT


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a clone, and no BENTOML_HOME."""
    monkeypatch.delenv("BENTOML_HOME")
    (tmp_path / "Makefile").touch()
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_a_clone_has_a_store_of_its_own(
    clone: Path, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("BENTOML_HOME", value)
    use_clone_store(clone)
    assert os.environ["BENTOML_HOME"] == str(clone / ".bentoml")


def test_a_store_that_is_named_is_used(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", "/another")
    use_clone_store(clone)
    assert os.environ["BENTOML_HOME"] == "/another"


def test_an_image_is_not_a_clone(clone: Path) -> None:
    (clone / "Makefile").unlink()
    use_clone_store(clone)
    assert "BENTOML_HOME" not in os.environ


@pytest.mark.parametrize(
    "command", [["list"], ["import", "pretrained/spine_autoencoder.bentomodel"]]
)
def test_the_command_line_uses_the_store_of_the_clone(tmp_path: Path, command: list[str]) -> None:
    clone, home = tmp_path / "my clone", tmp_path / "home"
    for folder in ("model", "preprocessing", "pretrained"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    home.mkdir()
    environ = os.environ | {"HOME": str(home)}
    del environ["BENTOML_HOME"]
    run = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", "model.store", *command],
        cwd=clone,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert not list(home.iterdir())
    if command[0] == "import":
        name, _, version = run.stdout.strip().partition(":")
        assert (clone / ".bentoml" / "models" / name / version).is_dir()
