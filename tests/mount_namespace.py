"""Mount file systems for one process and its children alone."""

from __future__ import annotations

import os
import subprocess

import pytest


def unshare() -> list[str]:
    """The command for a mount namespace of one's own.

    Skips the test where there is none: containers without CAP_SYS_ADMIN and kernels that keep user
    namespaces from ordinary users forbid it, and nothing else makes a disk full or read-only.
    """
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        subprocess.run(mount, check=True)  # noqa: S603 (all of it is fixed here)
    except (OSError, subprocess.CalledProcessError):
        # Asked before the test begins, so that no failure of its own is taken for this.
        pytest.skip("this user may not make a mount namespace here")
    return command
