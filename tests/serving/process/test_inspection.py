"""Keys are not found in what other processes of the same user can read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.root import ROOT
from tests.security.process_tree import tree
from tests.serving.server import serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

KEY = "a-key-that-nobody-else-has"


def run(code: str) -> list[str]:
    """Run some code with a key in its environment; the lines that it prints."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"SPINE_API_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_forgotten_keys_are_not_in_the_environment_that_others_see() -> None:
    code = (
        "import os; from serving.process.inspection import forget_keys as forget\n"
        "read = lambda: open('/proc/self/environ').read()\n"
        f"print({KEY!r} in read()); print(forget(), {KEY!r} in read())\n"
        "print(os.environ.get('SPINE_API_KEY'), 'PATH=' in read(), forget())"
    )
    assert run(code) == ["True", f"{KEY} False", "None True None"]


def test_what_starts_without_keys_does_not_find_them_and_what_starts_later_does() -> None:
    code = (
        "import subprocess; from serving.process.inspection import without_keys\n"
        "show = lambda: print(subprocess.getoutput('echo $SPINE_API_KEY'))\n"
        "with without_keys(): show()\n"
        "show()"
    )
    assert run(code) == ["", KEY]


def test_a_process_that_refuses_inspection_cannot_be_read_by_its_user() -> None:
    # As root one may always: the process becomes nobody first, and readable as others are.
    code = """
import ctypes, os
from serving.process.inspection import refuse_inspection

def child_reads():
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if open(f"/proc/{os.getppid()}/environ").read() else 2)
        except PermissionError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(child_reads())
refuse_inspection()
print(child_reads())
"""
    assert run(code) == ["True", "False"]


def test_no_process_of_a_server_shows_its_key(model_store: Path, tmp_path: Path) -> None:
    store = {"BENTOML_HOME": str(model_store)}
    with serve(tmp_path / "log", SPINE_API_KEY=KEY, **store) as (url, process):
        assert httpx.post(f"{url}/predict").status_code == 401
        answer = httpx.post(f"{url}/predict", headers={"X-API-Key": KEY})
        assert answer.status_code in (400, 415, 422)
        pids = tree(process.pid)
        assert len(pids) >= 3  # supervisor, worker, decoder
        shown = [pid for pid in pids if KEY in Path(f"/proc/{pid}/environ").read_text()]
    assert shown == []
