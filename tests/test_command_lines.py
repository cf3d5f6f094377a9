"""Every command line: -h and --help, at once, and what a command prints as the next one works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.root import ROOT

# Each takes half a second or more to import.
HEAVY = ("torch", "bentoml", "matplotlib", "scipy", "onnxruntime")


def programs() -> list[str]:
    """The modules that click runs as `python -m`, of the rooms that have any."""
    rooms = ("benchmarks", "image", "model", "serving", "training", "tests/security/files")
    files = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    found = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in files
        if '__name__ == "__main__"' in (source := path.read_text("utf-8")) and "@click." in source
    ]
    # The command of `python -m serving` lies in another module.
    return [name.removesuffix(".__main__") for name in [*found, "serving"]]


@pytest.mark.parametrize("program", programs())
def test_help_is_short_for_h_and_imports_nothing_heavy(program: str) -> None:
    answers = []
    for flag in ("-h", "--help"):
        code = (
            f"import runpy, sys; sys.modules.update(dict.fromkeys({HEAVY!r})); "
            f"sys.argv = ['x', {flag!r}]; runpy.run_module({program!r}, run_name='__main__')"
        )
        run = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        answers.append(run.stdout)
    assert "-h, --help" in answers[0]
    assert answers[0] == answers[1]
    assert "\\b" not in answers[0]
