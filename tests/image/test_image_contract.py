"""The container answers as the README describes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serving.contract import Prediction
from tests.image.containers import Container
from tests.security.load.load import Answer, get, post
from tests.security.load.request_mix import FILE, FORM, form
from tests.serving.problems import FIELDS

pytestmark = pytest.mark.image


async def _ask(two_workers: Container, request: bytes) -> tuple[int, Any]:
    """Send a request; status and document of its answer."""
    answer = (await two_workers.ask(request)).outcome
    assert isinstance(answer, Answer), answer
    return answer.status, json.loads(answer.body)


async def test_a_slice_is_answered_with_the_fields_of_the_contract(
    two_workers: Container, phantom: bytes
) -> None:
    for request in (post(phantom), post(form((FILE, phantom)), FORM)):
        status, answer = await _ask(two_workers, request)
        assert (status, set(answer)) == (200, set(Prediction.model_fields))
        assert (answer["frame"], answer["frames"]) == (1, 1)


async def test_the_alarm_rate_decides_and_with_a_threshold_the_mse(
    two_workers: Container, phantom: bytes
) -> None:
    _, answer = await _ask(two_workers, post(phantom, path="/predict?alarm_rate=0.25"))
    assert (answer["alarm_rate"], answer["threshold"]) == (0.25, None)
    assert answer["is_anomaly"] == (answer["p_value"] <= 0.25)
    _, answer = await _ask(two_workers, post(phantom, path="/predict?threshold=1e-9"))
    assert (answer["alarm_rate"], answer["threshold"]) == (None, 1e-9)
    assert answer["is_anomaly"] is True
    _, answer = await _ask(two_workers, post(phantom, path="/predict?threshold=1e9"))
    assert answer["is_anomaly"] is False


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (post(b"no DICOM file"), 415, "not_dicom"),
        (post(b""), 400, "empty_file"),
        (post(b"x", path="/predict?threshold=nan"), 400, "threshold_invalid"),
        (get("/no/such/path"), 404, "not_found"),
    ],
    ids=["a text", "nothing", "a threshold", "a path"],
)
async def test_a_wrong_request_learns_what_is_wrong(
    two_workers: Container, request_: bytes, status: int, code: str
) -> None:
    found, problem = await _ask(two_workers, request_)
    assert (found, problem["code"], set(problem)) == (status, code, FIELDS)


async def test_health_and_metrics_are_answered(two_workers: Container, phantom: bytes) -> None:
    await two_workers.ask(post(phantom))
    for path in ("/livez", "/readyz"):
        assert (await two_workers.ask(get(path))).status == 200, path
    answer = (await two_workers.ask(get("/metrics"))).outcome
    assert isinstance(answer, Answer)
    assert answer.status == 200
    assert b"bentoml_service_request_total" in answer.body
