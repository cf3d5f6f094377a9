"""Describe what a benchmark ran on: cores, processor, versions; never the machine's name."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from serving.process.resources import usable_cores

_PACKAGES = (
    *("bentoml", "uvloop", "onnxruntime", "numpy", "torch", "fastapi", "uvicorn", "pydicom"),
    *("tensorflow", "tensorflow_cpu", "keras"),
)
# Run by an interpreter that may lack this project's packages.
_ASKED = """
import json, sys
from importlib.metadata import distributions
found = {d.name: d.version for d in distributions() if d.name in sys.argv[1:]}
print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))
"""


def environment(pythons: Iterable[str] = ()) -> dict[str, Any]:
    """Describe machine and programs.

    Args:
        pythons: other interpreters that were measured; of a package that several have, the
            version of the first is named.
    """
    versions = {"python": platform.python_version()}
    for python in (sys.executable, *pythons):
        run = subprocess.run(  # noqa: S603 - an interpreter that the user named
            [python, "-c", _ASKED, *_PACKAGES], capture_output=True, text=True, check=True
        )
        versions |= {k: v for k, v in json.loads(run.stdout).items() if k not in versions}
    return {"cores": usable_cores(), "cpu": _cpu_model(), "versions": versions}


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, "unknown")
