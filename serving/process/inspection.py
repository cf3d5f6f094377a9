"""Keep keys out of what another process of the same user can read: decoders share the worker's."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_KEYS = "SPINE_API_KEY"
_PR_SET_DUMPABLE = 4


def forget_keys() -> str | None:
    """Take the keys out of the environment, once the settings are read; return what it held.

    What /proc/PID/environ shows is the block that the process started with; it stays there when a
    variable is unset, so it is overwritten.
    """
    keys = os.environ.get(_KEYS)
    if keys is None:
        return None
    if sys.platform == "linux":
        find = ctypes.CDLL(None).getenv
        find.restype = ctypes.c_void_p
        if place := find(_KEYS.encode()):
            ctypes.memset(place, 0, len(os.fsencode(keys)))
    del os.environ[_KEYS]
    return keys


@contextmanager
def without_keys() -> Iterator[None]:
    """Hide the keys from what the body starts; what is started later finds them again."""
    keys = forget_keys()
    try:
        yield
    finally:
        if keys is not None:
            os.environ[_KEYS] = keys


def refuse_inspection() -> None:
    """Let no other process of this user read this one's memory, nor a core dump.

    Where decoders are confined it is not needed, and an operator may want to look.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
