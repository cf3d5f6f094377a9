"""Real servers in their own processes, by each of the two starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.root import ROOT
from tests.security.process_tree import all_ended, kill, tree

READY_WITHIN_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def serve(
    log: Path, prefix: Sequence[str] = (), **environ: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve SpineAnomaly on a free port as in production, by `python -m serving`.

    With one worker unless more are asked for. Stopped at the end, without the two seconds in which
    a host takes note of a SIGTERM: no host watches. A test of the end asks for them with
    SPINE_DRAIN_S.

    Args:
        log: where its output goes.
        prefix: a command that executes the server's, such as `env -u NAME`; the process stays one.
        environ: variables besides those of this process.

    Yields:
        (URL, process), ready.
    """
    port = free_port()
    address = {"BENTOML_HOST": "127.0.0.1", "PORT": str(port)}
    with _running([*prefix, sys.executable, "-m", "serving"], port, log, address | environ) as both:
        yield both


@contextmanager
def bentoml_serve(log: Path, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve it as a developer does, by plain `bentoml serve`; see `serve`."""
    port = free_port()
    command = ["bentoml", "serve", "service:SpineAnomaly", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--timeout-graceful-shutdown", "20"]
    with _running([sys.executable, "-m", *command], port, log, environ) as both:
        yield both


@contextmanager
def _running(
    command: list[str], port: int, log: Path, environ: dict[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (our own service)
            command,
            cwd=ROOT,
            env=os.environ | {"SPINE_WORKERS": "1", "SPINE_DRAIN_S": "0"} | environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process, log)
        yield url, process
    finally:
        # SIGTERM first: only their supervisor ends the workers.
        pids = tree(process.pid)
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill(all_ended(pids, seconds=1))


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready:\n{log.read_text()}")
