"""The labels of an image, and the command line of its build."""

import subprocess

import pytest

from image.containerize import RECIPE, build_arguments
from image.labels import ROOT, labels, recipe_base
from serving.bento.image import serving_image

PREFIX = "org.opencontainers.image"


def test_labels_name_what_was_built_from_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/project")
    found = labels("dicom-autoencoder:v1", "spine_autoencoder:v2", version="1.2.3", base="here/py")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found.pop(f"{PREFIX}.revision") in (commit, f"{commit}-dirty")
    assert found.pop(f"{PREFIX}.description").endswith("decision support, not a diagnosis")
    assert found == {
        f"{PREFIX}.title": "dicom-autoencoder",
        f"{PREFIX}.version": "1.2.3",
        f"{PREFIX}.licenses": "Apache-2.0",
        f"{PREFIX}.source": "https://git.example/owner/project",
        f"{PREFIX}.base.name": "here/py",
        "dicom-autoencoder.bento": "dicom-autoencoder:v1",
        "dicom-autoencoder.model": "spine_autoencoder:v2",
    }


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        ("https://git.example/owner/project", "https://git.example/owner/project"),
        ("https://user:token@git.example/owner/project", None),  # a secret, maybe
        ("/home/somebody/project", None),
        ("git@git.example:owner/project", None),
    ],
)
def test_the_source_is_an_address_for_everybody_or_none(
    origin: str, source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "remote.origin.url")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", origin)
    assert labels("b:1", "m:1").get(f"{PREFIX}.source") == source


def test_both_recipes_start_from_the_same_image() -> None:
    assert serving_image().base_image == recipe_base()


def test_docker_builds_our_recipe_and_not_that_of_bentoml() -> None:
    arguments = build_arguments(
        file="/tmp/theirs",  # noqa: S108
        context_path="/tmp/context",  # noqa: S108
        tag=("a:1", "b:2"),
        network=None,
        progress="plain",
    )
    assert arguments == [
        *("--file", str(RECIPE), "--tag", "a:1", "--tag", "b:2", "--progress", "plain"),
        "/tmp/context",  # noqa: S108
    ]
