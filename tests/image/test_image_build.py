"""What cannot be built ends in one line, and leaves neither a Bento nor an image behind."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from image.build import ROOT
from image.engine import ask

RELEASED = ROOT / "pretrained/spine_autoencoder.bentomodel"


def _build(home: Path, *options: str, root: Path = ROOT, **environ: str) -> str:
    """Let a build fail.

    Returns:
        The one line that it printed.
    """
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "image", *options],
        cwd=root,
        env=os.environ | {"BENTOML_HOME": str(home)} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("image: ")
    assert list(home.glob("bentos/dicom-autoencoder/*-*")) == []
    assert [bento.name for bento in home.glob("bentos/dicom-autoencoder/*")] in ([], ["latest"])
    return line.removeprefix("image: ")


def test_without_docker(tmp_path: Path) -> None:
    line = _build(tmp_path, PATH=str(tmp_path))
    assert line == (
        "no Docker engine answers: no docker command here; install Docker or another engine"
    )


@pytest.mark.image
def test_without_an_engine(tmp_path: Path) -> None:
    line = _build(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/nobody")
    assert line.startswith("no Docker engine answers: ")


@pytest.mark.image
@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("nosuch", "the model store has no nosuch; make serve imports the released one"),
        ("nosuch.bentomodel", "nosuch.bentomodel is not a file"),
    ],
)
def test_a_model_that_is_missing(model: str, line: str, tmp_path: Path) -> None:
    assert _build(tmp_path, "--model", model) == line


@pytest.mark.image
def test_a_model_that_is_damaged(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.bentomodel"
    damaged.write_bytes(RELEASED.read_bytes()[:100_000])
    assert "damaged.bentomodel" in _build(tmp_path, "--model", str(damaged))


@pytest.mark.image
def test_a_tag_that_exists(tmp_path: Path) -> None:
    tag = "dicom-autoencoder:exists"
    ask("tag", "dicom-autoencoder:latest", tag)
    try:
        line = _build(tmp_path, "--tag", tag)
    finally:
        ask("image", "rm", tag)
    assert line == f"the image {tag} exists; choose another tag or docker image rm it"


@pytest.mark.parametrize("tag", ["Dicom:1", "dicom autoencoder:1", "dicom-autoencoder", "a:", ":1"])
def test_a_tag_that_is_none(tag: str, tmp_path: Path) -> None:
    assert (
        _build(tmp_path, "--tag", tag) == f"{tag!r} is no image tag; write name:tag, in lower case"
    )


@pytest.mark.image
def test_without_a_network(tmp_path: Path) -> None:
    tag = "dicom-autoencoder:no-network"
    line = _build(tmp_path, "--network", "none", "--tag", tag)
    assert line.startswith("the image was not built: the packages cannot be fetched")
    assert ask("image", "ls", "--quiet", tag) == ""


@pytest.mark.image
def test_a_lock_that_does_not_fit(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("image", "model", "preprocessing", "serving", "requirements", "pretrained"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("service.py", "bentofile.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    lock = copy / "requirements/serve.txt"
    head, package, rest = lock.read_text("utf-8").partition("\nschema==")
    lock.write_text(head + package + re.sub("sha256:.{8}", "sha256:00000000", rest, count=2))
    tag = "dicom-autoencoder:other-lock"
    line = _build(tmp_path, "--tag", tag, root=copy)
    assert line.startswith("the image was not built: schema==")
    assert "is not what the lock says" in line
    assert ask("image", "ls", "--quiet", tag) == ""
