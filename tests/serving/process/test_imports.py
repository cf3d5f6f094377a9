"""What the processes of a server import: each of these costs memory and a slower start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root import ROOT

# For training, other frameworks, or the worker alone.
NEITHER = {
    *("torch", "onnx", "safetensors", "scipy", "matplotlib", "pydicom", "pandas", "PIL", "grpc"),
    *("imagecodecs", "rle"),
}
OF_WORKERS = {
    "onnxruntime",
    "aiohttp",
    "opentelemetry",
    "uvicorn",
    "uvloop",
    "prometheus_client",
}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import service", NEITHER | OF_WORKERS),
        ("import service; service.SpineAnomaly.to_asgi(); service.SpineAnomaly.inner()", NEITHER),
    ],
    ids=["supervisor", "worker"],
)
def test_a_process_imports_nothing_heavy_that_it_does_not_use(
    model_store: Path, code: str, unwanted: set[str]
) -> None:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(model_store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.splitlines()[-1].split()) & unwanted
