"""Describe the container image to BentoML."""

from __future__ import annotations

from pathlib import Path

import bentoml.images

LOCK = "requirements/serve.txt"


class LockedImage(bentoml.images.Image):  # type: ignore[misc]  # BentoML's SDK is untyped
    """An image whose packages are exactly those of requirements/serve.txt.

    BentoML 1.4.39 installs uv from the network at each build, also where `lock_packages: false`
    leaves uv without work, and appends a second bentoml without a hash to a list that has hashes.
    It also copies the list into bento.yaml, 200 kB that every process reads at its start (65 ms).
    """

    def _freeze_python_requirements(self, bento_fs: Path, platform_: str | None = None) -> str:
        """The text of env/python/requirements.txt; `freeze` writes it."""
        return f"-r ../../src/{LOCK}\n"


def serving_image() -> LockedImage:
    """A slim Python.

    distro "none": the distribution's own recipe installs a compiler and git, 490 MB that no wheel
    of the lock needs.
    """
    image = LockedImage(base_image="python:3.11-slim", distro="none")
    image.build_include(str(Path(LOCK).parent))  # there before the packages are installed
    return image
