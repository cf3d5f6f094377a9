"""Check, listen, and supervise the workers: what `python -m serving` does in production."""

from __future__ import annotations

import logging.config
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import click

from model.errors import ModelError
from model.store.served import FOLDER_VARIABLE
from serving.process.drain import FINISH_WITHIN_S
from serving.process.metrics_folder import make_metrics_folder
from serving.process.places import StartError, find_places
from serving.process.preflight import (
    BACKLOG,
    check_model,
    listen,
    read_address,
    warn_if_open,
    warn_of_unknown_variables,
)
from serving.process.resources import WORKER_ENVIRON, n_workers
from serving.process.signals import obey_signals
from serving.settings import Settings, SettingsError, read_settings
from serving.telemetry import log

# The models of a Bento lie beside its code.
MODELS = Path(__file__).parents[3] / "models"
# A worker that leaves a ping of the supervisor without an answer for so long is replaced. On a busy
# machine a new one needs seconds until it can answer.
HUNG_AFTER_S = 15
_LINE = "%(asctime)s [%(levelname)s] [%(name)s %(process)d] %(message)s"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": _LINE}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
        }
    },
    "loggers": {"bentoml": {"level": "INFO"}, "uvicorn.error": {"level": "WARNING"}},
    "root": {"level": "WARNING", "handlers": ["stdout"]},
}


@click.command()
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
    make_metrics_folder()
    with listener:
        _supervise(listener, n_workers(settings), settings)


def _supervise(listener: socket.socket, count: int, settings: Settings) -> None:
    """Start the workers, replace those that die or hang, and end them all at a signal."""
    # Here, or the checks above would answer a quarter of a second later.
    from uvicorn import Config
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    log.info("starting %d workers on %s port %d", count, *listener.getsockname()[:2])
    config = Config(
        "service:SpineAnomaly.to_asgi",
        factory=True,
        http="serving.http.connection:BoundedProtocol",
        ws="none",
        interface="asgi3",
        lifespan="on",
        workers=count,
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=FINISH_WITHIN_S,
        timeout_worker_healthcheck=HUNG_AFTER_S,
        backlog=BACKLOG,
    )
    # Also for one worker, or nobody would replace it.
    supervisor = Multiprocess(config, [listener])
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # which worker died, and when
    # uvicorn's handlers are there now: a signal that has waited ends what starts here.
    obey_signals()
    try:
        supervisor.run()
    except OSError as error:
        _fail(f"no worker can be started ({(error.strerror or '').lower()})")
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        _fail("a worker could not start; the lines above say why")


def _fail(reason: str) -> NoReturn:
    click.echo(f"service: {reason}", err=True)
    sys.exit(1)
