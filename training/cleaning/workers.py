"""Run jobs in processes of their own, several at a time, none of which outlives this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from training.cleaning.folds import FoldJob, TrainAndScore, run_job
from training.errors import TrainingError, WorkerLost

OnDone = Callable[[int, int], None]


def run_jobs(
    jobs: Sequence[FoldJob],
    train_and_score: TrainAndScore,
    *,
    processes: int,
    on_done: OnDone = lambda done, total: None,
) -> None:
    """Do all jobs; what each found is in its folder afterwards.

    Args:
        jobs: of one round.
        train_and_score: a function that a new process can import, by the name of its module.
        processes: at most so many at a time; 1 works in this process.
        on_done: called with (jobs done, jobs in all).

    Raises:
        TrainingError: what a job raised; the others are ended, and those done stay done.
        WorkerLost: a process was killed.
    """
    if processes == 1 or len(jobs) == 1:
        for done, job in enumerate(jobs, 1):
            run_job(job, train_and_score)
            on_done(done, len(jobs))
        return
    waiting, running, done = list(jobs), list[tuple[SpawnProcess, Connection, FoldJob]](), 0
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(_start(waiting.pop(0), train_and_score))
            ended = wait([process.sentinel for process, _, _ in running])
            for worker in [worker for worker in running if worker[0].sentinel in ended]:
                running.remove(worker)
                _finish(*worker)
                done += 1
                on_done(done, len(jobs))
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


def _finish(process: SpawnProcess, answer: Connection, job: FoldJob) -> None:
    """Raise what the job raised."""
    process.join()
    error = None
    try:
        if answer.poll():
            error = answer.recv()
    except EOFError:
        pass  # it ended without an answer: done, or lost
    answer.close()
    if error is not None:
        raise error
    if process.exitcode:
        raise WorkerLost(
            f"the training of fold {job.fold} in round {job.round} ended with"
            f" {process.exitcode}: killed, out of memory, or see above; go on with --resume,"
            " and fewer --threads"
        )


def _work(job: FoldJob, train_and_score: TrainAndScore, answer: Connection) -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The function's module has imported torch by now, if it needs it: seconds, for each process.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(job.threads)
    try:
        run_job(job, train_and_score)
    except TrainingError as error:
        answer.send(error)


def _end_with_parent() -> None:
    """End at once when the parent was killed: a run that is resumed must be alone in its folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
