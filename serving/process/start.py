"""Check and listen, then become the supervisor: what `python -m serving` does in production."""

from __future__ import annotations

import logging.config
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import click

from model.errors import ModelError
from model.store.served import FOLDER_VARIABLE
from serving.process.places import StartError, find_places
from serving.process.preflight import (
    check_model,
    listen,
    read_address,
    warn_if_open,
    warn_of_unknown_variables,
)
from serving.process.resources import WORKER_ENVIRON
from serving.settings import SettingsError, read_settings
from serving.telemetry import LOGGING, log

# The models of a Bento lie beside its code.
MODELS = Path(__file__).parents[3] / "models"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", help="IP address to listen on: BENTOML_HOST, or all (0.0.0.0) without it.")
@click.option("--port", help="Port to listen on: PORT, or 8000 without it.")
def main(host: str | None, port: str | None) -> None:
    """Serve in production until a SIGTERM.

    Exits with 1 and one line when it is set up in a way that cannot work.

    Example: python -m serving --host 127.0.0.1 --port 8000
    """
    logging.config.dictConfig(LOGGING)
    try:
        os.environ |= find_places(os.environ)
        tempfile.tempdir = None
        address = read_address(host, port, os.environ)
        settings = read_settings(os.environ)
        model = check_model(settings, [MODELS])
        listener = listen(*address)
    except (StartError, SettingsError, ModelError) as error:
        _fail(str(error))
    log.info("%s", model)
    # A worker that starts later must not get another model than the others have.
    os.environ[FOLDER_VARIABLE] = str(model.folder)
    warn_of_unknown_variables(os.environ)
    warn_if_open(address[0], settings)
    os.environ |= {name: os.environ.get(name, value) for name, value in WORKER_ENVIRON.items()}
    listener.set_inheritable(True)
    sys.stdout.flush()
    supervisor = [sys.executable, "-m", "serving.process.supervise", str(listener.fileno())]
    os.execv(sys.executable, supervisor)  # noqa: S606  # our own module


def _fail(reason: str) -> NoReturn:
    click.echo(f"service: {reason}", err=True)
    sys.exit(1)
