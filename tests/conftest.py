"""What all tests share: a BentoML home of their own and a small model in it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

# BentoML and prometheus_client read these once, when they are imported: before any fixture runs.
_HOME = Path(tempfile.mkdtemp(prefix="spine-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "metrics").mkdir()
os.environ["BENTOML_HOME"] = str(_HOME)
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_HOME / "metrics")
for _name in [name for name in os.environ if name.startswith("SPINE_")]:
    del os.environ[_name]

MODEL_SIZE = 64


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/hostile; pytest reads them here only, before it knows what is collected."""
    parser.addoption(
        "--soak-seconds", type=float, default=600.0, help="how long tests/hostile/test_soak.py runs"
    )


@pytest.fixture(scope="session")
def model_store() -> Path:
    """A BENTOML_HOME whose store holds spine_autoencoder: real, 64 px, untrained."""
    import torch

    from model.autoencoder import Autoencoder
    from model.spec import AutoencoderConfig, Decision, Provenance
    from model.store import save_model
    from preprocessing import InputSpec

    torch.manual_seed(1)
    golden = np.random.default_rng(1).random((2, 1, MODEL_SIZE, MODEL_SIZE), dtype=np.float32)
    save_model(
        Autoencoder(AutoencoderConfig(size=MODEL_SIZE, channels=(4, 8, 16), latent=8)),
        input_spec=InputSpec(size=MODEL_SIZE),
        decision=Decision(threshold=0.05, percentile=95, n_images=20, n_patients=10),
        provenance=Provenance(
            data="noise",
            command="pytest",
            seed=1,
            n_images=20,
            n_patients=10,
            n_removed=0,
            epochs=0,
        ),
        golden=golden,
    )
    return _HOME
