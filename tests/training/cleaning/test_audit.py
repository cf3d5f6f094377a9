from __future__ import annotations

import csv
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from training.cleaning.audit import AuditRow, audit_rows, count_changes, write_audit
from training.cleaning.audit_page import draw_histogram, write_audit_page
from training.cleaning.outliers import Members, RobustZ
from training.cleaning.rca import Round
from training.data.collection import Collection
from training.data.headers import Source
from training.pages.pictures import grey_picture

CHANNELS = ("reconstruction_mse", "spectrum")
HOSTILE = "sub/\"><script>alert(1)</script>&'.dcm"


def done(z: list[list[float]], keep: list[bool], *, series: float = -np.inf) -> Round:
    scores = np.exp(np.array(z))
    by_series = np.full((len(z), 2), series)
    return Round(scores, RobustZ(np.array(z), by_series), np.array(keep))


@pytest.fixture
def sources(phantoms: Collection) -> list[Source]:
    first, *others = phantoms.sources[:5]
    return [replace(first, path=HOSTILE), *others]


@pytest.fixture
def rounds() -> list[Round]:
    # Image 0 is out throughout, 1 comes back, 2 is out late, 3 a person keeps, 4 a person drops.
    return [
        done([[1, 9], [5, 0], [0, 1], [6, 6], [0, 0]], [False, False, True, True, False]),
        done([[2, 8], [3, 0], [4, 1], [6, 7], [0, 0]], [False, True, False, True, False]),
    ]


@pytest.fixture
def rows(sources: list[Source], rounds: list[Round]) -> list[AuditRow]:
    members = Members(
        fold=np.array([0, 1, 2, 3, 0]),
        series=np.arange(5),
        contrast=np.zeros(5, np.int64),
        human_decision=np.array([0, 0, 0, 1, -1], np.int8),
    )
    return audit_rows(sources, rounds, members, CHANNELS)


def test_every_image_that_was_touched_is_listed_worst_first(rows: list[AuditRow]) -> None:
    listed = [(r.index, r.state, r.round, r.fold, r.channel, r.z, r.history) for r in rows]
    assert listed == [
        (0, "removed", 1, 0, "spectrum", 8.0, "QQ"),
        (3, "kept by a person", 0, 3, "spectrum", 7.0, "KK"),
        (1, "returned", 1, 1, "reconstruction_mse", 5.0, "QK"),
        (2, "removed", 2, 2, "reconstruction_mse", 4.0, "KQ"),
        (4, "dropped by a person", 1, 0, "reconstruction_mse", 0.0, "QQ"),
    ]


def test_an_image_that_its_series_condemns_is_marked_series(sources: list[Source]) -> None:
    rounds = [done([[1, 2]] * 5, [False] * 5, series=6.0)]
    nothing = np.zeros(5, np.int64)
    members = Members(nothing, nothing, nothing, np.zeros(5, np.int8))
    rows = audit_rows(sources, rounds, members, CHANNELS)
    assert {(row.judged_as, row.z) for row in rows} == {("series", 6.0)}


def test_the_changes_of_a_round_are_counted(rounds: list[Round]) -> None:
    assert count_changes(rounds) == [
        {"round": 1, "quarantined": 3, "returned": 0, "in_quarantine": 3},
        {"round": 2, "quarantined": 1, "returned": 1, "in_quarantine": 3},
    ]
    assert count_changes([]) == []


def test_the_plain_loop_has_no_z(sources: list[Source]) -> None:
    rounds = [Round(np.arange(1.0, 6.0)[:, None], None, np.array([True] * 4 + [False]))]
    nothing = np.zeros(5, np.int64)
    members = Members(nothing, nothing, nothing, np.zeros(5, np.int8))
    (row,) = audit_rows(sources, rounds, members, CHANNELS[:1])
    assert (row.z, row.reconstruction_mse, row.state) == (None, 5.0, "removed")


def test_the_table_can_be_filled_in_and_handed_back(rows: list[AuditRow], tmp_path: Path) -> None:
    from training.cleaning.overrides import read_overrides

    write_audit(tmp_path / "audit.csv", rows)
    with (tmp_path / "audit.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert table[0]["path"] == HOSTILE
    assert {row["decision"] for row in table} == {""}
    assert read_overrides(tmp_path / "audit.csv") == ()
    table[0]["decision"] = "keep"
    with (tmp_path / "filled.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    assert read_overrides(tmp_path / "filled.csv") == ((HOSTILE, 1, "keep"),)


class Page(HTMLParser):
    """Every tag with its attributes, and every text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def page(rows: list[AuditRow], rounds: list[Round], tmp_path: Path) -> str:
    picture: NDArray[np.float16] = np.linspace(0, 1, 64 * 64, dtype=np.float16).reshape(64, 64)
    residual: NDArray[np.float32] = np.eye(32, dtype=np.float32)
    pictures = [(picture, residual if number % 2 else None) for number in range(len(rows))]
    write_audit_page(tmp_path / "audit.html", rows, rounds, CHANNELS, pictures)
    return (tmp_path / "audit.html").read_text("utf-8")


def test_the_page_shows_every_image_with_its_reasons(page: str, rows: list[AuditRow]) -> None:
    items = [attributes for tag, attributes in Page(page).tags if tag == "li"]
    assert [item["data-path"] for item in items] == [row.path for row in rows]
    assert [item["data-z"] for item in items] == ["8.0", "7.0", "5.0", "4.0", "0.0"]
    assert [item["data-state"] for item in items] == [row.state for row in rows]
    pictures = [attributes["alt"] for tag, attributes in Page(page).tags if tag == "img"]
    assert pictures.count("slice") == 5
    assert pictures.count("residual map") == 2
    assert page.count("<figure>") == 4  # two rounds, MSE and z of each


def test_a_path_cannot_become_markup(page: str) -> None:
    assert "<script>alert" not in page
    assert page.count(escape(HOSTILE)) == 2
    assert [tag for tag, _ in Page(page).tags].count("script") == 1


def test_the_page_fetches_nothing(page: str) -> None:
    assert "http" not in page.replace("http-equiv", "")
    sources = [a.get("src") or a.get("href") or "" for _, a in Page(page).tags]
    assert all(source.startswith("data:image/png;base64,") for source in sources if source)
    policy = next(a["content"] for t, a in Page(page).tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_page_names_no_patient_study_or_series(page: str, sources: list[Source]) -> None:
    assert "PHANTOM" not in page
    for source in sources:
        for key in (source.group, source.series):
            assert key.partition(":")[2] not in page


def test_a_page_of_many_images_has_small_pictures(
    rows: list[AuditRow], rounds: list[Round], tmp_path: Path
) -> None:
    picture = np.zeros((192, 192), np.float16)
    many = rows * 100
    pictures = ((picture, None) for _ in many)
    write_audit_page(tmp_path / "audit.html", many, rounds, CHANNELS, pictures)
    text = (tmp_path / "audit.html").read_text("utf-8")
    shown = {a["src"] for tag, a in Page(text).tags if a.get("alt") == "slice"}
    assert shown == {grey_picture(picture, 64)}


def test_a_histogram_stacks_what_was_removed_on_what_was_kept() -> None:
    values, keep = np.array([0.01, 0.01, 1.0]), np.array([True, True, False])
    figure = draw_histogram(values, keep, "mse")
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert sorted(height for height in heights if height) == [1, 2]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "mse"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["2 kept", "1 in quarantine"]
    assert [tick.get_text() for tick in axes.get_xticklabels()][::4] == ["0.01", "1"]


@pytest.mark.parametrize("value", [0.5, 0.0, -2.0])
def test_a_histogram_of_one_value_has_one_bar(value: float) -> None:
    (axes,) = draw_histogram(np.full(2, value), np.array([True, True]), "z").axes
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [height for height in heights if height] == [2]
