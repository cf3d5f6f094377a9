"""One layer counts, logs and ends requests as BentoML's own do."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from serving.http.traffic import Traffic

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOGGED = {
    "has_request_content_type": False,
    "has_request_content_length": True,
    "has_response_content_type": True,
    "has_response_content_length": True,
}


@contextmanager
def access_lines() -> Iterator[list[str]]:
    """What the access log gets."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("bentoml.access")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


async def test_bentomls_series_count_each_answer_by_path_and_status(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    def value(text: str, name: str, *labels: str) -> float:
        found = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(f"{name}{{") and all(label in line for label in labels)
        ]
        return sum(found)

    ok = ('endpoint="/predict"', 'http_response_code="200"')
    bad = ('endpoint="/predict"', 'http_response_code="400"')
    before = (await client.get("/metrics")).text
    assert (await client.post("/predict", files={"file": dicom})).status_code == 200
    assert (await client.post("/predict", data={"threshold": "1"}, files={})).status_code >= 400
    assert (await client.post("/predict", files={"file": b""})).status_code == 400
    after = (await client.get("/metrics")).text
    for name in ("bentoml_service_request_total", "bentoml_service_request_duration_seconds_count"):
        assert value(after, name, *ok) == value(before, name, *ok) + 1
        assert value(after, name, *bad) == value(before, name, *bad) + 1
    assert value(after, "bentoml_service_request_in_progress", 'endpoint="/predict"') == 0
    last = "bentoml_service_last_request_timestamp_seconds"
    assert value(after, last) > value(before, last)


async def test_the_access_log_names_address_path_sizes_status_and_time(
    client: httpx.AsyncClient, dicom: bytes
) -> None:
    with access_lines() as lines:
        await client.post("/predict", content=dicom, headers={"content-type": "application/dicom"})
        await client.get("/readyz")
        await client.get("/metrics")
    assert len(lines) == 1
    head, _, took = lines[0].rpartition(" ")
    assert head.startswith(
        f"127.0.0.1:123 (scheme=http,method=POST,path=/predict,length={len(dicom)})"
        " (status=200,type=application/json,length="
    )
    assert took.endswith("ms")


async def answer_of(app: Any, deadline_s: float) -> list[dict[str, Any]]:
    """What one request gets that may take so long."""
    labels = {"service_name": "a", "service_version": "b", "runner_name": "c"}
    layer = Traffic(app, labels, "test_traffic", ["/livez"], LOGGED, deadline_s)
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "scheme": "http", "method": "POST", "path": "/predict", "headers": []}
    await layer(scope, _receive, send)
    return sent


async def _receive() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_an_answer_that_has_not_begun_at_the_deadline_is_a_504() -> None:
    was_cancelled = False

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        nonlocal was_cancelled
        try:
            await receive()
        except asyncio.CancelledError:
            was_cancelled = True
            raise

    with access_lines() as lines:
        sent = await answer_of(endless, 0.05)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 504
    assert was_cancelled
    assert "status=504" in lines[0]


async def test_an_answer_that_has_begun_may_go_on_after_the_deadline() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"done"})

    sent = await answer_of(slow, 0.05)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200


async def test_a_timeout_of_the_application_itself_stays_its_own() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await answer_of(fails, 5)
