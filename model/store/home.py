"""Use the model store of a clone: `.bentoml` next to the code, as `make` does."""

from __future__ import annotations

import os
from pathlib import Path

_CLONE = Path(__file__).parents[2]


def use_clone_store(clone: Path = _CLONE) -> None:
    """Set BENTOML_HOME to the store of the clone unless it is set, so that all commands share one.

    Outside of a clone (in an image), and where the clone cannot be written to and has no store
    yet, BentoML's own default stays. BentoML reads the variable when it first opens its store.

    Args:
        clone: the folder that holds the code.
    """
    store = clone / ".bentoml"
    is_clone = (clone / "Makefile").is_file() and (clone / "pyproject.toml").is_file()
    if is_clone and not os.environ.get("BENTOML_HOME"):
        if store.is_dir() or os.access(clone, os.W_OK):
            os.environ["BENTOML_HOME"] = str(store)
        else:
            os.environ.pop("BENTOML_HOME", None)  # empty, it would mean the current folder
