"""Two checkouts, driven in turns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.paired import table
from benchmarks.slices import encoded
from tests.root import ROOT


def row(p50_ms: float, server_cpu_ms: float, requests_per_s: float) -> dict[str, float]:
    return {"p50_ms": p50_ms, "server_cpu_ms": server_cpu_ms, "requests_per_s": requests_per_s}


def test_the_table_holds_medians_ranges_and_the_median_of_the_differences() -> None:
    other = row(10.0, 4.0, 100.0)
    pairs = [(row(11.0, 4.0, 110.0), other), (row(9.0, 5.0, 90.0), other)]
    pairs.append((row(12.0, 6.0, 80.0), other))
    assert table({1: pairs}).splitlines()[2:] == [
        "| 1 | p50, ms | 11.0 (9.00 to 12.0) | 10.0 (10.0 to 10.0) | +1.00 | +10.0% |",
        "| 1 | CPU-ms a request | 5.00 (4.00 to 6.00) | 4.00 (4.00 to 4.00) | +1.00 | +25.0% |",
        "| 1 | requests/s | 90.0 (80.0 to 110) | 100 (100 to 100) | -10.00 | -10.0% |",
    ]


@pytest.mark.heavy
def test_a_checkout_gives_the_same_scores_as_itself(model_store: Path, tmp_path: Path) -> None:
    (tmp_path / "slice.dcm").write_bytes(encoded(1, 256))
    run = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.paired", "--quick", "--other", ROOT, tmp_path],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(model_store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "of 1 files: reconstruction_mse of 1, anomaly_score of 1, p_value of 1" in run.stdout
    assert all(f"| {n} | requests/s | " in run.stdout for n in (1, 32))
