"""What the security tests share: servers, and slices of a real size."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.dicom_files import encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import RLE, encode_rle
from tests.root import ROOT
from tests.security.servers import Server, hostile_server

Serve = Callable[..., Server]


@pytest.fixture
def many_descriptors(server: Server) -> Iterator[None]:
    """Let this process open thousands of connections; the server keeps what it was started with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with the released model, which no test changes."""
    home = tmp_path_factory.mktemp("store")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "model.store",
            "import",
            "pretrained/spine_autoencoder.bentomodel",
        ],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(home)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return home


@pytest.fixture
def serve(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers of this test's own; settings are keyword arguments."""
    with ExitStack() as running:

        def start(*prefix: str, **environ: str) -> Server:
            folder = tmp_path_factory.mktemp("server")
            return running.enter_context(hostile_server(store, folder, prefix, **environ))

        yield start


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the default settings, shared by the tests of one file."""
    with hostile_server(store, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def slice_file() -> bytes:
    """A slice of 370 kB, as a scanner sends it."""
    return make_dicom(noise((430, 430)))


@pytest.fixture(scope="session")
def compressed_file() -> bytes:
    """A slice whose frame goes through the decoder process."""
    pixels = np.tile(noise((43, 43)), (10, 10))
    return encapsulated(pixels, RLE, [encode_rle(pixels)])
