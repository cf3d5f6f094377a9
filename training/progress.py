"""Show progress with an ETA on stderr: bars on a terminal, else a line each tenth of the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from training.steps import FINAL, Place, Steps, StretchMetrics

if TYPE_CHECKING:
    from training.cleaning.folds import FoldJob
    from training.options import Options
    from training.run import Hooks

Advance = Callable[[int, int], None]


def _bars(left: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        left,
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def track(what: str) -> Iterator[Advance]:
    """Show one bar; yields a function that takes (done, in all)."""
    with _bars(TimeRemainingColumn()) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _TimeLeft(ProgressColumn):
    """The time left for the whole run; empty for reading files, which takes no steps."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def render(self, task: Task) -> Text:
        return Text(describe_time_left(self._steps) if task.fields.get("of_run") else "")


@contextmanager
def track_fit(options: Options) -> Iterator[Hooks]:
    """Show a bar for reading, and one for the steps of all trainings of the run."""
    from training.run import Hooks

    on_cpu = options.device == "cpu"
    steps = Steps(options.config, min(options.config.folds, options.threads) if on_cpu else 1)
    with _bars(_TimeLeft(steps)) as bars:
        printed: tuple[str, int] | None = None
        reading = bars.add_task("reading files", total=None)
        training = bars.add_task("training steps", total=steps.total, of_run=True)

        def take(place: Place, metrics: StretchMetrics | None) -> None:
            steps.take(place, metrics)
            nonlocal printed
            stage, left = describe_place(steps), describe_time_left(steps)
            here = (stage, 10 * steps.done // max(1, steps.total))
            if bars.disable and here != printed:
                printed = here
                done = f"{stage}: {steps.done} of {steps.total} steps"
                click.echo(f"{done}, {left}" if left else done, err=True)
            text = stage + (f", loss {metrics.loss:.4f}" if metrics else "")
            bars.update(training, completed=steps.done, total=steps.total, description=text)

        def on_file(done: int, total: int) -> None:
            bars.update(reading, completed=done, total=total)

        def on_steps(job: FoldJob, metrics: StretchMetrics | None) -> None:
            take((job.round, job.fold), metrics)

        yield Hooks(on_file, on_steps, lambda metrics: take(FINAL, metrics))


def describe_place(steps: Steps) -> str:
    """Name what is trained: a round of the cleaning, or the model itself."""
    if steps.place == FINAL:
        return "training the model"
    if not steps.cleans:
        return "training folds to calibrate"
    at_most = "at most " if steps.is_upper_bound else ""
    return f"cleaning, round {steps.place[0]} of {at_most}{steps.n_rounds}"


def describe_time_left(steps: Steps) -> str:
    """Describe how long the run still takes, in minutes."""
    seconds = steps.seconds_left()
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    at_most = "at most " if steps.is_upper_bound else ""
    return f"{at_most}{minutes} min left" if minutes else "less than a minute left"
