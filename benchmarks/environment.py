"""Describe what a benchmark ran on: cores, processor, versions; no name of a machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("bentoml", "uvloop", "onnxruntime", "numpy", "torch", "fastapi", "uvicorn", "pydicom")


def environment(pythons: Iterable[str] = (), packages: Sequence[str] = ()) -> dict[str, Any]:
    """Describe machine and programs.

    Args:
        pythons: other interpreters that were measured.
        packages: of theirs.
    """
    versions = {"python": platform.python_version()} | _versions(_PACKAGES)
    for python in {*pythons} - {sys.executable}:
        asked = f"import importlib.metadata as m; print(*map(m.version, {list(packages)}))"
        run = subprocess.run(  # noqa: S603 - an interpreter that the user named
            [python, "-c", asked], capture_output=True, text=True, check=True
        )
        versions |= dict(zip(packages, run.stdout.split(), strict=True))
    return {"cores": cores(), "cpu": _cpu_model(), "versions": versions}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
