"""Run jobs in processes of their own, several at a time; none of them outlives this process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from training.cleaning.folds import FoldJob, TrainAndScore, run_job
from training.errors import TrainingError, WorkerLost
from training.steps import StretchMetrics

OnSteps = Callable[[FoldJob, StretchMetrics | None], None]


def run_jobs(
    jobs: Sequence[FoldJob],
    train_and_score: TrainAndScore,
    *,
    processes: int,
    on_steps: OnSteps = lambda job, metrics: None,
) -> None:
    """Do all jobs; the scores of each are in its folder afterwards.

    Args:
        jobs: of one round.
        train_and_score: a function that a new process can import, by the name of its module.
        processes: at most so many at a time; with 1, the jobs run in this process.
        on_steps: called with a job and every stretch of its steps, and with None when it is done.

    Raises:
        TrainingError: what a job raised; the others are ended, and finished jobs keep their scores.
        WorkerLost: a process was killed.
    """
    if processes == 1 or len(jobs) == 1:
        for job in jobs:
            run_job(job, train_and_score, partial(on_steps, job))
            on_steps(job, None)
        return
    waiting, running = list(jobs), list[tuple[SpawnProcess, Connection, FoldJob]]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(_start(waiting.pop(0), train_and_score))
            ready = wait([answer for _, answer, _ in running])
            for worker in [worker for worker in running if worker[1] in ready]:
                _, answer, job = worker
                metrics = _receive(*worker)
                if metrics is None:
                    answer.close()
                    running.remove(worker)
                on_steps(job, metrics)
    finally:
        for process, _, _ in running:
            process.kill()
            process.join()


def _start(
    job: FoldJob, train_and_score: TrainAndScore
) -> tuple[SpawnProcess, Connection, FoldJob]:
    # A forked process would inherit locks that torch's threads hold.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, train_and_score, theirs))
    process.start()
    theirs.close()
    return process, ours, job


def _receive(process: SpawnProcess, answer: Connection, job: FoldJob) -> StretchMetrics | None:
    """Receive what the process reports next; None when it is done.

    Raises:
        TrainingError: what the job raised.
        WorkerLost: the process was killed.
    """
    try:
        report: StretchMetrics | TrainingError = answer.recv()
    except (EOFError, OSError):  # its end of the pipe is closed: finished, or killed
        process.join()
        if process.exitcode:
            raise WorkerLost(
                f"the training of fold {job.fold} in round {job.round} ended with"
                f" {process.exitcode}: killed, out of memory, or see above; go on with --resume,"
                " and fewer --threads"
            ) from None
        return None
    if isinstance(report, TrainingError):
        raise report
    return report


def _work(job: FoldJob, train_and_score: TrainAndScore, answer: Connection) -> None:
    """Do the job: what runs in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        run_job(job, train_and_score, answer.send)
    except TrainingError as error:
        answer.send(error)


def _end_with_parent() -> None:
    """End at once when the parent was killed: a run that is resumed must be alone in its folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
