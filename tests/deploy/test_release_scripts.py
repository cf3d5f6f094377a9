"""The scripts of release.yml name a release and take its model, or refuse in one line."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.root import ROOT

SHA = "0123456789abcdef0123456789abcdef01234567"


def _run(script: str, *arguments: str, **environ: str) -> tuple[int, str, str]:
    done = subprocess.run(  # noqa: S603 - our own scripts
        ["bash", str(ROOT / ".github" / script), *arguments],  # noqa: S607
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "GITHUB_SHA": SHA, "OWNER": "Some-Clinic"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _named(event: str, ref: str, given: str = "") -> dict[str, str]:
    status, out, error = _run(
        "name-release.sh", GITHUB_EVENT_NAME=event, GITHUB_REF=ref, GIVEN=given
    )
    assert status == 0, error
    return dict(line.split("=", 1) for line in out.splitlines())


def test_main_is_published_as_main_and_by_its_commit() -> None:
    assert _named("push", "refs/heads/main") == {
        "image": "ghcr.io/some-clinic/dicom-autoencoder",  # registries know no capitals
        "version": "main",
        "build": f"sha-{SHA}",
        "latest": "false",
        "release": "false",
    }


def test_a_tag_is_a_release_and_becomes_latest() -> None:
    named = _named("push", "refs/tags/v0.1.0")
    assert (named["version"], named["latest"], named["release"]) == ("0.1.0", "true", "true")


def test_a_candidate_is_a_release_that_does_not_become_latest() -> None:
    named = _named("push", "refs/tags/v0.1.0-rc.1")
    assert (named["version"], named["latest"], named["release"]) == ("0.1.0-rc.1", "false", "true")


def test_a_retrained_model_takes_neither_latest_nor_the_name_of_the_commit() -> None:
    named = _named("workflow_dispatch", "refs/heads/main", "0.1.0-site.2")
    assert (named["version"], named["latest"]) == ("0.1.0-site.2", "false")
    assert named["build"] == f"0.1.0-site.2-sha-{SHA}"


@pytest.mark.parametrize(
    ("event", "ref", "given", "why"),
    [
        ("push", "refs/tags/v9.9.9", "", "pyproject.toml says"),
        ("push", "refs/tags/v1", "", "use v1.2.3"),
        ("push", "refs/tags/v0.1.0$(id)", "", "use v1.2.3"),
        ("push", "refs/heads/other", "", "is not released"),
        ("workflow_dispatch", "refs/heads/main", "0.1.0", "name the site's own"),
        ("workflow_dispatch", "refs/heads/main", "latest", "name the site's own"),
        ("workflow_dispatch", "refs/heads/main", "0.1.0-a\nlatest=true", "name the site's own"),
    ],
)
def test_what_cannot_be_released_is_refused_in_one_line(
    event: str, ref: str, given: str, why: str
) -> None:
    status, out, error = _run(
        "name-release.sh", GITHUB_EVENT_NAME=event, GITHUB_REF=ref, GIVEN=given
    )
    assert (status, out) == (1, "")
    assert why in error
    assert error.startswith("::error::")


def test_without_an_address_the_released_model_is_taken_with_its_card_and_audit(
    tmp_path: Path,
) -> None:
    status, _, error = _run("fetch-model.sh", str(tmp_path / "model"))
    assert status == 0, error
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "spine_autoencoder.bentomodel",
        "MODEL_CARD.md",
        "audit.csv",
    }


def _artifact(folder: Path, content: bytes) -> str:
    """Put a `gh` in a folder that downloads one file, as the real one does from a run."""
    (folder / "artifact").mkdir()
    (folder / "artifact/spine_autoencoder.bentomodel").write_bytes(content)
    program = folder / "gh"
    program.write_text(f'#!/bin/sh\nfor last; do :; done\ncp {folder}/artifact/* "$last"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_retrained_model_is_taken_when_it_has_the_given_sha256(tmp_path: Path) -> None:
    path = _artifact(tmp_path, b"model")
    given = {"MODEL": "12", "GITHUB_REPOSITORY": "a/b", "PATH": path}
    right = hashlib.sha256(b"model").hexdigest()
    status, _, error = _run("fetch-model.sh", str(tmp_path / "model"), SHA256=right, **given)
    assert status == 0, error
    status, _, error = _run("fetch-model.sh", str(tmp_path / "model"), SHA256="0" * 64, **given)
    assert status == 1
    assert "another sha256" in error


@pytest.mark.parametrize(
    ("model", "sha256", "why"),
    [
        ("https://example.org/model", "", "64 lower-case digits"),
        ("http://example.org/model", "0" * 64, "an https address"),
        ("file:///etc/passwd", "0" * 64, "an https address"),
    ],
)
def test_a_model_from_nowhere_is_refused(tmp_path: Path, model: str, sha256: str, why: str) -> None:
    status, _, error = _run("fetch-model.sh", str(tmp_path / "m"), MODEL=model, SHA256=sha256)
    assert status == 1
    assert why in error
