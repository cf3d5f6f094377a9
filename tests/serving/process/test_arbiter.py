"""The small arbiter starts workers, replaces dead ones, ends them, or says why not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from serving.process import arbiter
from tests.serving.server import free_port

WORKER = "import os, signal; print(os.environ['GIVEN'], flush=True); signal.pause()"
PATIENCE_S = 30


def _plan(port: int, n_workers: int = 2) -> dict[str, Any]:
    watcher = {
        "name": "service",
        "cmd": sys.executable,
        "args": ["-c", WORKER],
        "numprocesses": n_workers,
        "env": {"GIVEN": "given"},
        "copy_env": True,
        "respawn": True,
        "graceful_timeout": 5,
    }
    listener = {"name": "api", "host": "127.0.0.1", "port": port, "backlog": 16}
    return {"watchers": [watcher], "sockets": [listener], "check_delay": 0.1}


def _start(plan: dict[str, Any], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as written:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", arbiter.__file__],
            env=os.environ | {"SPINE_WATCHERS": json.dumps(plan)},
            stdout=written,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def _running(plan: dict[str, Any], output: Path) -> Iterator[psutil.Process]:
    process = _start(plan, output)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_get_their_environment_and_not_the_plan(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with _running(_plan(free_port()), output) as process:
        _wait_for(lambda: output.read_text("utf-8") == "given\ngiven\n")
        for worker in process.children():
            assert worker.environ()["GIVEN"] == "given"
            assert "SPINE_WATCHERS" not in worker.environ()


def test_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with _running(_plan(free_port(), n_workers=1), output) as process:
        _wait_for(lambda: output.read_text("utf-8") == "given\n")
        (first,) = process.children()
        first.send_signal(signal.SIGKILL)
        _wait_for(lambda: output.read_text("utf-8") == "given\ngiven\n")
        (second,) = process.children()
        assert second.pid != first.pid


def test_nobody_is_left_after_its_end(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with _running(_plan(free_port()), output) as process:
        _wait_for(lambda: output.read_text("utf-8") == "given\ngiven\n")
        workers = process.children()
    assert not any(worker.is_running() for worker in workers)


def test_it_listens_nowhere_else(tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "output"
    with _running(_plan(port), output) as process:
        _wait_for(lambda: output.read_text("utf-8") == "given\ngiven\n")
        listening = {
            connection.laddr.port
            for each in (process, *process.children())
            for connection in each.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {port}


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _start(_plan(port), output).wait(PATIENCE_S) == 1
    assert output.read_text("utf-8").splitlines() == [
        f"service: cannot listen on 127.0.0.1:{port} (address already in use); choose another port"
    ]
