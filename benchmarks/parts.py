"""Time where a request's computing goes, stage by stage: `python -m benchmarks.parts --help`.

Every stage is the service's own function, called in turn by one thread, so that the times add up.
The column "request" is what the whole service computes for one in production, driven by one client:
HTTP, the form, the hand-over to its threads and its batcher included.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

# As the service has it for its workers; numpy reads it when it is imported. A second thread that
# waits for small matrices doubles a request's computing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders.starting import contenders
from benchmarks.environment import environment
from benchmarks.load import measure, numbers
from benchmarks.processes import free_port, running
from benchmarks.slices import SYNTAXES, encoded, write
from benchmarks.tables import header, line
from training.writing import json_text

T = TypeVar("T")
Row = dict[str, Any]
Spent = NDArray[np.float64]  # ms of computing and in all of each stage, [len(STAGES), 2]
BATCH = 8
# A batch takes as long as eight requests: one in four laps is enough of them.
_LAPS_A_BATCH = 4
# network: the session alone; scores: what else `AutoencoderRunner.score` does.
STAGES = ("parse", "decode", "resize", "network", "scores", "verdict")
NETWORK, SCORES = STAGES.index("network"), STAGES.index("scores")


@dataclass(frozen=True)
class Case:
    """Files of one size in one transfer syntax."""

    pixels: int
    syntax: str
    files: tuple[bytes, ...]


class Stopwatch:
    """Times of the stages of one lap; decoder processes are included, and a stage may hold another.

    Args:
        clock: seconds of computing; `time.thread_time` for what one thread does.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._children: list[int] = []
        self._spent = np.zeros((len(STAGES), 2))

    def time(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        """Do some work and add what it took to its stage."""
        began = self._now_ms()
        result = work(*args)
        self._spent[STAGES.index(stage)] += self._now_ms() - began
        return result

    def lap(self, n_files: int = 1) -> Spent:
        """Return the times of one of the files that were worked on, and start from zero."""
        spent, self._spent = self._spent / n_files, np.zeros_like(self._spent)
        return spent

    def find_children(self) -> None:
        """From now on, count what the processes compute that this one has started."""
        import psutil

        self._children = [child.pid for child in psutil.Process().children(recursive=True)]

    def _now_ms(self) -> Spent:
        # Linux has a clock of each process, exact where /proc counts hundredths of a second; its
        # number is made of the process id's bits (clock_getcpuclockid).
        children_s = sum(time.clock_gettime(~pid << 3 | 2) for pid in self._children)
        return 1e3 * np.array([self._clock() + children_s, time.perf_counter()])


class Stages:
    """The stages of the service in this process, under a stopwatch.

    Raises:
        ClickException: there is no model, or it is damaged.
    """

    def __init__(self) -> None:
        from model.errors import ModelError
        from model.runtime import load_model
        from model.store.served import choose_served
        from serving.settings import settings

        self.watch = Stopwatch()
        try:
            model = load_model(choose_served(settings().model).folder, settings().runtime)
        except ModelError as error:
            raise click.ClickException(str(error)) from error
        compute = model.compute
        self.model = replace(model, compute=lambda x: self.watch.time("network", compute, x))

    def lap(self, files: Sequence[bytes]) -> Spent:
        """Take files from their bytes to their verdicts, in one batch of the model."""
        from model.judge import judge_scores
        from preprocessing import open_image, to_input

        timed, spec = self.watch.time, self.model.spec
        opened = [timed("parse", open_image, data) for data in files]
        slices = [timed("decode", next, image.slices()) for image in opened]
        x = [timed("resize", to_input, image, spec.input) for image in slices]
        rows = timed("scores", self.model.score, np.stack(x))
        for row, image in zip(rows, slices, strict=True):
            timed("verdict", judge_scores, self.model.calibration, row, image.facts)
        spent = self.watch.lap(len(files))
        spent[SCORES] -= spent[NETWORK]
        return spent


def time_stages(cases: Sequence[Case], laps: int) -> Iterator[Row]:
    """Go through all cases again and again, so that no case has a quiet hour of its own."""
    from rich.console import Console
    from rich.progress import track

    stages, spent = Stages(), defaultdict[tuple[Case, int], list[Spent]](list)
    console = Console(stderr=True)
    order = range(-1, laps)
    for number in track(order, "measuring", console=console, disable=not console.is_terminal):
        for case in cases:
            for batch in (1, BATCH) if number % _LAPS_A_BATCH == 0 else (1,):
                start = number % len(case.files) if batch == 1 else 0
                spent[case, batch].append(stages.lap(case.files[start : start + batch]))
        if number < 0:  # all was warmed up, and the first compressed file started a process
            stages.watch.find_children()
            spent.clear()
    for batch in (1, BATCH):
        for case in cases:
            middle = np.median(spent[case, batch], axis=0).round(3).tolist()
            yield {
                "batch": batch,
                "pixels": case.pixels,
                "syntax": case.syntax,
                "kilobytes": round(sum(map(len, case.files)) / len(case.files) / 1e3, 1),
                "cpu_ms": dict(zip(STAGES, (cpu for cpu, _ in middle), strict=True)),
                "wall_ms": dict(zip(STAGES, (wall for _, wall in middle), strict=True)),
            }


def time_requests(cases: Sequence[Case], seconds: float) -> list[float]:
    """Measure the CPU-ms of a request of each case, with one worker and one client."""
    this, port, found = contenders()["this"], free_port(), []
    with (
        TemporaryDirectory(prefix="parts-") as folder,
        running(this.command(port, 1), port, environ=this.environ(1)) as server,
    ):
        for number, case in enumerate(cases):
            paths = write(case.files, Path(folder, str(number)))
            measure(server, paths, 1, seconds / 4)  # warm
            row = measure(server, paths, 1, seconds)
            if row["errors"] or not row["requests"]:
                raise click.ClickException(f"the run had errors: {row['errors']}")
            found.append(row["server_cpu_ms"])
    return found


def network_share(rows: Iterable[Row], batch: int) -> Row:
    """Compare the network's own time with that of all of `AutoencoderRunner.score`, a slice."""
    spent = [row["cpu_ms"] for row in rows if row["batch"] == batch]
    network = statistics.median(cpu_ms["network"] for cpu_ms in spent)
    runner = statistics.median(cpu_ms["network"] + cpu_ms["scores"] for cpu_ms in spent)
    return {
        "batch": batch,
        "runner_cpu_ms": round(runner, 3),
        "network_cpu_ms": round(network, 3),
        "share": round(network / runner, 3),
    }


def table(rows: Iterable[Row], batch: int) -> str:
    """Write the rows of one size of batch as markdown: ms of computing of one file."""
    request = ["request"] if batch == 1 else []
    lines = header(["pixels", "stored", "kB", *STAGES, "sum", *request, "sum, waiting included"])
    for row in (row for row in rows if row["batch"] == batch):
        spent = [*row["cpu_ms"].values()]
        times = [*spent, sum(spent), *(row[f"{name}_cpu_ms"] for name in request)]
        cells = [f"{row['pixels']} x {row['pixels']}", row["syntax"], f"{row['kilobytes']:.0f}"]
        times.append(sum(row["wall_ms"].values()))
        lines.append(line([*cells, *(f"{ms:.2f}" for ms in times)]))
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--sizes", callback=numbers, default="256,384,432,512,576", help="Pixels a side.")
@click.option("--syntaxes", default=",".join(SYNTAXES))
@click.option("--laps", default=20, type=click.IntRange(1), help="Of each case.")
@click.option("--seconds", default=2.0, type=click.FloatRange(0.1), help="Of requests, each case.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Save here.")
def main(sizes: list[int], syntaxes: str, laps: int, seconds: float, path: Path | None) -> None:
    """Time the stages of requests and of batches of 8 on phantoms, with the store's newest model.

    Example: python -m benchmarks.parts --sizes 432 --syntaxes uncompressed,RLE --laps 40
    """
    names = syntaxes.split(",")
    if unknown := set(names) - set(SYNTAXES):
        raise click.UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(SYNTAXES)}")
    cases = [
        Case(size, name, tuple(encoded(index, size, name) for index in range(BATCH)))
        for size in sizes
        for name in names
    ]
    rows = list(time_stages(cases, laps))
    for row, cpu_ms in zip(rows, time_requests(cases, seconds), strict=False):
        row["request_cpu_ms"] = cpu_ms  # the rows of single requests come first
    shares = [network_share(rows, batch) for batch in (1, BATCH)]
    click.echo(f"A request, ms of computing, medians of {laps} laps\n\n{table(rows, 1)}")
    click.echo(f"\nOne of {BATCH} files in a batch, ms of computing\n\n{table(rows, BATCH)}\n")
    titles = header(["batch", "`AutoencoderRunner.score`, ms a slice", "network", "share"])
    click.echo("\n".join(titles))
    for n, runner, network, share in (one.values() for one in shares):
        click.echo(line([str(n), f"{runner:.2f}", f"{network:.2f}", f"{share:.1%}"]))
    if path:
        document = environment() | {"laps": laps, "rows": rows, "runner": shares}
        path.write_text(json_text(document) + "\n", "utf-8")


if __name__ == "__main__":
    main()
