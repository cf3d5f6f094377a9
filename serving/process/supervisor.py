"""Harden BentoML's supervisor (circus): no port of its own, an end, a worker for each that died.

BentoML 1.4.39 gives circus two TCP ports on loopback, where any local user may send it commands, a
day to end a worker, and in a container no new worker for a dead one. None of these is a setting.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from serving.http.shares import share
from serving.process.arbiter import become, plan_of
from serving.settings import Settings
from serving.telemetry import log

# Above what a worker gives itself (serving/process/drain.py).
KILL_AFTER_S = 28
# How often dead workers are looked for.
CHECK_EVERY_S = 1.0
# What is done with the plan of `bentoml serve`; serving/process/plan.py writes it down instead.
hand_over: Callable[[dict[str, Any]], NoReturn] = become


def harden(settings: Settings) -> None:
    """Change the arbiter that `bentoml serve` is about to start; call it once before that.

    At its start it becomes the small process of `serving.process.arbiter`. With `--reload`, and
    in a thread of another program, it stays where it is.
    """
    from bentoml._internal.utils import circus

    find_temporary_folder()
    share(settings.n_workers)
    plain, plain_start = circus.Arbiter.__init__, circus.Arbiter.start

    def hardened(self: Any, watchers: Sequence[Any], **options: Any) -> None:
        for watcher in watchers:
            watcher.graceful_timeout = KILL_AFTER_S
            watcher.respawn = True
        self.has_plugins = bool(options.get("plugins"))
        if not self.has_plugins:  # `--reload` is a plugin, in a process that needs the port
            options["endpoint"] = f"inproc://spine-control-{os.getpid()}"
            options["pubsub_endpoint"] = f"inproc://spine-events-{os.getpid()}"
        options["check_delay"] = CHECK_EVERY_S
        warn_if_open([socket.host for socket in options.get("sockets") or ()], settings)
        plain(self, watchers, **options)

    def start(self: Any, cb: Callable[[Any], None] | None = None) -> None:
        if self.has_plugins or type(self) is not circus.Arbiter:
            plain_start(self, cb)
            return
        if cb:
            cb(None)  # says on what it listens
        self.exit_stack.close()  # folders for the sockets of other services
        for socket in self.sockets.values():
            socket.close()  # nobody listens there yet, and the workers would inherit it
        hand_over(plan_of(self, CHECK_EVERY_S))

    circus.Arbiter.__init__ = hardened  # type: ignore[method-assign]
    circus.Arbiter.start = start  # type: ignore[method-assign]


def find_temporary_folder() -> None:
    """Let BentoML make its folders in its home where every usual place is full or read-only.

    One for sockets, one for a client in each worker; both stay empty here.
    """
    import tempfile

    from bentoml._internal.configuration.containers import BentoMLContainer

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = BentoMLContainer.tmp_bento_store_dir.get()
        os.environ["TMPDIR"] = tempfile.tempdir  # for the workers


def warn_if_open(hosts: Sequence[str | None], settings: Settings) -> None:
    """Warn when other machines can reach the service and no key is asked for."""
    if settings.api_key:
        return
    for host in hosts:
        if not _is_loopback(host):
            log.warning(
                "listening on %s without SPINE_API_KEY: whoever reaches this port may ask", host
            )


def _is_loopback(host: str | None) -> bool:
    try:
        return host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def send_no_usage_reports() -> None:
    """Keep BentoML from sending usage reports: this service connects to nobody.

    BentoML reads the variable once, when its command line starts, before any service is imported.
    """
    from bentoml._internal.utils.analytics import usage_stats

    os.environ[usage_stats.BENTOML_DO_NOT_TRACK] = "True"
    usage_stats.do_not_track.cache_clear()
