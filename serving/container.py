"""The first process of the image: find room to write, say what is wrong, become `bentoml serve`."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from model.errors import ModelError
from serving.preflight import PortTaken, check_start
from serving.settings import SettingsError, read_settings

BENTO = Path("/app/bento")
# A read-only container without any mount still has /dev/shm.
PLACES = ("/tmp", "/dev/shm")  # noqa: S108  # where a container may write, not a file's name
GRACE_S = 25


class ContainerError(Exception):
    """The container was started in a way that cannot work; the message is one line."""


def find_room(environ: Mapping[str, str], places: Sequence[str] = PLACES) -> dict[str, str]:
    """Say where BentoML writes: its home (empty, but it must be there) and temporary files.

    Args:
        environ: TMPDIR and BENTOML_HOME in it are kept as they are.
        places: tried in this order without a TMPDIR.

    Returns:
        TMPDIR and BENTOML_HOME.

    Raises:
        ContainerError: one of them cannot be written to.
    """
    if asked := environ.get("TMPDIR"):
        places = (asked,)
    for place in places:
        if _is_writable(place):
            home = environ.get("BENTOML_HOME") or f"{place}/bentoml-{os.getuid()}"
            if not _is_writable(home):
                raise ContainerError(f"BENTOML_HOME={home} cannot be written to")
            return {"TMPDIR": place, "BENTOML_HOME": home}
    raise ContainerError(f"nothing can be written to {' or '.join(places)}; mount a tmpfs at /tmp")


def read_port(environ: Mapping[str, str]) -> int:
    """The port that PORT asks for; 8000 without it.

    Raises:
        ContainerError: it is no port.
    """
    text = environ.get("PORT") or "8000"
    if not (re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise ContainerError(f"PORT={text[:20]!r} is not a number from 1 to 65535")
    return int(text)


def _is_writable(folder: str) -> bool:
    """Whether a file can be made in a folder, which is made if need be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@click.command()
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(options: tuple[str, ...]) -> None:
    """Serve the Bento of this image on PORT (8000); OPTIONS go to `bentoml serve`.

    Exits with 1 and one line when the container is set up in a way that cannot work.
    """
    try:
        room = find_room(os.environ)
        os.environ |= room
        port = read_port(os.environ)
        host = os.environ.get("BENTOML_HOST") or "0.0.0.0"  # noqa: S104  # it is a server
        check_start(read_settings(os.environ), host, port, [BENTO / "models"])
    except (ContainerError, SettingsError, ModelError, PortTaken) as error:
        click.echo(f"container: {error}", err=True)
        sys.exit(1)
    serve = [sys.executable, "-m", "bentoml", "serve", str(BENTO), *options]
    where = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(GRACE_S)]
    os.execv(sys.executable, [*serve, *where])  # noqa: S606  # as process 1, it gets the SIGTERM


if __name__ == "__main__":
    main()
