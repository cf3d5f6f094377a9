"""Every path answers in one shape, names its request, and reveals nothing about the software."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.responses import PlainTextResponse

from serving.http.envelope import Envelope, KnownPath, known_paths
from serving.settings import Settings
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
        problem = assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow
        assert problem["detail"] == f"use {allow.replace(', ', ' or ')} for this path"


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
    logged: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("Doe^John")

    problem = assert_problem(await _call(app), 500, "internal_error")
    (line,) = logged.messages
    assert line.startswith(f"request {problem['request_id']} failed: ValueError in serving/")
    assert "Doe" not in line


async def test_each_refusal_is_one_line_of_the_log_with_its_id_and_code(
    client: httpx.AsyncClient, logged: pytest.LogCaptureFixture, dicom: bytes
) -> None:
    file = {"file": ("slice.dcm", dicom)}
    for answer in [
        await client.get("/nowhere"),
        await client.put("/predict"),
        await client.post("/predict", content=b"x", headers={"content-type": "text/plain"}),
        await client.post("/predict?threshold=much", files=file),
        await client.post("/predict?treshold=1", files=file),
        await client.post("/predict", data={"threshold": "1"}, files={"other": b"x"}),
        await client.post("/predict?alarm_rate=1e-9", files=file),
        await client.post("/predict", files={"file": b"not an image"}),
    ]:
        problem = answer.json()
        line = f"request {problem['request_id']} refused: {problem['status']} {problem['code']}"
        assert [text for text in logged.messages if problem["request_id"] in text] == [line]


async def test_an_error_of_the_framework_is_one_line_of_the_log_too(
    logged: pytest.LogCaptureFixture,
) -> None:
    answer = await _call(PlainTextResponse(status_code=504))
    problem = assert_problem(answer, 504, "deadline_exceeded")
    assert logged.messages == [f"request {problem['request_id']} refused: 504 deadline_exceeded"]


async def test_an_error_behind_the_start_of_an_answer_is_logged_and_not_sent(
    logged: pytest.LogCaptureFixture,
) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    async def send(message: Any) -> None:
        sent.append(message)

    paths = {"/": KnownPath(frozenset({"GET"}), "open")}
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await Envelope(app, paths, Settings())(scope, asyncio.Queue().get, send)
    assert [(message["type"], message["status"]) for message in sent] == [
        ("http.response.start", 200)
    ]
    assert len(logged.messages) == 1


PAGE = "https://pacs.example.org"


@pytest_asyncio.fixture(loop_scope="session")
async def pages(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real application, which pages of one other origin may ask with a key."""
    settings = Settings(cors_origins=(PAGE,), api_key=("secret",))
    allowing = Envelope(app.app.app, known_paths(app.app.app.app, settings), settings)
    transport = httpx.ASGITransport(allowing)
    async with httpx.AsyncClient(transport=transport, base_url="http://spine.test") as client:
        yield client


async def test_a_page_of_an_allowed_origin_asks_first_and_without_a_key(
    pages: httpx.AsyncClient,
) -> None:
    preflight = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-api-key",
    }
    answer = await pages.options("/predict", headers=preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-api-key" in answer.headers["access-control-allow-headers"]
    assert len(answer.headers["x-request-id"]) == 32
    other = await pages.options("/predict", headers=preflight | {"origin": "https://other.test"})
    assert_problem(other, 400, "bad_request")
    assert "access-control-allow-origin" not in other.headers


async def test_answers_and_errors_can_be_read_by_pages_of_allowed_origins_alone(
    pages: httpx.AsyncClient, dicom: bytes
) -> None:
    key, file = {"x-api-key": "secret"}, {"file": ("slice.dcm", dicom)}
    for origin, allowed in [(PAGE, PAGE), ("https://other.test", None), ("null", None)]:
        origins = {"origin": origin}
        for answer, status in [
            (await pages.post("/predict", files=file, headers=key | origins), 200),
            (await pages.post("/predict", files=file, headers=origins), 401),
            (await pages.get("/nowhere", headers=origins), 404),
            (await pages.get("/predict", headers=origins), 405),
            (await pages.post("/predict?x=1", files=file, headers=key | origins), 400),
            (await pages.post("/predict", files={"file": b""}, headers=key | origins), 400),
        ]:
            assert answer.status_code == status
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "origin" in answer.headers["vary"].lower()
            if allowed:
                assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_without_the_setting_no_page_is_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez", headers={"origin": PAGE})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_websocket_is_closed(app: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/predict", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
