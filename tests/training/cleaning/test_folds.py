from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.cleaning.tiny_trainings import count_and_score, diverge, exit_at_once
from tests.training.small import INSPECTOR, NETWORK, QUICK
from training.cleaning.folds import FoldJob, assign_folds, number_groups, read_scores, run_job
from training.cleaning.workers import run_jobs
from training.errors import Diverged, TooFewImages, WorkerLost
from training.steps import StretchMetrics


def patients_of(sizes: list[int]) -> list[str]:
    """Name the patient of each image: so many images of the first, of the second ..."""
    return [f"patient:{patient}" for patient, size in enumerate(sizes) for _ in range(size)]


def jobs(folder: Path, n: int = 3) -> list[FoldJob]:
    inputs = folder / "inputs.npy"
    np.save(inputs, np.arange(12, dtype=np.float16).reshape(12, 1, 1, 1))
    fold = np.arange(12) % n
    return [
        FoldJob(
            inputs=inputs,
            labels=folder / "labels.npy",
            train=np.flatnonzero(fold != k),
            series=np.flatnonzero(fold != k),
            kinds=np.zeros((fold != k).sum(), np.int64),
            scored=np.flatnonzero(fold == k),
            networks=(NETWORK, INSPECTOR),
            config=QUICK,
            round=1,
            fold=k,
            folder=folder / f"fold{k}",
        )
        for k in range(n)
    ]


def test_groups_are_numbered_from_0() -> None:
    assert number_groups(["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]


def test_no_fold_shares_a_patient_with_another() -> None:
    patients = patients_of([1, 5, 3, 8, 2, 2, 9, 1, 4, 4, 1, 1])
    folds = assign_folds(patients, 4, seed=0)
    places = {name: set(folds[[one == name for one in patients]]) for name in patients}
    assert all(len(place) == 1 for place in places.values())


def test_folds_are_of_nearly_equal_size() -> None:
    sizes = np.random.default_rng(0).integers(1, 12, 60).tolist()
    counts = np.bincount(assign_folds(patients_of(sizes), 4, seed=0))
    assert counts.max() - counts.min() <= 2


def test_folds_follow_from_the_patients_and_the_seed_not_from_the_order() -> None:
    keys = patients_of([3, 3, 3, 3, 5, 5, 1, 1, 1])
    there = dict(zip(keys, assign_folds(keys, 4, seed=0).tolist(), strict=True))
    back = dict(zip(keys[::-1], assign_folds(keys[::-1], 4, seed=0).tolist(), strict=True))
    assert there == back
    assert there != dict(zip(keys, assign_folds(keys, 4, seed=1).tolist(), strict=True))


def test_fewer_patients_than_folds_are_refused_with_a_way_out() -> None:
    with pytest.raises(TooFewImages, match=r"6 images of 3 patients .* 4 folds; .* lower --folds"):
        assign_folds(patients_of([2, 2, 2]), 4, seed=0)


def test_a_finished_job_is_not_repeated(tmp_path: Path) -> None:
    job = jobs(tmp_path)[0]
    run_job(job, count_and_score)
    run_job(job, count_and_score)
    assert (tmp_path / "calls").read_text() == "0"
    assert np.array_equal(read_scores(job), job.scored[:, None])  # type: ignore[arg-type]


def test_a_job_on_other_images_starts_over_in_an_empty_folder(tmp_path: Path) -> None:
    job, other = jobs(tmp_path)[0], jobs(tmp_path, 2)[0]
    run_job(job, count_and_score)
    (job.folder / "checkpoint").touch()
    run_job(other, count_and_score)
    assert (tmp_path / "calls").read_text() == "00"
    assert not (job.folder / "checkpoint").exists()
    assert read_scores(job) is None


def test_damaged_scores_are_computed_again(tmp_path: Path) -> None:
    job = jobs(tmp_path)[0]
    run_job(job, count_and_score)
    (job.folder / "scores.npz").write_bytes(b"PK, but cut short")
    assert read_scores(job) is None
    run_job(job, count_and_score)
    assert read_scores(job) is not None


def test_several_processes_give_the_scores_of_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone, together = jobs(tmp_path / "one"), jobs(tmp_path / "two")
    seen: list[tuple[int, int]] = []

    def on_steps(job: FoldJob, metrics: StretchMetrics | None) -> None:
        seen.append((job.fold, metrics.step if metrics else 0))

    run_jobs(alone, count_and_score, processes=1, on_steps=on_steps)
    assert seen == [(0, 4), (0, 0), (1, 4), (1, 0), (2, 4), (2, 0)]
    seen.clear()
    run_jobs(together, count_and_score, processes=2, on_steps=on_steps)
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(read_scores(a), read_scores(b))  # type: ignore[arg-type]
    for fold in range(3):  # steps first, the end last, whichever fold is faster
        assert [step for number, step in seen if number == fold] == [4, 0]


def test_an_error_in_a_process_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the loss is nan"):
        run_jobs(jobs(tmp_path), diverge, processes=2)


def test_a_process_that_was_killed_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match=r"fold \d in round 1 ended with 9"):
        run_jobs(jobs(tmp_path), exit_at_once, processes=2)


def test_scores_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="not numbers"):
        run_job(jobs(tmp_path)[0], lambda job, _: np.full((len(job.scored), 1), np.nan))


@pytest.mark.heavy
def test_the_trainings_end_with_the_run_that_started_them(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.training.cleaning.test_folds import jobs\n"
        "from tests.training.cleaning.tiny_trainings import wait_for_file\n"
        "from training.cleaning.workers import run_jobs\n"
        "if __name__ == '__main__':\n"
        "    run_jobs(jobs(Path(sys.argv[1])), wait_for_file, processes=2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    root = str(Path(__file__).parents[3])
    run = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, str(script), str(tmp_path)], env=os.environ | {"PYTHONPATH": root}
    )
    pids = [_pid(tmp_path / f"pid{fold}") for fold in range(2)]
    run.kill()
    run.wait()
    for _ in range(600):
        if not any(_is_alive(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError("a training went on alone")


def _pid(path: Path) -> int:
    for _ in range(600):
        if path.exists() and (text := path.read_text()):
            return int(text)
        time.sleep(0.1)
    raise AssertionError(f"{path.name} was not written")


def _is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"
