"""What all tests share: a BentoML home of their own and a small model in it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.measured import LINES, Report

# BentoML and prometheus_client read these once, when they are imported: before any fixture runs.
_HOME = Path(tempfile.mkdtemp(prefix="spine-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "metrics").mkdir()
os.environ["BENTOML_HOME"] = str(_HOME)
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_HOME / "metrics")
for _name in [name for name in os.environ if name.startswith("SPINE_")]:
    del os.environ[_name]
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core; a second thread of torch would only take another worker's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MODEL_SIZE = 64


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/security; pytest reads them here only, before it knows what is collected."""
    parser.addoption(
        "--soak-seconds",
        type=float,
        default=600.0,
        help="how long tests/security/load/test_soak.py runs",
    )


@pytest.fixture(scope="session")
def model_store() -> Path:
    """A BENTOML_HOME whose store holds spine_autoencoder: real, 64 px, untrained."""
    from model.store.save import save_model
    from tests.small_model import small_model

    save_model(small_model(MODEL_SIZE))
    return _HOME


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Print a number below the results, passed or failed."""
    lines = request.config.stash.setdefault(LINES, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write what the tests measured."""
    if lines := config.stash.get(LINES, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
