"""What the image runs (`python -m serving`): find room to write, say what is wrong, start workers.

`bentoml serve` computes for a second to find out what it should start. In an image that is always
the same, so the build wrote it down (`serving.process.plan`).
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from model.errors import ModelError
from model.store.private_folder import make_private
from model.store.served import FOLDER_VARIABLE
from serving.http.shares import share
from serving.process.arbiter import LOG_FORMAT, become
from serving.process.preflight import PortTaken, check_start
from serving.process.supervisor import warn_if_open
from serving.settings import Settings, SettingsError, read_settings
from serving.telemetry import log

BENTO = Path("/app/bento")
PLAN = BENTO / "plan.json"
# A read-only container without any mount still has /dev/shm.
PLACES = ("/tmp", "/dev/shm")  # noqa: S108  # where a container may write, not a file's name


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
        ContainerError: one of them cannot be written to, or is somebody else's.
    """
    if asked := environ.get("TMPDIR"):
        places = (asked,)
    for place in places:
        if _is_writable(place):
            if not (home := environ.get("BENTOML_HOME")):
                home = f"{place}/bentoml-{os.getuid()}"
                if not make_private(Path(home)):
                    raise ContainerError(f"{home} is not this user's alone; set BENTOML_HOME")
            if not _is_writable(home):
                raise ContainerError(f"BENTOML_HOME={home} cannot be written to")
            return {"TMPDIR": place, "BENTOML_HOME": home}
    raise ContainerError(f"nothing can be written to {' or '.join(places)}; mount a tmpfs at /tmp")


def read_address(environ: Mapping[str, str]) -> tuple[str, int]:
    """Where to listen: BENTOML_HOST, all addresses without it, and PORT, 8000 without it.

    Raises:
        ContainerError: one of them is no address, or no port.
    """
    host = environ.get("BENTOML_HOST") or "0.0.0.0"  # noqa: S104  # it is a server
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ContainerError(f"BENTOML_HOST={host[:50]!r} is not an IP address") from error
    text = environ.get("PORT") or "8000"
    if not (re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise ContainerError(f"PORT={text[:20]!r} is not a number from 1 to 65535")
    return host, int(text)


def fit_plan(
    plan: dict[str, Any],
    settings: Settings,
    address: tuple[str, int],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Give what `bentoml serve` started in the build this container's address, workers and home.

    Args:
        plan: as `serving.process.arbiter.plan_of` wrote it.
        settings: of this container.
        address: host and port.
        environ: with this container's BENTOML_HOME; the operator's values win.
    """
    (watcher,), (listener,) = plan["watchers"], plan["sockets"]
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    env = {name: environ.get(name, value) for name, value in watcher["env"].items()}
    env.pop("BENTOML_RUNNER_MAP", None)  # where other services listen: there are none
    env["PROMETHEUS_MULTIPROC_DIR"] = f"{environ['BENTOML_HOME']}/prometheus_multiproc_dir"
    return plan | {
        "watchers": [watcher | {"numprocesses": settings.n_workers, "env": env}],
        "sockets": [listener | {"host": host, "port": port, "family": family}],
    }


def _is_writable(folder: str) -> bool:
    """Whether a file can be made in a folder, which is made if need be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _empty(folder: Path) -> None:
    """Make an empty folder: metrics of a process before, when a container restarts, are not ours.

    Raises:
        ContainerError: it cannot be emptied.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
    except OSError as error:
        raise ContainerError(f"{folder} cannot be emptied ({error.strerror})") from error


@click.command()
def main() -> None:
    """Serve the Bento of this image on PORT (8000) of BENTOML_HOST (all addresses).

    Exits with 1 and one line when the container is set up in a way that cannot work.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        os.environ |= find_room(os.environ)
        tempfile.tempdir = None
        host, port = read_address(os.environ)
        settings = read_settings(os.environ)
        folder = check_start(settings, host, port, [BENTO / "models"])
        plan = fit_plan(json.loads(PLAN.read_text("utf-8")), settings, (host, port), os.environ)
        _empty(Path(plan["watchers"][0]["env"]["PROMETHEUS_MULTIPROC_DIR"]))
    except (ContainerError, SettingsError, ModelError, PortTaken) as error:
        click.echo(f"container: {error}", err=True)
        sys.exit(1)
    os.environ[FOLDER_VARIABLE] = str(folder)
    share(settings.n_workers)
    warn_if_open([host], settings)
    log.info("starting %d workers on %s port %d", settings.n_workers, host, port)
    become(plan)
