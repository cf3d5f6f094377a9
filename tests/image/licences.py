"""Judge what is installed: the versions of the lock, and licences without a copyleft."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.image.distributions import Distribution
from tests.root import ROOT

LOCK = ROOT / "requirements" / "serve.txt"
# Parts of somebody's wheel that any program may use. They lie next to OpenBLAS in numpy.libs as
# shared libraries of their own, which users may replace; numpy's licence file has their texts.
ALLOWED_PARTS = {
    ("numpy", "GPL-3.0-or-later WITH GCC-exception-3.1"),  # libgfortran: that is what it excepts
    ("numpy", "LGPL-2.1-or-later"),  # libquadmath
}
_COPYLEFT = re.compile(r"\b[AL]?GPL|General Public", re.IGNORECASE)
_KNOWN = re.compile(
    r"\b(BSD|MIT|Apache|MPL-2\.0|Mozilla Public License 2\.0|PSF-2\.0|Python Software Foundation)\b"
)


def locked(environment: dict[str, str] | None = None) -> dict[str, str]:
    """Read the lock.

    Args:
        environment: what its markers are evaluated with (PEP 508); this Python's without one.

    Returns:
        Name -> version of each distribution for that environment.
    """
    lines = re.findall(r"^[a-z0-9][^\\\n]*", LOCK.read_text(), re.MULTILINE)
    wanted = [Requirement(line.strip()) for line in lines]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in wanted
        if each.marker is None or each.marker.evaluate(environment)
    }


def faults(found: Iterable[Distribution]) -> list[str]:
    """List licences that may not be in the image, are not known, or lack their text."""
    reported = []
    for each in found:
        declared = " / ".join(each.licences)
        if _COPYLEFT.search(declared):
            reported.append(f"{each.name} is under {declared}")
        elif not _KNOWN.search(declared):
            reported.append(f"{each.name} declares as its licence: {declared or 'nothing'}")
        reported += [
            f"{each.name} bundles a part under {part}"
            for part in each.bundled
            if _COPYLEFT.search(part) and (each.name, part) not in ALLOWED_PARTS
        ]
        if each.n_missing:
            reported.append(f"{each.name} lacks {each.n_missing} of its licence files")
    return reported
