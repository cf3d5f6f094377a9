"""List the installed distributions and the licences they declare; runs in the image too.

It needs nothing but the standard library, so that its source can be piped into any Python.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from dataclasses import asdict, dataclass

_MENTIONED = re.compile(r"^License: *(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Distribution:
    """One installed distribution.

    Args:
        name: normalised (PEP 503).
        version: of it.
        licences: what its metadata declare: the expression, else the field and the classifiers.
        bundled: what its licence files name as the licence of a part (`License: ...`).
        n_missing: licence files that it names and that are not there.
    """

    name: str
    version: str
    licences: list[str]
    bundled: list[str]
    n_missing: int


def installed() -> list[Distribution]:
    """List what this Python can import."""
    return sorted(map(_describe, importlib.metadata.distributions()), key=lambda each: each.name)


def _describe(found: importlib.metadata.Distribution) -> Distribution:
    metadata = found.metadata
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    fields = [metadata["License-Expression"], metadata["License"]]
    # Some put the whole text into the field.
    declared = [field.splitlines()[0] for field in fields if field] + classifiers
    texts = [_licence_text(found, name) for name in metadata.get_all("License-File") or []]
    return Distribution(
        name=re.sub(r"[-_.]+", "-", metadata["Name"]).lower(),
        version=found.version,
        licences=declared,
        bundled=sorted({line for text in texts if text for line in _MENTIONED.findall(text)}),
        n_missing=texts.count(None),
    )


def _licence_text(found: importlib.metadata.Distribution, name: str) -> str | None:
    """The text of a licence file, which is in one of two places (PEP 639)."""
    return found.read_text(f"licenses/{name}") or found.read_text(name)


if __name__ == "__main__":
    json.dump([asdict(each) for each in installed()], sys.stdout)
