"""`bentoml build` works without a network, and holds what serving needs and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from model.store.find import find_directory
from tests.root import ROOT


def test_the_bento_is_built_offline_without_torch_training_and_tests(
    model_store: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(model_store / "models")
    # No uv to be found, and nothing for pip to install it from.
    environ = {"BENTOML_HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag", "--version", "test"],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bento = tmp_path / "bentos" / "dicom-autoencoder" / "test"
    packages = {path.relative_to(bento / "src").parts[0] for path in bento.glob("src/*/*")}
    assert packages == {"model", "preprocessing", "requirements", "serving"}
    assert not (bento / "src" / "model" / "autoencoder.py").exists()
    info = yaml.safe_load((bento / "bento.yaml").read_text())
    version = find_directory("spine_autoencoder").name
    (service,) = info["services"]
    assert [model["tag"] for model in service["models"]] == [f"spine_autoencoder:{version}"]
    listed = bento / "env" / "python" / "requirements.txt"
    option, place = listed.read_text().split()
    requirements = (listed.parent / place).read_text()
    assert option == "-r"
    assert "torch==" not in requirements
    assert requirements.count("bentoml==") == 1
    assert requirements == (ROOT / "requirements" / "serve.txt").read_text()
    assert "openapi" in yaml.safe_load((bento / "apis" / "openapi.yaml").read_text())
