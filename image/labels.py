"""Make the labels of the image."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PREFIX = "org.opencontainers.image"


def labels(
    bento: str, model: str, version: str | None = None, base: str | None = None
) -> dict[str, str]:
    """Return the labels of the image, as the OCI image specification names them.

    Args:
        bento: name:version.
        model: name:version.
        version: of the image; the project's own without it.
        base: image that it starts from; the recipe's without it.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    name = bento.partition(":")[0]
    known = {
        f"{_PREFIX}.title": name,
        f"{_PREFIX}.description": f"{project['description']}; decision support, not a diagnosis",
        f"{_PREFIX}.version": version or project["version"],
        f"{_PREFIX}.licenses": project["license"],
        f"{_PREFIX}.source": _source(),
        f"{_PREFIX}.revision": _revision(),
        f"{_PREFIX}.base.name": base or recipe_base(),
        f"{name}.bento": bento,
        f"{name}.model": model,
    }
    return {name: value for name, value in known.items() if value}


def recipe_base() -> str:
    """Return the image that the recipe starts from."""
    recipe = Path(__file__).with_name("Dockerfile").read_text("utf-8")
    return recipe.partition("ARG BASE=")[2].splitlines()[0]


def _revision() -> str | None:
    """Return the commit; None outside a clone."""
    commit = _git("rev-parse", "HEAD")
    # A release puts its own model there, and the label of the model names it.
    aside = [":!pretrained"] if "GITHUB_ACTIONS" in os.environ else []
    is_clean = _git("status", "--porcelain", "--", ".", *aside) == ""
    return commit if is_clean or not commit else f"{commit}-dirty"


def _source() -> str:
    """Return where the code is: the workflow's repository, or the clone's origin if public."""
    server, repository = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and repository:
        return f"{server}/{repository}"
    origin = _git("config", "remote.origin.url") or ""
    return origin if origin.startswith("https://") and "@" not in origin else ""


def _git(*arguments: str) -> str | None:
    """Return what git prints; None where it fails or is not installed."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
