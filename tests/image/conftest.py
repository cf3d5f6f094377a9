"""What the tests of the image share: containers under its limits, and the released model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from image.engine import EngineError, check_engine, has_image
from model.runtime import LoadedModel, load_model
from model.store.archive import unpack_model
from tests.image.containers import IMAGE, TWO_WORKERS, Container, Limits, running
from tests.root import ROOT
from training.phantoms.phantom import make_phantom, phantom_bytes

Start = Callable[..., Container]


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image; everything ends with one line where there is none."""
    try:
        check_engine()
        if not has_image(IMAGE):
            raise EngineError(f"there is no image {IMAGE}; make image builds it")
    except EngineError as error:
        pytest.exit(str(error), returncode=1)
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
