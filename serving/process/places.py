"""Find where this process may write: a container may have a read-only file system."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from model.store.private_folder import make_private

# A read-only container without any mount still has /dev/shm.
PLACES = ("/tmp", "/dev/shm")  # noqa: S108  # where a container may write, not a file's name


class StartError(Exception):
    """The server was started in a way that cannot work; the message is one line."""


def find_places(environ: Mapping[str, str], places: Sequence[str] = PLACES) -> dict[str, str]:
    """Find where BentoML writes: its home (empty, but it must be there) and temporary files.

    Args:
        environ: TMPDIR and BENTOML_HOME in it are kept as they are.
        places: tried in this order without a TMPDIR; a folder in BENTOML_HOME comes last.

    Returns:
        TMPDIR and BENTOML_HOME.

    Raises:
        StartError: one of them cannot be written to, or is somebody else's.
    """
    home = environ.get("BENTOML_HOME")
    if asked := environ.get("TMPDIR"):
        places = (asked,)
    elif home:
        places = (*places, f"{home}/tmp")  # noqa: S108  # BentoML uses it too
    reasons = []
    for place in places:
        if (reason := why_not_writable(Path(place))) is None:
            break
        reasons.append(f"{place} ({reason})")
    else:
        raise StartError(f"nothing can be written to {', '.join(reasons)}; mount a tmpfs at /tmp")
    if not home:
        home = f"{place}/bentoml-{os.getuid()}"
        if not make_private(Path(home)):
            raise StartError(f"{home} is not this user's alone; set BENTOML_HOME")
    if reason := why_not_writable(Path(home)):
        raise StartError(f"BENTOML_HOME={home} cannot be written to ({reason})")
    return {"TMPDIR": place, "BENTOML_HOME": home}


def why_not_writable(folder: Path) -> str | None:
    """Make a file in a folder, which is made if need be.

    Returns:
        None if that works, else the system's reason, such as "no space left on device".
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)  # a full disk still has names
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return None
