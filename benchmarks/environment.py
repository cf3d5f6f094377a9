"""Describe what a benchmark ran on: cores, processor, versions; no name of a machine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serving.process.resources import usable_cores

_PACKAGES = ("bentoml", "uvloop", "onnxruntime", "numpy", "torch", "fastapi", "uvicorn", "pydicom")

# Run by an interpreter that may lack this project's packages.
_ASKED = """
import json, sys
from importlib.metadata import distributions
print(json.dumps({d.name: d.version for d in distributions() if d.name in sys.argv[1:]}))
"""


def environment(pythons: Iterable[str] = (), packages: Sequence[str] = ()) -> dict[str, Any]:
    """Describe machine and programs.

    Args:
        pythons: other interpreters that were measured.
        packages: of theirs.
    """
    versions = {"python": platform.python_version()} | _versions(_PACKAGES)
    for python in {*pythons} - {sys.executable}:
        run = subprocess.run(  # noqa: S603 - an interpreter that the user named
            [python, "-c", _ASKED, *packages], capture_output=True, text=True, check=True
        )
        versions |= json.loads(run.stdout)
    return {"cores": usable_cores(), "cpu": _cpu_model(), "versions": versions}


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "unknown")
