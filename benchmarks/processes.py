"""Start servers in homes of their own, and read what their process trees use."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.clients import HOST

HERE = Path(__file__).parents[1]
STARTED_WITHIN_S = 120
_STOPPED_WITHIN_S = 60
_POLL_S = 0.02
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Args:
        port: on loopback.
        pid: of the first process of its tree.
        ready_s: from its start to the first 200 of its readiness path.
    """

    port: int
    pid: int
    ready_s: float


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(
    command: Sequence[str], port: int, checkout: Path = HERE, environ: Mapping[str, str] = {}
) -> Iterator[Server]:
    """Run a server with the models of this store, and stop it at the end.

    Args:
        command: that serves on `port` and answers GET /readyz.
        port: free.
        checkout: where it is run.
        environ: variables in addition to those of this process.
    """
    models = Path(os.environ.get("BENTOML_HOME", HERE / ".bentoml")) / "models"
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        home, log = Path(folder), Path(folder) / "log"
        (home / "models").symlink_to(models.resolve())
        own = {
            "BENTOML_HOME": folder,
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                cwd=checkout,
                env=os.environ | own | dict(environ),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(port, process, log)
            yield Server(port, process.pid, time.perf_counter() - began)
        finally:
            _stop(process)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
    last = log.read_text("utf-8", "replace").strip().splitlines()[-8:]
    raise click.ClickException("\n".join(["a server did not start; its last lines:", *last]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask to end; end what is left of the tree."""
    import psutil

    try:
        left = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        left = []
    process.terminate()
    try:
        process.wait(_STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(left, timeout=2)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=2)


def tree_cpu_s(pid: int) -> float:
    """Seconds of computing that a process and its descendants, ended ones included, have used."""
    import psutil

    total = 0.0
    for process in _tree(pid):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # Of a child that ended and was waited for, the parent keeps the sum.
        total += used.user + used.system + used.children_user + used.children_system
    return float(total)


def tree_pss_bytes(pid: int) -> tuple[int, int]:
    """Memory of a process tree, in which a page that n processes share counts 1/n in each.

    Returns:
        (bytes, processes).
    """
    total = count = 0
    for process in _tree(pid):
        try:
            found = _PSS.search(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
        except OSError:  # it has just ended, or this is not Linux
            continue
        total += 1024 * int(found[1]) if found else 0
        count += 1
    return total, count


def busy_cores_s() -> float:
    """Seconds of computing that all cores of this machine have spent on any process."""
    import psutil

    used = psutil.cpu_times()
    return float(sum(used) - used.idle - getattr(used, "iowait", 0.0))


def _tree(pid: int) -> list[Any]:
    """A process and its living descendants; psutil has no types."""
    import psutil

    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]
