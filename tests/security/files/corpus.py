"""Generate hundreds of files, each with the answer that the service must give; `cases` lists them.

Deterministic: the same seed gives the same bytes. Each file is built when it is asked for, as some
have 30 MB. The classes are in modules of their own, corpus_*.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from preprocessing import ImageError

Kind = Literal["valid", "tolerated", "refused", "malformed"]
Build = Callable[[], bytes]

OK = "ok"


def _leaves(kind: type[ImageError]) -> list[type[ImageError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]


STATUS = {OK: 200} | {kind.code: kind.status for kind in _leaves(ImageError)}
REFUSALS = frozenset(STATUS) - {OK}
# What a file with damage somewhere in it may be called.
DAMAGE = frozenset({"damaged_image", "geometry_mismatch", "no_pixels", "limit_exceeded"})


@dataclass(frozen=True)
class Case:
    """One file and its answer.

    Args:
        kind: valid as the standard has it; tolerated, as archives and vendors have it; refused,
            sound but not a grayscale MR image; malformed.
        name: unique.
        build: makes the bytes, the same each time.
        codes: of the errors that are right, or `OK`; one is enough.
        frames: of an image that is answered.
        same_as: a group whose members hold the same pixels and have the same score.
        is_expensive: takes much memory or time to make or to read.
    """

    kind: Kind
    name: str
    build: Build = field(repr=False)
    codes: frozenset[str] = frozenset({OK})
    frames: int = 1
    same_as: str = ""
    is_expensive: bool = False

    @property
    def statuses(self) -> frozenset[int]:
        """That HTTP may answer with."""
        return frozenset(STATUS[code] for code in self.codes)

    @property
    def must_pass(self) -> bool:
        """Only an answer of 200 is right."""
        return self.codes == {OK}


def cases(seed: int = 1) -> list[Case]:
    """List the whole corpus."""
    from tests.security.files import (
        corpus_codestreams,
        corpus_costly,
        corpus_damage,
        corpus_foreign,
        corpus_lies,
        corpus_pydicom,
        corpus_refused,
        corpus_structures,
        corpus_tolerated,
        corpus_valid,
    )

    parts = (
        corpus_valid.cases(seed),
        corpus_pydicom.cases(),
        corpus_tolerated.cases(seed),
        corpus_structures.cases(seed),
        corpus_refused.cases(seed),
        corpus_foreign.cases(seed),
        corpus_damage.cases(seed),
        corpus_lies.cases(seed),
        corpus_codestreams.cases(seed),
        corpus_costly.cases(),
    )
    listed = [case for part in parts for case in part]
    twice = [name for name, n in Counter(case.name for case in listed).items() if n > 1]
    assert not twice, f"these names are given to several cases: {twice}"
    return listed
