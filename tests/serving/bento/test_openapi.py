"""The OpenAPI document describes what is answered, and its page works as it opens, in a browser."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from serving.bento.openapi import ANSWER, ERRORS, REFUSAL, VERSION, page, write_document
from serving.contract import Prediction
from tests.browser import open_browser
from tests.root import ROOT
from tests.serving.server import bentoml_serve

if TYPE_CHECKING:
    from playwright.sync_api import Page

LAPTOP, PHONE = 1366, 390


def test_the_document_has_the_projects_version_and_one_path() -> None:
    document = write_document().asdict()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert document["info"]["version"] == VERSION == project["version"]
    assert list(document["paths"]) == ["/predict"]
    assert "bentoml" not in json.dumps(document).lower()


def test_what_may_be_null_is_nullable_and_nothing_else() -> None:
    fields = write_document().asdict()["components"]["schemas"]["Prediction"]["properties"]
    nullable = {name for name, field in fields.items() if field.get("nullable")}
    assert nullable == {"alarm_rate", "threshold", "scope_reason"}
    assert all(isinstance(field["type"], str) for field in fields.values())
    assert set(fields) == set(Prediction.model_fields)


def test_each_status_lists_the_codes_that_come_with_it() -> None:
    responses = write_document().asdict()["paths"]["/predict"]["post"]["responses"]
    lines = responses["default"]["description"].splitlines()
    listed = {int(line[4:7]): line for line in lines if line.startswith("- **")}
    assert set(listed) == set(ERRORS)
    assert f"`{REFUSAL.code}`" in listed[422]
    assert "`alarm_rate_invalid`" in listed[400]


@pytest.mark.parametrize("asks_key", [True, False])
def test_the_page_takes_a_key_where_the_server_asks_for_one(asks_key: bool) -> None:
    async def script() -> str:
        transport = httpx.ASGITransport(page(asks_key=asks_key))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return (await client.get("/page.js")).text

    assert ("authorizeBtn" in asyncio.run(script())) is not asks_key


@pytest.fixture(scope="module")
def url(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")  # its own: a server wipes the metrics of the other
    (home / "models").symlink_to(model_store / "models")
    environ = {"BENTOML_HOME": str(home), "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics")}
    with bentoml_serve(home / "log.txt", **environ) as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with open_browser() as page:
        yield page


def execute(page: Page) -> tuple[int, Any]:
    """Press the button; return the answer's status and what the page shows of it."""
    with page.expect_response("**/predict**") as answered:
        page.get_by_role("button", name="Execute").click()
    status = answered.value.status
    page.locator(".live-responses-table .response-col_status", has_text=str(status)).wait_for()
    return status, answered.value.json()


@pytest.mark.heavy  # a browser and a server: 20 s
def test_the_page_works_as_it_opens_and_asks_no_other_host(
    url: str, browser_page: Page, dicom: bytes
) -> None:
    page, problems, asked = browser_page, [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": LAPTOP, "height": 900})
    page.goto(url)
    page.get_by_role("button", name="Execute").wait_for()
    text = page.inner_text("body").lower()
    assert not [word for word in ("none", "bentoml", "slack", "healthz") if word in text]
    assert not page.locator(".auth-wrapper button, .authorization__btn").count()  # asks for no key
    page.locator("input[type=file]").set_input_files(
        {"name": "slice.dcm", "mimeType": "application/dicom", "buffer": dicom}
    )
    status, answer = execute(page)
    assert (status, answer["alarm_rate"]) == (200, 0.05)
    assert set(answer) == set(ANSWER.model_dump())
    page.get_by_placeholder("threshold").fill("0.25")
    status, answer = execute(page)
    assert (status, answer["threshold"]) == (200, 0.25)
    page.get_by_placeholder("alarm_rate").fill("0.1")
    status, answer = execute(page)
    assert (status, answer["code"]) == (400, "deciders_conflict")
    page.get_by_placeholder("threshold").fill("")
    page.locator(".opblock-section-request-body select").select_option("application/dicom")
    page.locator("input[type=file]").set_input_files(
        {"name": "slice.dcm", "mimeType": "application/dicom", "buffer": dicom}
    )
    status, answer = execute(page)
    assert (status, answer["alarm_rate"]) == (200, 0.1)
    assert not [each for each in problems if "400" not in each]  # the browser reports that answer
    assert {httpx.URL(each).host for each in asked if each.startswith("http")} == {"127.0.0.1"}


@pytest.mark.heavy  # see above
def test_the_page_fits_a_phone(url: str, browser_page: Page) -> None:
    page = browser_page
    page.set_viewport_size({"width": PHONE, "height": 844})
    page.goto(url)
    page.get_by_role("button", name="Execute").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
