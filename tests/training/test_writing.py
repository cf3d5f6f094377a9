"""Files are written whole, and JSON so that people can read it."""

import json
from pathlib import Path

import pytest

from training.writing import json_text, write_json


@pytest.mark.parametrize("width", [0, 20, 40, 200])
def test_json_is_the_same_on_however_many_lines(width: int) -> None:
    content = {"a": [1, {"b": None, "ä": "x, y"}], "c": {}, "d": [], "e": {"f": [0.1, True]}}
    assert json.loads(json_text(content, width)) == content


def test_what_fits_is_on_one_line() -> None:
    text = json_text({"rows": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}, width=20)
    assert text.splitlines() == [
        "{",
        '  "rows": [',
        '    {"x": 1, "y": 2},',
        '    {"x": 3, "y": 4}',
        "  ]",
        "}",
    ]


def test_a_number_that_json_has_not_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "run.json", {"loss": float("nan")})
    assert not (tmp_path / "run.json").exists()
