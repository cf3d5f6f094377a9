"""Measure one contender once: start it, drive it, read what it used, stop it."""

from __future__ import annotations

import http.client
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.client import HOST, upload
from benchmarks.contenders.starting import Contender
from benchmarks.driver import Load, bottleneck, drive
from benchmarks.load import Batches, read_batches
from benchmarks.processes import (
    Server,
    busy_cores_s,
    free_port,
    running,
    tree_cpu_s,
    tree_pss_bytes,
)

# The runtimes differ in the last digits (model/runtime.py), pydicom and we in none.
SAME_MSE = 1e-3
_WARM_CLIENTS = 8
_BURST_CLIENTS = 64

Row = dict[str, object]


@dataclass(frozen=True)
class Plan:
    """What is measured of each contender.

    Args:
        files: paths by the name of their set.
        loads: (name of a set, clients), one after the other.
        burst_files: name of the set that the burst sends.
        seconds: of each load.
        warm_s: before the first one.
        burst_s: how long 64 clients send between two looks at a lone one.
    """

    files: Mapping[str, Sequence[Path]]
    loads: Sequence[tuple[str, int]]
    burst_files: str
    seconds: float
    warm_s: float
    burst_s: float


@dataclass
class Results:
    """Everything measured, a row each."""

    loads: list[Row]
    starts: list[Row]
    bursts: list[Row]


def start_alone(
    contender: Contender, plan: Plan, number: int, results: Results
) -> dict[str, float]:
    """Measure start and memory with one worker; ask for each file once, before anything is timed.

    Returns:
        The reconstruction MSE of each file, where the contender gives those of the released model.

    Raises:
        ClickException: a file is not answered with 200.
    """
    with _started(contender, 1, number, results) as (server, start):
        scores = {}
        for path in (path for paths in plan.files.values() for path in paths):
            answer = ask(server.port, path.read_bytes(), contender.title)
            scores[str(path)] = float(answer["reconstruction_mse"])
        paths = next(iter(plan.files.values()))
        drive(server.port, list(paths), [(_WARM_CLIENTS, plan.seconds)])
        _add_memory(start, server)
    return scores if contender.gives_scores else {}


def play(contender: Contender, plan: Plan, workers: int, number: int, results: Results) -> None:
    """Drive a contender with every load, and with a burst before those of many clients.

    Not after them: the stock path makes a lone client wait for minutes.
    """
    with _started(contender, workers, number, results) as (server, start):
        for warming in plan.files.values():
            drive(server.port, list(warming), [(_WARM_CLIENTS, plan.warm_s)])
        where: Row = {"contender": contender.name, "round": number}

        def add_loads(chosen: Iterable[tuple[str, int]]) -> None:
            for files, clients in chosen:
                load = _load(server, list(plan.files[files]), clients, plan.seconds)
                results.loads.append(where | {"files": files} | load)

        add_loads(load for load in plan.loads if load[1] == 1)
        results.bursts.append(where | _burst(server, plan))
        add_loads(load for load in plan.loads if load[1] > 1)
        _add_memory(start, server)


def ask(port: int, file: bytes, who: str) -> dict[str, float]:
    """Post one file.

    Raises:
        ClickException: the answer is not 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    head, _, body = upload(file).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    try:
        connection.request("POST", "/predict", body, dict(line.split(": ", 1) for line in lines))
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise click.ClickException(f"{who} answers a file with {answer.status}: {text[:200]!r}")
    found: dict[str, float] = json.loads(text)
    return found


def check_scores(scores: Mapping[str, Mapping[str, float]]) -> None:
    """Compare what contenders answered to the same files.

    Args:
        scores: contender -> file -> reconstruction MSE.

    Raises:
        ClickException: two do not compute the same.
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
def _started(
    contender: Contender, workers: int, number: int, results: Results
) -> Iterator[tuple[Server, Row]]:
    """Start a contender; add a row for its start, which the block completes."""
    port = free_port()
    environ = contender.environ(workers)
    with running(contender.command(port, workers), port, environ=environ) as server:
        row: Row = {"contender": contender.name, "round": number, "workers": workers}
        row["ready_s"] = round(server.ready_s, 3)
        results.starts.append(row)
        yield server, row


def _add_memory(row: Row, server: Server) -> None:
    memory, processes = tree_pss_bytes(server.pid)
    row |= {"pss_mb": round(memory / 1e6, 1), "processes": processes}


def _load(server: Server, paths: list[Path], clients: int, seconds: float) -> Row:
    """Drive a server once."""
    batches, cpu, others = read_batches(server.port), tree_cpu_s(server.pid), _others_cpu_s(server)
    began = time.perf_counter()
    (load,) = drive(server.port, paths, [(clients, seconds)])
    took = time.perf_counter() - began
    cpu, others = tree_cpu_s(server.pid) - cpu, _others_cpu_s(server) - others
    n_asked = load.requests + sum(load.errors.values())
    return {
        **asdict(load),
        "server_cpu_ms": round(cpu * 1e3 / n_asked, 3) if n_asked else 0.0,
        "others_cores": round(max(0.0, others) / took, 2),
        **_batches(server.port, batches),
        "not_quoted": bottleneck(load),
    }


def _others_cpu_s(server: Server) -> float:
    """Seconds of computing that neither the server nor we, generators included, have used."""
    used = os.times()
    ours = used.user + used.system + used.children_user + used.children_system
    return busy_cores_s() - tree_cpu_s(server.pid) - ours


def _batches(port: int, before: Batches) -> Row:
    now = read_batches(port)
    return dict(now.since(before)) if now != Batches() else {}


def _burst(server: Server, plan: Plan) -> Row:
    """Compare a lone client before and right after many, without a pause between."""
    phases = [(1, plan.seconds), (_BURST_CLIENTS, plan.burst_s), (1, plan.seconds)]
    before, burst, after = drive(server.port, list(plan.files[plan.burst_files]), phases)
    return {
        "files": plan.burst_files,
        "clients": _BURST_CLIENTS,
        "seconds": plan.burst_s,
        "before_p50_ms": before.p50_ms,
        "after_p50_ms": after.p50_ms,
        "before_p99_ms": before.p99_ms,
        "after_p99_ms": after.p99_ms,
        "errors": _sum_errors([before, burst, after]),
        "not_quoted": bottleneck(before) or bottleneck(after),
    }


def _sum_errors(loads: Sequence[Load]) -> dict[str, int]:
    total: dict[str, int] = {}
    for load in loads:
        for name, count in load.errors.items():
            total[name] = total.get(name, 0) + count
    return total
