"""What every page promises: nothing is fetched, nothing runs but the page's own script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from markupsafe import escape

from training.pages.render import write_page

HOSTILE = "</td><script>alert(1)</script>\"' onload=x"
EVALUATION = {
    "model": HOSTILE,
    "suite": HOSTILE,
    "images": HOSTILE,
    "headings": (HOSTILE,),
    "macros": [(HOSTILE, "1")],
    "kinds": [(HOSTILE, "2")],
    "alarms": HOSTILE,
    "plots": [("data:image/png;base64,AA==", HOSTILE)],
}
AUDIT = {
    "n_removed": 0,
    "n_images": 3,
    "rounds": [],
    "histograms": [],
    "not_used": (),
    "rows": [],
    "images": [],
}


def policy(page: str) -> str:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', page)
    assert found
    return found[1]


def hash_of(page: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*)</{tag}>", page, re.DOTALL)
    assert found
    return base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()


def test_whatever_a_page_shows_is_text(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "evaluation.html", **EVALUATION)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page
    # Title and heading have the model and the suite, a plot has its heading twice.
    assert page.count(escape(HOSTILE)) == 4 + 5 + 2


def test_a_page_without_a_script_allows_none(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "evaluation.html", **EVALUATION)
    rules = policy((tmp_path / "page.html").read_text("utf-8"))
    assert rules.startswith("default-src 'none'; img-src data:;")
    assert "script-src" not in rules
    assert "unsafe" not in rules


def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "audit.html", **AUDIT)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert f"script-src 'sha256-{hash_of(page, 'script')}';" in policy(page)
    assert f"style-src 'sha256-{hash_of(page, 'style')}';" in policy(page)
    assert "unsafe" not in policy(page)


def test_a_page_without_images_says_so(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "audit.html", **AUDIT)
    assert "No image was removed." in (tmp_path / "page.html").read_text("utf-8")


def test_a_value_that_is_missing_is_an_error_and_the_old_page_stays(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    values = {name: value for name, value in EVALUATION.items() if name != "alarms"}
    with pytest.raises(jinja2.UndefinedError, match="alarms"):
        write_page(tmp_path / "page.html", "evaluation.html", **values)
    assert (tmp_path / "page.html").read_text() == "old"


def test_items_are_taken_one_by_one_while_the_page_is_written(tmp_path: Path) -> None:
    part = tmp_path / "page.html.part"
    sizes = []

    def plots() -> Iterator[tuple[str, str]]:
        for _ in range(3):
            yield "data:image/png;base64," + "A" * 100_000, "plot"
            sizes.append(part.stat().st_size)

    write_page(tmp_path / "page.html", "evaluation.html", **EVALUATION | {"plots": plots()})
    assert 0 < sizes[0] < sizes[1] < sizes[2]
