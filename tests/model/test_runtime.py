"""The network where it is served."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.runtime import load_model
from model.store.find import find_directory
from tests.root import ROOT


def test_a_loaded_model_leaves_nothing_in_the_home_and_the_temporary_folder(
    model_store: Path, tmp_path: Path
) -> None:
    # onnxruntime 1.32 by itself writes a session file and a database of events to send.
    code = (
        "from model.runtime import load_model; from model.store.find import find_directory;"
        "model = load_model(find_directory()); model.check_golden()"
    )
    environ = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environ |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_a_slice_has_the_same_score_at_any_position_of_any_batch(
    model_store: Path, runtime: str
) -> None:
    model = load_model(find_directory(), runtime)
    size = model.spec.input.size
    slices = np.random.default_rng(4).random((9, 1, size, size), np.float32)
    slices[3] = 0  # neighbours of every kind
    alone = np.array([model.score(one[None])[0] for one in slices])
    for n_batch in range(2, 10):
        for first in range(10 - n_batch):
            batch = slices[first : first + n_batch]
            backwards = np.ascontiguousarray(batch[::-1])
            for found in (model.score(batch), model.score(backwards)[::-1]):
                # The MSE is a mean; the others pass through more layers, in torch's float32 too.
                np.testing.assert_allclose(found[:, 0], alone[first:][:n_batch, 0], rtol=1e-6)
                np.testing.assert_allclose(found, alone[first:][:n_batch], rtol=1e-5)
