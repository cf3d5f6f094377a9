"""Write a file whole or not at all: aside, then renamed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a path next to `path` to write to; it takes its place once everything is written."""
    part = path.with_name(path.name + ".part")
    yield part
    part.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that is indented, with what fits on one line.

    Raises:
        ValueError: a number is infinite or not a number.
    """
    with aside(path) as part:
        part.write_text(json_text(content) + "\n", "utf-8")


def json_text(value: object, width: int = 200, indent: str = "") -> str:
    """Write a value as JSON, on several lines only where one would be longer than `width`.

    Example:
        >>> print(json_text({"name": "a", "scores": [0.25, 0.5]}, width=20))
        {
          "name": "a",
          "scores": [0.25, 0.5]
        }

    Raises:
        ValueError: a number is infinite or not a number.
    """
    text = json.dumps(value, allow_nan=False)
    if len(indent) + len(text) <= width or not isinstance(value, dict | list):
        return text
    inner = indent + "  "
    if isinstance(value, dict):
        items = value.items()
        parts = [f"{json.dumps(str(key))}: {json_text(one, width, inner)}" for key, one in items]
    else:
        parts = [json_text(one, width, inner) for one in value]
    body = f",\n{inner}".join(parts)
    return f"{text[0]}\n{inner}{body}\n{indent}{text[-1]}"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file with a line of column names."""
    with aside(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
