"""A person's way through audit.html: filter, decide, save, and the next run reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser import open_browser
from training.cleaning.audit import AuditRow
from training.cleaning.audit_page import write_audit_page
from training.cleaning.overrides import read_overrides

HOSTILE = 'sub, "dir"/<img src=x onerror=alert(1)>é.dcm'


def make_row(path: str, state: str, z: float) -> AuditRow:
    return AuditRow(path, 2, "5a1f", state, 1, 0, "spectrum", z, "image", 0.01, "Q", "", 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [make_row(HOSTILE, "removed", 8.0), make_row("b.dcm", "returned", 4.0)]
    path = tmp_path_factory.mktemp("audit") / "audit.html"
    pictures = [(np.zeros((8, 8)), np.eye(8))] * 2
    write_audit_page(path, rows, [], ["reconstruction_mse"], pictures)
    return path


@pytest.fixture
def page(written: Path) -> Iterator[Page]:
    """The page as it opens; whatever it complains of, a blocked script too, fails the test."""
    complaints: list[str] = []
    with open_browser() as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(written.as_uri())
        yield page
    assert complaints == []


def test_filters_leave_what_fits(page: Page) -> None:
    assert page.inner_text("#shown") == "2 of 2 images"
    page.select_option("select[name=state]", "removed")
    assert page.inner_text("#shown") == "1 of 2 images"
    assert page.locator("li:visible .name").all_inner_texts() == [f"{HOSTILE}, frame 2"]
    page.select_option("select[name=state]", "")
    page.fill("input[name=z]", "9")
    assert page.inner_text("#shown") == "0 of 2 images"
    page.fill("input[name=z]", "")
    page.fill("input[name=path]", "B.dcm")
    assert page.locator("li:visible .name").all_inner_texts() == ["b.dcm, frame 2"]


def test_decisions_are_saved_as_the_file_that_the_next_run_reads(
    page: Page, tmp_path: Path
) -> None:
    page.locator("li select").nth(0).select_option("keep")
    page.locator("li select").nth(1).select_option("drop")
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "overrides.csv"
    download.value.save_as(tmp_path / "overrides.csv")
    decided = ((HOSTILE, 2, "keep"), ("b.dcm", 2, "drop"))
    assert read_overrides(tmp_path / "overrides.csv") == decided


def test_every_picture_is_shown(page: Page) -> None:
    widths = "[...document.images].map(image => image.naturalWidth)"
    assert page.evaluate(widths) == [8, 8, 8, 8]


def test_the_page_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
