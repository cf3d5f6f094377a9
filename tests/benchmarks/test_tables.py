"""The tables: medians of rounds that count, and the pages that hold them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.tables import (
    BEGIN,
    END,
    NOTHING,
    RESULTS_FILE,
    Record,
    compare,
    long_tables,
    middle,
    number_text,
    put,
    sections,
    short_table,
    spread,
)

SETTINGS = {"workers": 2, "rounds": 2, "seconds": 5.0, "clients": [32]}


def load(contender: str, **values: list[Any]) -> Record:
    record: Record = {"contender": contender, "files": "mix", "clients": 32}
    fields = ("requests_per_s", "p50_ms", "p90_ms", "p99_ms", "server_cpu_ms")
    record |= {name: [1.0, 1.0] for name in fields}
    return (
        record | {"errors": [{}, {}], "others_cores": [0.1, 0.1], "not_quoted": ["", ""]} | values
    )


def start(contender: str, ready_s: float) -> Record:
    record = {"contender": contender, "workers": 1, "ready_s": [ready_s]}
    return record | {"pss_mb": [150.0], "processes": [3]}


def burst(contender: str) -> Record:
    record = {"contender": contender, "files": "370 kB", "clients": 64, "errors": [{}]}
    return record | {"before_p50_ms": [5.0], "after_p50_ms": [6.0], "not_quoted": [""]}


THIS = load(
    "this", requests_per_s=[300.0, 200.0], server_cpu_ms=[6.0, 7.0], errors=[{}, {"429": 2}]
)
RESULTS: dict[str, Any] = {
    "date": "2026-01-02",
    "command": "python -m benchmarks.serve",
    "cores": 2,
    "cpu": "a processor",
    "settings": SETTINGS,
    "files": {"mix": "2 files"},
    "contenders": {"this": "this service", "stock": "stock", "floor": "floor"},
    "loads": [
        THIS,
        load("stock", requests_per_s=[150.0, 50.0], server_cpu_ms=[12.0, 13.0]),
        load("floor", server_cpu_ms=[1.0, 1.5]),
    ],
    "starts": [start("this", 2.0), start("stock", 3.0), start("floor", 1.0)],
    "bursts": [burst("this"), burst("stock"), burst("floor")],
}


def test_numbers_have_three_digits() -> None:
    assert [number_text(value) for value in (1234.5, 99.96, 9.996, 0.123)] == [
        "1234",
        "100.0",
        "10.00",
        "0.12",
    ]


def test_a_cell_is_the_median_of_the_rounds_with_their_range() -> None:
    assert middle(THIS, "requests_per_s") == "250"
    assert spread(THIS, "requests_per_s") == "250 (200 to 300)"
    assert spread({"requests_per_s": [300.0]}, "requests_per_s") == "300"


def test_a_round_that_is_not_quoted_does_not_count() -> None:
    late = ["", "", "the generator was late"]
    record = load("this", requests_per_s=[300.0, 200.0, 900.0], not_quoted=late)
    assert middle(record, "requests_per_s") == "250"
    refused = load("this", not_quoted=late[2:] * 2)
    assert middle(refused, "requests_per_s") == "not quoted"
    assert middle(refused, "server_cpu_ms") == "1.00"  # the kernel counts it
    assert middle({}, "requests_per_s") == NOTHING


def test_contenders_are_compared_round_by_round() -> None:
    # Ratios 300/150 and 200/50; differences 6 - 1 and 7 - 1.5.
    assert compare(RESULTS, "this", "stock", "requests_per_s") == "3.00"
    assert compare(RESULTS, "this", "floor", "server_cpu_ms") == "5.25"
    assert compare(RESULTS, "floor", "stock", "requests_per_s") == NOTHING


def test_a_round_that_is_not_quoted_is_compared_with_none() -> None:
    stock = load("stock", requests_per_s=[150.0, 50.0], not_quoted=["late", ""])
    results = RESULTS | {"loads": [THIS, stock]}
    assert compare(results, "this", "stock", "requests_per_s") == "4.00"  # 200/50


def test_without_the_other_contender_nothing_is_compared() -> None:
    alone = RESULTS | {"loads": [THIS]}
    assert compare(alone, "this", "stock", "requests_per_s") == NOTHING


def test_errors_are_shown_with_their_kind() -> None:
    row = next(x for x in long_tables(RESULTS).splitlines() if x.startswith("| this service"))
    assert row.endswith("| 2 x 429 |")


def test_every_row_of_a_table_has_the_cells_of_its_header() -> None:
    for text in (long_tables(RESULTS), short_table(RESULTS)):
        for block in text.split("\n\n"):
            if block.startswith("|"):
                assert len({line.count("|") for line in block.splitlines()}) == 1


def test_both_tables_say_on_what_they_were_measured() -> None:
    for text in (long_tables(RESULTS), short_table(RESULTS)):
        assert "2 cores (a processor)" in text
        assert "other programs used 0.10 of them" in text


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert put(put(page, "new"), "new") == put(page, "new")
    with pytest.raises(ValueError, match="has no"):
        put("no marks", "new")


@pytest.mark.parametrize("page", list(sections(RESULTS)), ids=lambda page: page.name)
def test_the_pages_hold_the_tables_of_the_committed_run(page: Any) -> None:
    text = page.read_text("utf-8")
    section = sections(json.loads(RESULTS_FILE.read_text("utf-8")))[page]
    assert put(text, section) == text, "run: python -m benchmarks.tables --write"
