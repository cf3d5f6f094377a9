"""Watch folders for anything that is created or changed in them, however short-lived (Linux)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# linux/inotify.h
_MODIFY, _ATTRIB, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x40, 0x80
_CREATE, _DELETE, _OVERFLOW = 0x100, 0x200, 0x4000
_WATCHED = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_HEADER = struct.Struct("iIII")


@contextmanager
def watch(folders: Iterable[Path]) -> Iterator[list[str]]:
    """Watch folders with all that is below them; the list is filled when the block ends.

    Yields:
        "<mask> <path>" of each event.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    events: list[str] = []
    try:
        watched: dict[int, Path] = {}
        for top in folders:
            for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
                number = libc.inotify_add_watch(descriptor, os.fsencode(folder), _WATCHED)
                if number < 0:
                    raise OSError(ctypes.get_errno(), "inotify_add_watch")
                watched[number] = folder
        yield events
        events += [
            f"{mask:#x} {watched.get(number, Path('?')) / name}"
            for number, mask, name in _read(descriptor)
        ]
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Iterator[tuple[int, int, str]]:
    """What the kernel has noted: (watch, mask, name)."""
    while True:
        try:
            data = os.read(descriptor, 1 << 20)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            name = data[at : at + length].rstrip(b"\0")
            at += length
            assert not mask & _OVERFLOW, "more events than the kernel keeps"
            yield number, mask, os.fsdecode(name)
