"""Numbers that tests print below their results."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Report = Callable[[str], None]
LINES = pytest.StashKey[list[str]]()
