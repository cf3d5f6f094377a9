"""`python -m benchmarks.train` measures every part of a training; how fast does not matter here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.training_parts import PARTS
from tests.root import ROOT


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-m", "benchmarks.train", "--phantoms", "24", "--steps", "1", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "names", ["read", pytest.param(",".join(PARTS), marks=pytest.mark.heavy)], ids=["read", "all"]
)
def test_each_part_has_its_pace_and_its_memory(tmp_path: Path, names: str) -> None:
    done = run("--parts", names, "--threads", "2", "--json", str(tmp_path / "train.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "train.json").read_text())
    assert [part["name"] for part in found["parts"]] == names.split(",")
    assert all(part["images"] > 0 and part["peak_mb"] > 0 for part in found["parts"])
    assert done.stdout.count("\n|") == 2 + len(found["parts"])


def test_an_unknown_part_is_named() -> None:
    done = run("--parts", "read,write")
    assert done.returncode == 2
    assert "unknown: write" in done.stderr
