"""`make` as a newcomer meets it: names and folders as they are typed, causes as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from requirements.install import find_cause
from tests.mount_namespace import unshare
from tests.root import ROOT

AWKWARD = 'it\'s "my" $data $(x) `id` (1) #h'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `make` itself needs of a clone."""
    clone = tmp_path / "my clone"
    shutil.copytree(ROOT / "requirements", clone / "requirements")
    shutil.copy(ROOT / "Makefile", clone / "Makefile")
    return clone


@pytest.fixture
def installed(clone: Path) -> Path:
    """A clone where everything seems installed, and whose Python writes down how it is called."""
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$CALLS"\n')
    python.chmod(0o755)
    for name in ("serve", "phantoms", "train"):
        (clone / ".venv" / f".{name}").touch()
    for folder in (AWKWARD, "my data", "first"):
        (clone / folder).mkdir(parents=True)
    return clone


def make(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    # The package index and the settings of this machine's pip are left out.
    clean = {name: value for name, value in os.environ.items() if name[:4] not in ("PIP_", "MAKE")}
    return subprocess.run(  # noqa: S603 - our own Makefile
        ["make", f"PYTHON={sys.executable}", *arguments],  # noqa: S607 - make is wherever it is
        cwd=clone,
        env=clean | {"PIP_CONFIG_FILE": os.devnull} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def calls(clone: Path, *arguments: str, **environ: str) -> list[str]:
    """The words that programs were called with, one after the other."""
    written = clone / "calls"
    run = make(clone, *arguments, CALLS=str(written), **environ)
    assert run.returncode == 0, run.stderr
    return written.read_text().splitlines()


def test_training_takes_a_folder_and_a_name_as_they_are_typed(installed: Path) -> None:
    words = calls(installed, "train", f"DATA={AWKWARD}", "NAME=my name")
    assert words == ["-m", "training", "fit", AWKWARD, "--name", "my name"]


def test_a_folder_may_also_come_from_the_environment(installed: Path) -> None:
    assert AWKWARD in calls(installed, "train", DATA=AWKWARD)


def test_more_folders_and_options_are_words_of_args(installed: Path) -> None:
    words = calls(installed, "train", "DATA=first", "ARGS='second folder' --rounds 1")
    assert words[3:] == ["first", "--name", "spine_autoencoder", "second folder", "--rounds", "1"]


def test_the_release_takes_masks_as_they_are_typed(installed: Path) -> None:
    words = calls(installed, "release", "DATA=my data", f"MASKS={AWKWARD}")
    assert words[3:6] == ["my data", "--masks", AWKWARD]


def test_an_image_takes_its_model_and_tag_as_they_are_typed(installed: Path) -> None:
    words = calls(installed, "image", f"MODEL={AWKWARD}", "TAG=a b")
    assert words == ["-m", "image", "--model", AWKWARD, "--tag", "a b"]


@pytest.mark.parametrize("target", ["train", "release"])
def test_training_without_data_is_wrong_usage(installed: Path, target: str) -> None:
    run = make(installed, target)
    assert run.returncode == 2
    assert f"make {target} DATA=folder" in run.stderr


def test_a_folder_that_is_not_there_is_named_before_anything_is_installed(clone: Path) -> None:
    run = make(clone, "train", "DATA=my dta")
    assert run.returncode == 2
    assert run.stderr.startswith("make: there is no my dta here")
    assert not (clone / ".venv").exists()


def test_phantoms_take_no_torch(installed: Path) -> None:
    (installed / ".venv" / ".train").unlink()
    assert calls(installed, "phantoms")[:4] == ["-m", "training", "phantom", "phantoms"]


@pytest.mark.parametrize(
    ("python", "cause"),
    [
        ("nonexistent-python", "nonexistent-python is no program here"),
        ("no such python", "no such python is no program here"),
        ("/bin/false", "/bin/false is not Python 3.11 or newer"),
    ],
)
def test_a_python_that_is_not_there_or_too_old_is_named(
    clone: Path, python: str, cause: str
) -> None:
    run = make(clone, f"PYTHON={python}", "serve")
    assert run.returncode == 2
    assert run.stderr.startswith(f"make: {cause}")
    assert not (clone / ".venv").exists()


@pytest.mark.heavy
def test_without_a_network_the_network_is_named(clone: Path) -> None:
    nobody = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    run = make(clone, "serve", **nobody)
    assert run.returncode == 2
    first, second, *rest = run.stderr.splitlines()
    assert first.startswith("installing what serving needs into .venv (")
    assert first.count(" MB ") == 2
    assert second.startswith("make: what serving needs cannot be installed: the package index")
    assert len(rest) == 1  # make's own line
    assert not (clone / ".venv" / ".serve").exists()


def mounted(clone: Path, mount: str) -> subprocess.CompletedProcess[str]:
    """Run `make serve` in a clone that is mounted in a certain way, for this one process."""
    script = f'{mount}; cd "$1"; exec make serve PYTHON="$2"'
    return subprocess.run(  # noqa: S603 - our own script
        [*unshare(), "sh", "-ec", script, "sh", str(clone), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_clone_that_cannot_be_written_to_is_named(clone: Path) -> None:
    run = mounted(clone, 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"')
    assert run.returncode == 2
    assert run.stderr.startswith(f"make: {clone} cannot be written to")


@pytest.mark.heavy
def test_a_full_disk_is_named(clone: Path) -> None:
    keep = 'cp -r "$1" /mnt/kept; mount -t tmpfs -o size=8m none "$1"; cp -r /mnt/kept/* "$1"'
    run = mounted(clone, f"mount -t tmpfs none /mnt; {keep}")
    assert run.returncode == 2
    assert run.stderr.startswith("make: .venv cannot be made: the disk is full")


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("ERROR: ... an OSError: [Errno 28] No space left on device", "the disk is full ("),
        ("ERROR: ... OSError: [Errno 30] Read-only file system: '/x'", "it cannot be written to"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "a package"),
        ("ERROR: ... a2wsgi==1.10.10 (from versions: none)", "the package index cannot be reached"),
        ("WARNING: Retrying ... NameResolutionError(...)", "the package index cannot be reached"),
        ("ERROR: ... torch==2.13.0 (from versions: 2.11.0, 2.12.0)", ""),
    ],
)
def test_the_output_of_pip_names_one_cause(output: str, cause: str) -> None:
    found = find_cause(output)
    assert found.startswith(cause)
    assert bool(found) is bool(cause)
