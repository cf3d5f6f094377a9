"""Measure speed and memory of training and of cleaning: `python -m benchmarks.train --help`.

Each part runs in a process of its own. A training's speed is that of its steps alone: the time of
1 + N steps minus that of 1, after both networks were warmed up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import click

from benchmarks.environment import environment
from benchmarks.processes import tree_pss_bytes
from benchmarks.tables import header, line
from benchmarks.training_parts import PARTS, SEED, Job
from serving.process.resources import usable_cores
from training.writing import json_text

_SAMPLE_S = 0.1  # a look at the pages of a process with torch takes it some milliseconds
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """What one part of a run was measured to take.

    Args:
        name: of the part.
        images: that were read, trained on or scored.
        images_per_s: of them.
        cpu_ms: of computing for each of them, on all cores together.
        peak_mb: the most memory of its process and those it started, together.
        processes: at the most.
    """

    name: str
    images: int
    images_per_s: float
    cpu_ms: float
    peak_mb: float
    processes: int


def measure(name: str, job: Job) -> Part:
    """Run one part in a process of its own, and watch the memory of its process tree.

    Raises:
        click.ClickException: the process ended without an answer.
    """
    import psutil

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(name, job, theirs))
    process.start()
    theirs.close()
    peak, n_most = 0, 1
    while not ours.poll(_SAMPLE_S):
        if process.pid is not None:
            with contextlib.suppress(psutil.Error):
                n_bytes, n = tree_pss_bytes(process.pid)
                peak, n_most = max(peak, n_bytes), max(n_most, n)
    try:
        pace, own_peak = ours.recv()
    except EOFError as error:
        raise click.ClickException(f"the part '{name}' ended without an answer") from error
    finally:
        process.join()
    return Part(
        name=name,
        images=pace.images,
        images_per_s=round(pace.images / pace.seconds, 1),
        cpu_ms=round(1e3 * pace.cpu_s / pace.images, 2),
        peak_mb=round(max(peak, own_peak) / 1e6),
        processes=n_most,
    )


def _work(name: str, job: Job, answer: Connection) -> None:
    pace = PARTS[name](job)
    # Exact, where samples of the tree may miss a short peak.
    found = _PEAK.search(Path("/proc/self/status").read_text())
    answer.send((pace, 1024 * int(found[1]) if found else 0))


def table(parts: Sequence[Part]) -> str:
    """Write markdown."""
    heads = ["part", "images", "images/s", "CPU-ms an image", "peak memory, MB", "processes"]
    lines = header(heads)
    for p in parts:
        paces = (p.images_per_s, p.cpu_ms, p.peak_mb)
        lines.append(line([p.name, str(p.images), *(f"{n:g}" for n in paces), str(p.processes)]))
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--phantoms", default=48, show_default=True, type=click.IntRange(24))
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1), help="To time.")
@click.option("--threads", type=click.IntRange(1), help="Of the CPU; all cores by default.")
@click.option("--parts", "names", default=",".join(PARTS), show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Save here.")
def main(phantoms: int, steps: int, threads: int | None, names: str, path: Path | None) -> None:
    """Train and clean on phantoms for a few steps, with the networks and choices of `fit`.

    \b
    read         decode, window, resize, keep
    autoencoder  steps of the autoencoder
    anatomy      steps of the inspector that learn the tissues alone
    inspector    steps of the inspector that learn everything, planting of faults included
    score        scores of slices by both networks, in torch
    clean        steps of a round's folds, side by side; its memory is that of a round of any length

    Example: python -m benchmarks.train --steps 40
    """  # noqa: D301  # click wants the backspace itself
    chosen = names.split(",")
    if unknown := set(chosen) - set(PARTS):
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    from training.phantoms.phantom import write_phantoms

    with tempfile.TemporaryDirectory(prefix="bench-train-") as name:
        folder = Path(name)
        job = Job(folder, steps, threads or usable_cores())
        list(write_phantoms(folder / "dicom", phantoms, SEED, masks=folder / "masks"))
        found = [measure(part, job) for part in chosen]
    click.echo(f"{phantoms} phantoms, {steps} steps of 16, {job.threads} threads\n")
    click.echo(table(found))
    if path:
        document = environment() | {"phantoms": phantoms, "steps": steps, "threads": job.threads}
        document["parts"] = [asdict(part) for part in found]
        path.write_text(json_text(document) + "\n", "utf-8")


if __name__ == "__main__":
    main()
