"""Describe the container image to BentoML."""

from __future__ import annotations

from pathlib import Path

import bentoml.images


class LockedImage(bentoml.images.Image):  # type: ignore[misc]  # BentoML's SDK is untyped
    """An image whose packages are exactly those of requirements/serve.txt.

    BentoML 1.4.39 installs uv from the network at each build, also where `lock_packages: false`
    leaves uv without work, and appends a second bentoml without a hash to a list that has hashes.
    """

    def _freeze_python_requirements(self, bento_fs: Path, platform_: str | None = None) -> str:
        """The text of requirements.txt; `freeze` writes it."""
        return str(self.python_requirements)


def serving_image() -> LockedImage:
    """A slim Python.

    distro "none": the distribution's own recipe installs a compiler and git, 490 MB that no wheel
    of the lock needs.
    """
    return LockedImage(base_image="python:3.11-slim", distro="none")
