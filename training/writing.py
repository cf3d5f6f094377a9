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
    """Write indented JSON.

    Raises:
        ValueError: a number is infinite or not a number.
    """
    with aside(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file with a line of column names."""
    with aside(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
