"""Start the workers and keep them running until a signal: the supervisor.

A process of its own, which `serving.process.start` becomes: what the checks have imported would
stay in memory (15 MB) as long as the server runs.
"""

from __future__ import annotations

import logging.config
import socket
import sys
from multiprocessing import resource_tracker
from typing import NoReturn

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE

from serving.http.client import trusted_networks
from serving.process.drain import FINISH_WITHIN_S, KILL_AFTER_S
from serving.process.inspection import without_keys
from serving.process.metrics_folder import make_metrics_folder
from serving.process.resources import n_workers
from serving.process.signals import obey_signals
from serving.process.workers import HUNG_AFTER_S, Workers
from serving.settings import Settings, settings
from serving.telemetry import LOGGING, log


def supervise(listener: socket.socket, settings: Settings) -> None:
    """Run the workers until a SIGTERM or SIGINT.

    Args:
        listener: which the workers share.
        settings: of this server.
    """
    logging.config.dictConfig(LOGGING)
    log.info("settings: %s", settings)
    count = n_workers(settings)
    make_metrics_folder()
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
        forwarded_allow_ips=trusted_networks(settings.trusted_proxies),
        timeout_graceful_shutdown=FINISH_WITHIN_S,
        timeout_worker_healthcheck=HUNG_AFTER_S,
    )
    # Also for one worker, or nobody would replace it.
    supervisor = Workers(config, listener, settings.drain_s + KILL_AFTER_S)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # which worker died, and when
    # uvicorn's handlers are there now: a signal that has waited ends what starts here.
    obey_signals()
    # It would start with the first worker, but needs no keys. Not earlier: it lets signals in.
    with without_keys():
        resource_tracker.ensure_running()
    try:
        supervisor.run()
    except OSError as error:
        _fail(f"no worker can be started ({(error.strerror or '').lower()})")
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        _fail("a worker could not start; the lines above say why")


def _fail(reason: str) -> NoReturn:
    sys.exit(f"service: {reason}")


if __name__ == "__main__":
    supervise(socket.socket(fileno=int(sys.argv[1])), settings())
