"""What the tests of the image share: a container under its limits, the released model, numbers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from model.archive import unpack_model
from model.runtime import LoadedModel, load_model
from tests.image.containers import IMAGE, TWO_WORKERS, Container, Limits, running
from training.phantom import make_phantom, phantom_bytes

ROOT = Path(__file__).parents[2]
_MEASURED = pytest.StashKey[list[str]]()

Start = Callable[..., Container]
Report = Callable[[str], None]


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image; everything ends with one line where there is none."""
    try:
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        subprocess.run(asked, check=True, capture_output=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        pytest.exit("no Docker engine answers; start one, and see DOCKER_HOST", returncode=1)
    looked_up = ["docker", "image", "inspect", IMAGE]
    if subprocess.run(looked_up, check=False, capture_output=True).returncode:  # noqa: S603
        pytest.exit(f"there is no image {IMAGE}; make image builds it", returncode=1)
    return IMAGE


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Start a container of this test's own and wait until it is ready."""
    with ExitStack() as containers:

        def started(limits: Limits, **environ: str) -> Container:
            return containers.enter_context(running(limits, **environ))

        yield started


@pytest.fixture(scope="session")
def two_workers(image: str) -> Iterator[Container]:
    """A container that many tests share and none stops."""
    with running(TWO_WORKERS) as made:
        yield made


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The released model in this process."""
    folder = tmp_path_factory.mktemp("released")
    unpack_model(ROOT / "pretrained" / "spine_autoencoder.bentomodel", folder)
    return load_model(folder)


@pytest.fixture(scope="session")
def phantom() -> bytes:
    """A slice as a scanner sends it, the same on each machine."""
    return phantom_bytes(make_phantom(5, 0), 5, 0)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Tell a number below the results, passed or failed."""
    return request.config.stash.setdefault(_MEASURED, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write what the tests measured."""
    if lines := config.stash.get(_MEASURED, []):
        terminalreporter.section("measured of the image")
        for line in lines:
            terminalreporter.write_line(line)
