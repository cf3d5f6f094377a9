"""A failed build ends in one line, and leaves neither a Bento nor an image behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from image.engine import ask
from image.labels import ROOT

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
    assert _bentos(home) == []
    return line.removeprefix("image: ")


def _bentos(home: Path) -> list[str]:
    found = [bento.name for bento in home.glob("bentos/dicom-autoencoder/*")]
    return [name for name in found if name != "latest"]


@pytest.fixture
def fake_docker(tmp_path: Path) -> Callable[[str], str]:
    """A docker command that answers, builds as asked, and holds no image; gives its PATH."""

    def make(build: str) -> str:
        path = tmp_path / "bin" / "docker"
        path.parent.mkdir()
        path.write_text(
            "#!/bin/sh\n"
            'case "$1 $2" in\n'
            "  'version --format') echo 27.0.0 ;;\n"
            "  'network ls') echo bridge ;;\n"
            "  'image inspect') echo 'Error: No such image' >&2; exit 1 ;;\n"
            f"  build*) {build} ;;\n"
            "esac\n"
        )
        path.chmod(0o755)
        return f"{path.parent}:{os.environ['PATH']}"

    return make


def test_a_build_that_leaves_no_image(tmp_path: Path, fake_docker: Callable[[str], str]) -> None:
    assert _build(tmp_path, PATH=fake_docker("true")) == "Error: No such image"


@pytest.mark.image
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.image) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_an_interrupted_build(
    number: int, tmp_path: Path, fake_docker: Callable[[str], str]
) -> None:
    begun, went_on = tmp_path / "begun", tmp_path / "went-on"
    path = fake_docker(f"touch {begun}; sleep 60; touch {went_on}")
    command = subprocess.Popen(
        [sys.executable, "-m", "image"],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(tmp_path), "PATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < end
        assert command.poll() is None
        time.sleep(0.05)
    assert len(_bentos(tmp_path)) == 1
    command.send_signal(number)
    _, errors = command.communicate(timeout=30)
    assert (command.returncode, errors) == (130, "image: interrupted; nothing was built\n")
    assert _bentos(tmp_path) == []
    assert not went_on.exists()


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
        ("nosuch", "the model store has no nosuch; python -m model.store list names what it holds"),
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


@pytest.mark.parametrize(
    "tag", ["Dicom:1", "dicom autoencoder:1", "dicom-autoencoder", "a:", ":1", "a:b:c:1", "a/:1"]
)
def test_a_tag_that_is_none(tag: str, tmp_path: Path) -> None:
    assert (
        _build(tmp_path, "--tag", tag)
        == f"{tag!r} is not an image tag; write name:tag, in lower case"
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
    assert "differs from the lock" in line
    assert ask("image", "ls", "--quiet", tag) == ""
