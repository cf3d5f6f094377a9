"""`python -m benchmarks.parts` measures every stage of every case."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.parts import BATCH, STAGES, Stopwatch
from tests.root import ROOT


@pytest.mark.heavy
def test_every_case_has_every_stage(model_store: Path, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [
            *(sys.executable, "-m", "benchmarks.parts", "--sizes", "64,96"),
            *(
                "--syntaxes",
                "uncompressed,RLE",
                "--laps",
                "1",
                "--seconds",
                "0.3",
                "--json",
                tmp_path / "parts.json",
            ),
        ],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(model_store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "parts.json").read_text())
    cases = [(n, kind) for n in (64, 96) for kind in ("uncompressed", "RLE")]
    for batch in (1, BATCH):
        rows = [row for row in found["rows"] if row["batch"] == batch]
        assert [(row["pixels"], row["syntax"]) for row in rows] == cases
    for row in found["rows"]:
        assert tuple(row["cpu_ms"]) == tuple(row["wall_ms"]) == STAGES
        assert row.get("request_cpu_ms", 1) > 0
        assert ("request_cpu_ms" in row) == (row["batch"] == 1)
        assert row["kilobytes"] > 0
    assert [share["batch"] for share in found["runner"]] == [1, BATCH]
    assert all(0 < share["share"] < 1 for share in found["runner"])
    assert done.stdout.count("| 96 x 96 |") == 4
    assert done.stderr == ""


def test_a_stopwatch_adds_what_a_stage_takes_and_shares_it_among_the_files() -> None:
    ticks = iter([0.0, 1.0, 5.0, 8.0])
    watch = Stopwatch(lambda: next(ticks))
    assert watch.time("decode", divmod, 7, 2) == (3, 1)
    watch.time("decode", int)
    decode = STAGES.index("decode")
    assert watch.lap(4)[decode, 0] == pytest.approx(1000 * (1 + 3) / 4)
    assert not watch.lap().any()
