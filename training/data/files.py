"""Find the files that the user named, and leave out those that the user excluded."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

TRUTH_FILE = "truth.csv"  # the labels that `phantom` writes next to its images; not an image


@dataclass(frozen=True)
class Found:
    """One file: where it is, its path relative to what the user named, and that folder's name."""

    path: Path
    name: str
    base: str


def walk(inputs: Sequence[Path]) -> Iterator[Found]:
    """List files in an order that is the same on every machine, each once."""
    seen: set[Path] = set()
    for given in inputs:
        if given.is_file():
            files = [given]
        else:
            files = sorted(
                (f for f in given.rglob("*") if f.is_file() and not _is_ours_or_hidden(f, given)),
                key=lambda f: f.relative_to(given).parts,
            )
        base = given.parent if given.is_file() else given
        for file in files:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                yield Found(file, file.relative_to(base).as_posix(), base.resolve().name)


def _is_ours_or_hidden(file: Path, base: Path) -> bool:
    return file.name == TRUTH_FILE or any(
        part.startswith(".") for part in file.relative_to(base).parts
    )


def leave_out(found: list[Found], exclude: Iterable[str]) -> list[Found]:
    """Drop files whose path ends in an excluded one, folder by folder, not letter by letter."""
    endings = {PurePosixPath(name).parts for name in exclude}
    if not endings:
        return found
    lengths = {len(ending) for ending in endings}

    def is_excluded(file: Found) -> bool:
        parts = file.path.resolve().parts
        return any(parts[-length:] in endings for length in lengths)

    return [file for file in found if not is_excluded(file)]


def read_exclusions(path: Path) -> list[str]:
    """Read paths to leave out: one a line, or the `path` column of a CSV file.

    Raises:
        ValueError: a CSV file without a column `path`.
    """
    text = path.read_text("utf-8-sig")
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    rows = csv.DictReader(text.splitlines())
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{path.name} has no column 'path'")
    return [row["path"] for row in rows if row["path"]]
