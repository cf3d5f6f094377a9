"""Let one process at a time change a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.errors import ModelError


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, which is created if need be; a killed process releases it.

    Args:
        folder: to lock.
        what: the name of the folder in messages.

    Raises:
        ModelError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".import.lock").open("w")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelError(f"{what} {folder} cannot be written to ({reason})") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
