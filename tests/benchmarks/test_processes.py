"""Servers are started, measured with all their processes, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
import pytest

from benchmarks.processes import free_port, running, tree_cpu_s, tree_pss_bytes

MB = 1_000_000
# A server of two processes that answers with its home, until it is ended.
SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["BENTOML_HOME"].encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has done its work when it is handed over, and then waits."""
    code = textwrap.dedent(code) + "\nprint('done', flush=True); sys.stdin.read()"
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", f"import subprocess, sys\n{code}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        yield process
        assert process.stdin
        process.stdin.close()


def test_memory_is_that_of_the_process_and_its_children() -> None:
    child = "import sys; held = bytearray(b'1') * 40_000_000; print(flush=True); sys.stdin.read()"
    with python("held = bytearray(b'1') * 30_000_000") as alone:
        memory, processes = tree_pss_bytes(alone.pid)
        assert 30 * MB < memory < 60 * MB
        assert processes == 1
    with python(f"""
        held = bytearray(b'1') * 30_000_000
        pipe = subprocess.PIPE
        child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=pipe, stdout=pipe)
        child.stdout.readline()
    """) as parent:
        memory, processes = tree_pss_bytes(parent.pid)
        assert 70 * MB < memory < 110 * MB
        assert processes == 2


def test_computing_of_a_child_that_ended_is_not_forgotten() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    with python(f"subprocess.run([sys.executable, '-c', {burn!r}])") as parent:
        assert tree_cpu_s(parent.pid) > 0.4  # counted in ticks of 10 ms
        assert psutil.Process(parent.pid).children() == []


def test_a_server_has_a_home_of_its_own_and_ends_with_all_its_processes(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "serve.py").write_text(SERVER)
    command = [sys.executable, "serve.py", str(port)]
    with running(command, port, tmp_path, {"SPINE_WORKERS": "1"}) as server:
        pids = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
        environ = psutil.Process(server.pid).environ()
        home = Path(environ["BENTOML_HOME"])
        assert home != Path(os.environ["BENTOML_HOME"])
        assert (home / "models").resolve() == Path(os.environ["BENTOML_HOME"], "models").resolve()
        assert environ["SPINE_WORKERS"] == "1"
        assert server.ready_s > 0
    assert len(pids) == 2
    assert not any(map(_is_running, pids))
    assert not home.exists()


def _is_running(pid: int) -> bool:
    """Whether it runs, and is not a zombie that its parent has not waited for."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with pytest.raises(click.ClickException, match="no such model"), running(command, free_port()):
        pass
