"""The network where it is served."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_loaded_model_leaves_nothing_in_the_home_and_the_temporary_folder(
    model_store: Path, tmp_path: Path
) -> None:
    # onnxruntime 1.32 by itself writes a session file and a database of events to send.
    code = (
        "from model.runtime import load_model; from model.store import find_directory;"
        "model = load_model(find_directory()); model.check_golden()"
    )
    environ = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environ |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
