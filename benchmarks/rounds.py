"""Measure one contender once: start it, drive it, read what it used, stop it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.contenders.starting import Contender
from benchmarks.load import ask, bottleneck, drive, measure
from benchmarks.processes import Server, free_port, running, tree_pss_bytes

# The runtimes differ in the last digits (model/runtime.py); pydicom and our reader in none.
SAME_MSE = 1e-3
_WARM_CLIENTS = 8
_BURST_CLIENTS = 64

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured of each contender.

    Args:
        files: paths by the name of their set.
        loads: (name of a set, clients), one after the other.
        burst_files: name of the set that the burst sends.
        seconds: of each load.
        warm_s: before the first one.
        burst_s: how long 64 clients send between two measurements of a single one.
    """

    files: Mapping[str, Sequence[Path]]
    loads: Sequence[tuple[str, int]]
    burst_files: str
    seconds: float
    warm_s: float
    burst_s: float


@dataclass
class Results:
    """Everything measured: of each field the values of all rounds (benchmarks.tables.Record)."""

    loads: list[Row] = field(default_factory=list)
    starts: list[Row] = field(default_factory=list)
    bursts: list[Row] = field(default_factory=list)


def add(records: list[Row], where: Row, measured: Row) -> None:
    """Add what one round measured to the record that `where` identifies."""
    found = next((one for one in records if where.items() <= one.items()), None)
    if found is None:
        records.append(found := dict(where))
    for name, value in measured.items():
        if name not in where:
            found.setdefault(name, []).append(value)


def start_alone(contender: Contender, plan: Plan, results: Results) -> dict[str, float]:
    """Measure start and memory with one worker; ask for each file once, before anything is timed.

    Returns:
        The reconstruction MSE of each file, where the contender gives those of the released model.

    Raises:
        ClickException: a file is not answered with 200.
    """
    with _started(contender, 1, results) as server:
        scores = {}
        for path in (path for paths in plan.files.values() for path in paths):
            answer = ask(server.port, path.read_bytes(), contender.title)
            scores[str(path)] = float(answer["reconstruction_mse"])
        paths = next(iter(plan.files.values()))
        drive(server.port, paths, [(_WARM_CLIENTS, plan.seconds)])
    return scores if contender.gives_scores else {}


def play(contender: Contender, plan: Plan, workers: int, results: Results) -> None:
    """Drive a contender with every load, and with a burst before those of many clients.

    Not after them: the stock path would make a single client wait for minutes.
    """
    with _started(contender, workers, results) as server:
        for warming in plan.files.values():
            drive(server.port, warming, [(_WARM_CLIENTS, plan.warm_s)])

        def add_load(files: str, clients: int) -> None:
            where = {"contender": contender.name, "files": files, "clients": clients}
            add(results.loads, where, measure(server, plan.files[files], clients, plan.seconds))

        for files, clients in plan.loads:
            if clients == 1:
                add_load(files, clients)
        where = {"contender": contender.name, "files": plan.burst_files, "clients": _BURST_CLIENTS}
        add(results.bursts, where, _burst(server, plan))
        for files, clients in plan.loads:
            if clients > 1:
                add_load(files, clients)


def check_scores(scores: Mapping[str, Mapping[str, float]]) -> None:
    """Compare what contenders answered to the same files.

    Args:
        scores: contender -> file -> reconstruction MSE.

    Raises:
        ClickException: two of them compute something different.
    """
    given = {name: found for name, found in scores.items() if found}
    for name, found in given.items():
        for other, others in given.items():
            for path, mse in found.items():
                if not math.isclose(mse, others[path], rel_tol=SAME_MSE):
                    raise click.ClickException(
                        f"{name} and {other} answer {mse} and {others[path]} to the same file:"
                        " they do not do the same work, and nothing was timed"
                    )


@contextmanager
def _started(contender: Contender, workers: int, results: Results) -> Iterator[Server]:
    """Start a contender; record its start, and its memory after the block."""
    port = free_port()
    environ = contender.environ(workers)
    with running(contender.command(port, workers), port, environ=environ) as server:
        yield server
        memory, processes = tree_pss_bytes(server.pid)
        where = {"contender": contender.name, "workers": workers}
        measured = {"ready_s": round(server.ready_s, 3), "pss_mb": round(memory / 1e6, 1)}
        add(results.starts, where, measured | {"processes": processes})


def _burst(server: Server, plan: Plan) -> Row:
    """Compare a single client before and right after many, without a pause in between."""
    phases = [(1, plan.seconds), (_BURST_CLIENTS, plan.burst_s), (1, plan.seconds)]
    before, burst, after = drive(server.port, plan.files[plan.burst_files], phases)
    errors: Counter[str] = sum((Counter(load.errors) for load in (before, burst, after)), Counter())
    return {
        "seconds": plan.burst_s,
        "before_p50_ms": before.p50_ms,
        "after_p50_ms": after.p50_ms,
        "before_p99_ms": before.p99_ms,
        "after_p99_ms": after.p99_ms,
        "errors": dict(errors),
        "not_quoted": bottleneck(before) or bottleneck(after),
    }
