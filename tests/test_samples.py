"""The files of samples/: small, no patients, as they are drawn today, and answered as shown."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest

from tests.root import ROOT
from tests.serving.server import bentoml_serve
from training.phantoms.samples import SAMPLES, sample_bytes

FOLDER = ROOT / "samples"
RELEASED = ROOT / "pretrained" / "spine_autoencoder.bentomodel"


def test_the_samples_are_three_and_smaller_than_400_kb() -> None:
    assert {path.name for path in FOLDER.glob("*.dcm")} == {f"{name}.dcm" for name in SAMPLES}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_its_command_writes(name: str) -> None:
    kept, drawn = (
        pydicom.dcmread(BytesIO(data))
        for data in ((FOLDER / f"{name}.dcm").read_bytes(), sample_bytes(name))
    )
    # Another machine's FFT may round a pixel to its neighbour.
    difference = kept.pixel_array.astype(int) - drawn.pixel_array.astype(int)
    assert np.abs(difference).max() <= 1
    assert not [e for e in kept if e.keyword != "PixelData" and e != drawn[e.tag]]


def test_the_released_model_answers_the_samples_as_shown(tmp_path: Path) -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    [block] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    shown = json.loads(block)
    environ = {"BENTOML_HOME": str(tmp_path / "home"), "SPINE_MODEL": str(RELEASED)}
    with bentoml_serve(tmp_path / "log", **environ) as (url, _):
        answers = {
            name: httpx.post(
                f"{url}/predict", files={"file": (FOLDER / f"{name}.dcm").read_bytes()}, timeout=30
            ).json()
            for name in SAMPLES
        }
    line = f"serving {RELEASED}, the file that SPINE_MODEL names"
    assert (tmp_path / "log").read_text().count(line) == 1
    assert {answer["scope_reason"] for answer in answers.values()} == {shown["scope_reason"]}
    assert not any(answer["in_scope"] for answer in answers.values())
    usual = answers["usual"]
    varying = {key: usual[key] for key in ("inference_time_ms", "request_id")}
    # A processor without AVX-512 sums in another order.
    numbers = {"reconstruction_mse": 1e-4, "anomaly_score": 1e-3}
    near = {key: pytest.approx(shown[key], rel=rel) for key, rel in numbers.items()}
    assert usual == shown | varying | near
    assert list(usual) == list(shown)
