"""Make a folder that no other user can write to."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def make_private(folder: Path) -> bool:
    """Make a folder for this user alone.

    Everybody may write to /tmp: another user could create the folder first and put a model into it.

    Returns:
        Whether the folder, new or not, is this user's and closed to others.

    Raises:
        OSError: it cannot be created or examined.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
