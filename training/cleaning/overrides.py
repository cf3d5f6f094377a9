"""Read human decisions, `keep` or `drop` for each image, and find the images they are about."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.headers import Source
from training.errors import WrongOverrides

OVERRIDES_FILE = "overrides.csv"
_DECISIONS = {"keep": 1, "drop": -1}
_SHOWN = 3

# (path, frame, decision); a frame of 0 means every frame of the file.
Override = tuple[str, int, str]


def read_overrides(path: Path) -> tuple[Override, ...]:
    """Read a CSV file with the columns path, decision and, where a file has several, frame.

    A row without a decision is skipped: audit.csv itself can be filled in and handed back.

    Raises:
        WrongOverrides: unreadable, a column is missing, or a decision is neither of the two.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := {"path", "decision"} - set(reader.fieldnames or ()):
                raise WrongOverrides(f"{path.name} has no column {' and no column '.join(missing)}")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongOverrides(f"{path.name} cannot be read as CSV in UTF-8") from error
    overrides = dict[tuple[str, int], str]()
    for line, row in rows:
        decision = (row["decision"] or "").strip().lower()
        if not decision:
            continue
        if decision not in _DECISIONS:
            raise WrongOverrides(
                f"{path.name}, line {line}: the decision is keep or drop, not {decision!r}"
            )
        image = (row["path"] or "").strip(), _frame(row.get("frame"), path.name, line)
        if overrides.setdefault(image, decision) != decision:
            raise WrongOverrides(f"{path.name}, line {line}: {image[0]} is both kept and dropped")
    return tuple((name, frame, decision) for (name, frame), decision in overrides.items())


def human_decisions(overrides: Sequence[Override], sources: Sequence[Source]) -> NDArray[np.int8]:
    """Return what a person decided about each image: 1 keep, -1 drop, 0 nothing; int8 [N].

    A decision about one frame takes precedence over one about its whole file.

    Raises:
        WrongOverrides: a decision is about an image that is not there.
    """
    decisions = {(path, frame): decision for path, frame, decision in overrides}
    known = {(s.path, s.frame) for s in sources} | {(s.path, 0) for s in sources}
    if unknown := [image for image in decisions if image not in known]:
        names = ", ".join(f"{path} frame {n}" if n else path for path, n in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise WrongOverrides(
            f"{OVERRIDES_FILE} decides about images that are not among these: {names}{more};"
            " remove these lines, or name the folder that was audited"
        )
    decided = np.zeros(len(sources), np.int8)
    for index, source in enumerate(sources):
        decision = decisions.get((source.path, source.frame)) or decisions.get((source.path, 0))
        decided[index] = _DECISIONS.get(decision or "", 0)
    return decided


def _frame(text: str | None, name: str, line: int) -> int:
    """Read the number of a frame, from 1; 0 if none is given."""
    if not (text := (text or "").strip()):
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise WrongOverrides(f"{name}, line {line}: frames are counted from 1, not {text!r}")
    return int(text)
