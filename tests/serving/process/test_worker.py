"""A worker whose event loop hangs ends in one line, so that its supervisor replaces it."""

import subprocess
import sys

from serving.telemetry import LOGGING
from tests.root import ROOT


def run_loop(body: str) -> subprocess.CompletedProcess[str]:
    """Run a loop that is watched, and hangs after two seconds."""
    lines = [
        "import asyncio, logging.config, time",
        "from serving.process.worker import end_if_loop_hangs",
        f"logging.config.dictConfig({LOGGING!r})",
        "async def main():",
        "    end_if_loop_hangs(2)",
        f"    {body}",
        "asyncio.run(main())",
    ]
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_loop_that_runs_nothing_ends_its_process_in_one_line() -> None:
    done = run_loop("time.sleep(60)")
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "this worker hangs: its event loop has run nothing for 2 s" in line


def test_a_log_that_nobody_reads_keeps_no_hung_worker_alive() -> None:
    done = run_loop("logging.getLogger().handlers[0].acquire(); time.sleep(60)")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_loop_that_runs_is_left_alone() -> None:
    done = run_loop("await asyncio.sleep(4)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
