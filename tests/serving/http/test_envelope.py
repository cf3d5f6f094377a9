"""Every path answers in one shape, names its request, and tells nothing about the software."""

import re
from typing import Any

import httpx
import pytest

from serving.http.envelope import Envelope, KnownPath
from serving.settings import Settings
from serving.telemetry import log
from tests.serving.problems import assert_problem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_unknown_paths_are_404_and_leave_no_metric_series(client: httpx.AsyncClient) -> None:
    for path in (
        "/nowhere",
        "/predict/",
        "/PREDICT",
        "/static_content/none.js",
        "/%00",
    ):
        problem = assert_problem(await client.get(path), 404, "not_found")
        assert path not in str(problem)
    metrics = (await client.get("/metrics")).text
    known = {"/predict", "/", "/docs.json", "/schema.json", "/livez", "/readyz", "/healthz"}
    seen = set(re.findall(r'endpoint="([^"]*)"', metrics))
    assert seen <= known | {path for path in seen if path.startswith("/static_content/")}
    assert "none.js" not in metrics


async def test_a_wrong_method_is_405_with_the_allowed_ones(client: httpx.AsyncClient) -> None:
    for method, path, allow in [
        ("GET", "/predict", "POST"),
        ("PUT", "/predict", "POST"),
        ("OPTIONS", "/predict", "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("DELETE", "/livez", "GET, HEAD"),
    ]:
        answer = await client.request(method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow


async def test_each_answer_has_a_request_id_and_no_server(client: httpx.AsyncClient) -> None:
    for method, path in [("GET", "/livez"), ("GET", "/nowhere"), ("POST", "/predict")]:
        answer = await client.request(method, path)
        assert len(answer.headers["x-request-id"]) == 32
        assert "server" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")


async def test_a_clients_request_id_is_kept_when_it_is_harmless(client: httpx.AsyncClient) -> None:
    for sent, kept in [
        ("0f-4C", True),
        ("a" * 65, False),
        ("Doe^John", False),
        ("John-Doe", False),
    ]:
        answer = await client.get("/livez", headers={"x-request-id": sent})
        assert (answer.headers["x-request-id"] == sent) == kept


async def test_the_health_paths_and_the_metrics_answer(client: httpx.AsyncClient) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/schema.json"):
        assert (await client.get(path)).status_code == 200
    assert "spine_batch_size_bucket" in (await client.get("/metrics")).text


async def _call(app: Any) -> httpx.Response:
    """Call an application behind the envelope."""
    paths = {"/": KnownPath(frozenset({"GET"}), "open")}
    transport = httpx.ASGITransport(Envelope(app, paths, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://spine.test") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "bad_request"),
        (500, "internal_error"),
        (503, "model_unavailable"),
        (504, "deadline_exceeded"),
        (599, "internal_error"),
    ],
)
async def test_the_frameworks_own_errors_get_the_same_shape(status: int, code: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"12")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'[{"secret":', "more_body": True})
        await send({"type": "http.response.body", "body": b"1}"})

    answer = await _call(app)
    assert_problem(answer, status, code)
    assert "secret" not in answer.text


async def test_an_exception_becomes_a_500_whose_log_line_does_not_quote_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("Doe^John")

    lines: list[str] = []
    monkeypatch.setattr(log, "error", lambda text, *values: lines.append(text % values))
    problem = assert_problem(await _call(app), 500, "internal_error")
    (line,) = lines
    assert line.startswith(f"request {problem['request_id']} failed: ValueError in serving/")
    assert "Doe" not in line


async def test_a_websocket_is_closed(app: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/predict", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
