"""Give each server a folder of its own for metrics and temporary files; no answer ever needs it.

prometheus_client keeps the numbers of each process in files (its multiprocess mode). BentoML has
one folder for all servers of a home, and the one that starts last empties it. It also makes a
temporary folder for each worker (`bentoml-client-*`), which a worker that is killed leaves behind.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from serving.telemetry import log

# What prometheus_client looks at when it is imported, in each worker.
_PROMETHEUS = "PROMETHEUS_MULTIPROC_DIR"
# The server's folder, which its workers inherit; BentoML gives its own workers another one.
_OURS = "SPINE_METRICS_FOLDER"
_PREFIX = "spine-metrics-"
# Of one process, for temporary files; its number follows.
_TEMP = "temp_"
# The files of one process, with the bytes that they may grow to without asking the disk: writing
# to a page of a full one ends the process (SIGBUS).
_RESERVED = {"counter": 64_000, "histogram": 512_000, "gauge_livesum": 64_000, "gauge_max": 64_000}


def make_metrics_folder() -> None:
    """Make this server's folder, remove those of servers that died; at the exit, remove it.

    Where nothing can be written there is none, and the workers count nothing.
    """
    try:
        place = Path(tempfile.gettempdir())
        _remove_stale(place)
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
        # Held open: the system lets go of the lock when this process ends, however it does.
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        log.warning("no metrics: no folder for them can be made (%s)", type(error).__name__)
        return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_OURS] = tempfile.tempdir = folder


def _remove_stale(place: Path) -> None:
    """Remove the folders of this user whose servers are gone."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # somebody else's, or gone
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # its server lives
        finally:
            os.close(found)


def count_there() -> bool:
    """Let this worker keep its numbers and temporary files in the server's folder.

    prometheus_client looks at the environment when it is imported, which must be later.

    Returns:
        False where nothing can be written there: this worker counts nothing.
    """
    if folder := os.environ.get(_OURS):
        os.environ[_PROMETHEUS] = folder
    elif _PROMETHEUS not in os.environ:
        return False
    place = Path(os.environ[_PROMETHEUS])
    try:
        _follow_the_dead(place)
        if folder:
            temporary = place / f"{_TEMP}{os.getpid()}"
            temporary.mkdir(exist_ok=True)
            tempfile.tempdir = str(temporary)
        for kind, size in _RESERVED.items():
            with (place / f"{kind}_{os.getpid()}.db").open("ab") as file:
                if file.tell() < size:
                    file.write(bytes(size - file.tell()))
    except OSError as error:
        log.warning("no metrics of this worker: their folder fails (%s)", error.strerror)
        for half in place.glob(f"*_{os.getpid()}.db"):
            half.unlink(missing_ok=True)
        del os.environ[_PROMETHEUS]
        return False
    return True


def _follow_the_dead(place: Path) -> None:
    """Go on with the counts of a dead worker, or sums would fall; remove what else the dead left.

    One file of each kind: each dead worker's is taken over by the one that replaces it, so that
    there are never more files than workers.
    """
    for file in place.iterdir():
        kind, _, pid = file.stem.rpartition("_")
        if not pid.isdigit() or _is_running(int(pid)):
            continue
        own = place / f"{kind}_{os.getpid()}.db"
        if file.suffix != ".db":
            shutil.rmtree(file, ignore_errors=True)
        elif kind.startswith("gauge_live"):  # what it had in progress
            file.unlink(missing_ok=True)
        elif not own.exists():
            with suppress(FileNotFoundError):  # another worker was faster
                file.rename(own)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
