"""A folder that nobody else can put anything into."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def make_private(folder: Path) -> bool:
    """Make a folder for this user alone, and say whether it is one.

    Everybody writes to /tmp, and whoever makes the folder first could put a model into it.

    Raises:
        OSError: it cannot be made or looked at.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
