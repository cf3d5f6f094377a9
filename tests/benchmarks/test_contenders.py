"""The contenders do the same work, or are refused before anything is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from pydicom import dcmread

from benchmarks.contenders.fastapi_torch import app, read_slice
from benchmarks.contenders.floor import app as floor
from benchmarks.contenders.starting import contenders
from benchmarks.rounds import add, check_scores
from benchmarks.slices import encoded
from model.calibration.strata import Measured, stratum_of
from model.runtime import load_model
from model.store.find import find_directory
from preprocessing import InputSpec, read_image, to_input
from tests.root import ROOT


@pytest.mark.parametrize("syntax", ["uncompressed", "RLE", "JPEG 2000"])
def test_pydicom_and_we_read_the_same_of_a_slice(syntax: str) -> None:
    file = encoded(5, 256, syntax)
    theirs, ours = read_slice(dcmread(BytesIO(file))), read_image(file)
    assert (to_input(theirs, InputSpec()) == to_input(ours, InputSpec())).all()
    measured = Measured(canal_contrast=0.0, vertebra_share=0.0)
    assert stratum_of(theirs.facts, measured) == stratum_of(ours.facts, measured)


async def test_fastapi_with_torch_answers_the_scores_of_the_model(model_store: Path) -> None:
    file = encoded(5, 256)
    here = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")
    async with app.router.lifespan_context(app), here as client:
        assert (await client.get("/readyz")).status_code == 200
        answer = (await client.post("/predict", files={"file": ("slice.dcm", file)})).json()
    model = load_model(find_directory(), "onnx")
    expected = model.score(to_input(read_image(file), model.spec.input)[None])[0, 0]
    assert answer["reconstruction_mse"] == pytest.approx(expected, rel=1e-4)


def test_contenders_that_compute_something_else_are_refused() -> None:
    same = {"this": {"a": 0.02}, "stock": {"a": 0.0200001}, "floor": dict[str, float]()}
    check_scores(same)
    with pytest.raises(click.ClickException, match="do not do the same work"):
        check_scores(same | {"stock": {"a": 0.021}})


def test_the_rounds_of_a_contender_stand_in_one_record() -> None:
    records: list[dict[str, Any]] = []
    for name, p50_ms in (("this", 5.0), ("stock", 9.0), ("this", 6.0)):
        add(records, {"contender": name, "clients": 1}, {"clients": 1, "p50_ms": p50_ms})
    assert records == [
        {"contender": "this", "clients": 1, "p50_ms": [5.0, 6.0]},
        {"contender": "stock", "clients": 1, "p50_ms": [9.0]},
    ]


def test_keras_is_a_contender_only_where_an_interpreter_has_it() -> None:
    assert set(contenders()) == {"this", "stock", "fastapi_torch", "floor"}
    added = contenders("python-with-keras")["fastapi_keras"]
    assert added.command(1234, 2)[0] == "python-with-keras"


def test_every_contender_gets_the_same_number_of_workers() -> None:
    for contender in contenders("python").values():
        by_option = contender.command(1234, 3)[-2:] == ["--workers", "3"]
        assert by_option == (contender.name not in ("this", "stock"))
        assert contender.environ(3)["SPINE_WORKERS"] == "3"


def test_each_checkout_is_started_as_it_starts_in_production(tmp_path: Path) -> None:
    this = contenders()["this"]
    assert this.command(1234, 1)[1:3] == ["-m", "serving"]
    assert this.command(1234, 1, tmp_path)[1:4] == ["-m", "bentoml", "serve"]  # an older one


async def test_the_floor_answers_once_the_body_has_come() -> None:
    parts = iter([{"body": b"a", "more_body": True}, {"body": b"b"}])
    sent: list[Any] = []

    async def receive() -> Any:
        assert not sent
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    await floor({"type": "http"}, receive, send)
    assert next(parts, None) is None
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert dict(sent[0]["headers"])[b"content-length"] == b"%d" % len(sent[1]["body"])


@pytest.mark.heavy
@pytest.mark.parametrize("only", ["this,floor", "stock,fastapi_torch"])
def test_a_quick_run_measures_each_contender(only: str, model_store: Path, tmp_path: Path) -> None:
    file, picture = tmp_path / "results.json", tmp_path / "results.png"
    command = [sys.executable, "-m", "benchmarks.serve", "--quick", "--keep-going", "--only", only]
    run = subprocess.run(  # noqa: S603 - our own module
        [*command, "--json", str(file), "--png", str(picture)],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(model_store), "SPINE_DRAIN_S": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(file.read_text())
    names = set(only.split(","))
    for kind in ("loads", "starts", "bursts"):
        assert {row["contender"] for row in results[kind]} == names
    assert all(row["requests"][0] and row["errors"] == [{}] for row in results["loads"])
    assert all(row["server_cpu_ms"][0] > 0 for row in results["loads"])
    assert all(row["pss_mb"][0] > 20 and row["ready_s"][0] > 0 for row in results["starts"])
    assert "| CPU-ms a request |" in run.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in file.read_text()
