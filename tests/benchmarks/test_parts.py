"""`python -m benchmarks.parts` measures every stage of every case."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parts import BATCH, SYNTAXES, draw
from benchmarks.stages import BATCH_STAGES, STAGES, finish, form, receive
from benchmarks.stopwatch import Spent, Stopwatch
from preprocessing import read_image

ROOT = Path(__file__).parents[2]


def test_every_case_has_every_stage(model_store: Path, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [
            *(sys.executable, "-m", "benchmarks.parts", "--sizes", "64,96"),
            *("--syntaxes", "uncompressed,RLE", "--laps", "1", "--json", tmp_path / "parts.json"),
        ],
        cwd=ROOT,
        env=os.environ | {"BENTOML_HOME": str(model_store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "parts.json").read_text())
    assert [
        (row["batch"], row["pixels"], row["syntax"]) for row in found["rows"] if row["batch"] == 1
    ] == [(1, f"{n} x {n}", kind) for n in (64, 96) for kind in ("uncompressed", "RLE")]
    for row in found["rows"]:
        assert set(row["stages"]) == set(STAGES if row["batch"] == 1 else BATCH_STAGES)
        assert (row["service"] is None) == (row["batch"] == BATCH)
        assert row["kilobytes"] > 0
    assert [share["batch"] for share in found["runner"]] == [1, BATCH]
    assert all(0 < share["share"] < 1 for share in found["runner"])
    assert done.stdout.count("| 96 x 96 |") == 4
    assert done.stderr == ""


def test_the_files_of_a_case_differ_and_hold_the_same_pixels_in_each_syntax() -> None:
    cases = draw(32, list(SYNTAXES))
    assert [case.syntax for case in cases] == list(SYNTAXES)
    for case in cases:
        assert len(set(case.files)) == BATCH
        for file, native in zip(case.files, cases[0].files, strict=True):
            np.testing.assert_array_equal(read_image(file).pixels, read_image(native).pixels)


def test_a_form_is_received_as_the_file_that_was_put_in() -> None:
    assert receive(*form(b"\r\n--not the boundary")).data == b"\r\n--not the boundary"


def test_a_stopwatch_adds_what_a_stage_takes_and_shares_it_among_the_files() -> None:
    ticks = iter([0.0, 1.0, 5.0, 8.0])
    watch = Stopwatch(lambda: next(ticks))
    assert watch.time("decode", divmod, 7, 2) == (3, 1)
    watch.time("decode", int)
    assert watch.lap(4)["decode"].cpu_ms == pytest.approx(1000 * (1 + 3) / 4)
    assert watch.lap() == {}
    assert Spent(3, 4) - Spent(1, 1) == (2, 3)


def test_what_waits_for_something_is_not_taken_for_finished() -> None:
    async def at_once() -> int:
        return 3

    async def never() -> int:
        await asyncio.sleep(0)
        return 3

    assert finish(at_once()) == 3
    with pytest.raises(RuntimeError, match="waits"):
        finish(waiting := never())
    waiting.close()
