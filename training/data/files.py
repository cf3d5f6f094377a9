"""Find the files under what the user named, without those that the user excluded."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

TRUTH_FILE = "truth.csv"  # the labels that `phantom` writes next to its images; not an image


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    Args:
        path: of the file.
        name: its path relative to the folder that the user named.
        base: name of that folder.
    """

    path: Path
    name: str
    base: str


def walk(inputs: Sequence[Path]) -> Iterator[InputFile]:
    """List files, each once, in an order that is the same on every machine."""
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
                yield InputFile(file, file.relative_to(base).as_posix(), base.resolve().name)


def _is_ours_or_hidden(file: Path, base: Path) -> bool:
    return file.name == TRUTH_FILE or any(
        part.startswith(".") for part in file.relative_to(base).parts
    )


def leave_out(files: list[InputFile], exclude: Iterable[str]) -> list[InputFile]:
    """Drop files whose path ends in an excluded one, compared by whole names of folders."""
    endings = {PurePosixPath(name).parts for name in exclude}
    if not endings:
        return files
    lengths = {len(ending) for ending in endings}

    def is_excluded(file: InputFile) -> bool:
        parts = file.path.resolve().parts
        return any(parts[-length:] in endings for length in lengths)

    return [file for file in files if not is_excluded(file)]


def read_exclusions(path: Path) -> list[str]:
    """Read the paths to leave out: one in each line, or the column `path` of a CSV file.

    Raises:
        ValueError: a CSV file has no column `path`.
    """
    text = path.read_text("utf-8-sig")
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    rows = csv.DictReader(text.splitlines())
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{path.name} has no column 'path'")
    return [row["path"] for row in rows if row["path"]]
