"""Phantoms and a short training, made once for all tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from preprocessing import InputSpec
from tests.training.small import INSPECTOR
from training.data.collection import Collection, load_images
from training.phantoms.phantom import write_phantoms


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # The tests' networks are too small to share, and other processes use the second core.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 normal phantoms of 30 patients, 96 pixels on a side."""
    out = tmp_path_factory.mktemp("phantoms")
    list(write_phantoms(out, 30, seed=3, size=96, masks=out.with_name("masks")))
    return out


@pytest.fixture(scope="session")
def phantom_masks(phantom_folder: Path) -> Path:
    """Where vertebrae, canal and discs of these phantoms are."""
    return phantom_folder.with_name("masks")


@pytest.fixture(scope="session")
def phantoms(phantom_folder: Path) -> Collection:
    return load_images([phantom_folder], InputSpec(size=INSPECTOR.size))


@pytest.fixture(scope="session")
def usual() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """40 smooth pictures that a small network learns within seconds, [40, 1, 64, 64]."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:64, 0:64] / 63.0
    made = [
        0.5 + 0.4 * np.sin(3 * x + a) * np.cos(3 * y + b) for a, b in rng.uniform(0, 1, (40, 2))
    ]
    return np.stack(made)[:, None].astype(np.float32)
