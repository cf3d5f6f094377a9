"""Look after the workers: circus alone, 18 MB where `bentoml serve` holds 62 to do no more.

`supervisor.harden` replaces the process of `bentoml serve` by this one; it imports nothing of ours.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from circus.arbiter import Arbiter

# The plan, between the two processes; workers do not see it.
_VARIABLE = "SPINE_WATCHERS"
_STOPS = (signal.SIGTERM, signal.SIGINT)
LOG_FORMAT = "%(asctime)s [%(levelname)s] [%(name)s] %(message)s"
_WATCHER = (
    *("name", "cmd", "args", "numprocesses", "working_dir", "copy_env", "stop_children"),
    *("use_sockets", "close_child_stdin", "graceful_timeout", "respawn"),
)
_SOCKET = ("name", "host", "port", "family", "backlog")


def plan_of(arbiter: Arbiter, check_delay: float) -> dict[str, Any]:
    """What an arbiter would run: its watchers, with what they add to the environment, and sockets.

    Args:
        arbiter: circus's, with TCP sockets.
        check_delay: seconds between two looks for dead workers.
    """
    return {
        "watchers": [
            {name: getattr(watcher, name) for name in _WATCHER} | {"env": _added(watcher.env)}
            for watcher in arbiter.watchers
        ],
        "sockets": [
            {name: getattr(socket, name) for name in _SOCKET} for socket in arbiter.sockets.values()
        ],
        "check_delay": check_delay,
    }


def become(plan: dict[str, Any]) -> NoReturn:
    """Replace this process by one that runs a plan."""
    os.environ[_VARIABLE] = json.dumps(plan)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", __file__])  # noqa: S606


def _added(environ: dict[str, str] | None) -> dict[str, str]:
    """What a watcher gives its workers beside what this process has."""
    return {k: v for k, v in (environ or {}).items() if os.environ.get(k) != v}


def run(plan: dict[str, Any]) -> None:
    """Start the workers, replace those that die, and end them all at SIGTERM or SIGINT.

    Raises:
        OSError: nobody can listen there.
    """
    from circus.arbiter import Arbiter
    from circus.sockets import CircusSocket
    from circus.watcher import Watcher

    ended = Arbiter(
        [Watcher(**watcher) for watcher in plan["watchers"]],
        # By default two TCP ports, where any local user may send commands.
        endpoint=f"inproc://spine-control-{os.getpid()}",
        pubsub_endpoint=f"inproc://spine-events-{os.getpid()}",
        sockets=[CircusSocket(**socket) for socket in plan["sockets"]],
        check_delay=plan["check_delay"],
    ).start()
    if error := ended.exception():
        raise error


def hold_signals() -> None:
    """Let SIGTERM and SIGINT wait: process 1 of a container would never get them without a handler.

    What waits outlives `become`, and `obey_signals` ends it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def obey_signals() -> None:
    """End at a SIGTERM or SIGINT, also at one that has waited; circus does so from its start on."""
    for number in _STOPS:
        signal.signal(number, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


if __name__ == "__main__":
    obey_signals()
    planned = json.loads(os.environ.pop(_VARIABLE))
    # In another process BentoML would have set this up; what is below a warning is a diary.
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    logging.getLogger("circus").addFilter(lambda record: "Could not bind" not in record.msg)
    try:
        run(planned)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise
        places = [f"{socket['host']}:{socket['port']}" for socket in planned["sockets"]]
        reason = (error.strerror or "").lower()
        sys.exit(f"service: cannot listen on {', '.join(places)} ({reason}); choose another port")
