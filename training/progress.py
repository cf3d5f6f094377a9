"""Show progress with an ETA on stderr, and only where a person watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.config import FitConfig
from training.networks.autoencoder import EpochMetrics
from training.run import Hooks

Advance = Callable[[int, int], None]


def _bars() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def track(what: str) -> Iterator[Advance]:
    """Show one bar; yields a function that takes (done, in all)."""
    with _bars() as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def track_fit(config: FitConfig) -> Iterator[Hooks]:
    """Show a bar for reading, one for the folds of a round, one for the last training."""
    with _bars() as bars:
        reading = bars.add_task("reading", total=None)
        cleaning = bars.add_task("cleaning", total=config.folds)
        steps = {"autoencoder": config.steps}
        steps["inspector"] = config.anatomy_steps + config.inspector_steps
        training = bars.add_task("training", total=sum(steps.values()))

        def on_epoch(metrics: EpochMetrics) -> None:
            before = 0 if metrics.network == "autoencoder" else steps["autoencoder"]
            said = f"{metrics.network}, loss {metrics.loss:.4f}"
            bars.update(training, completed=before + metrics.step, description=said)

        def on_fold(number: int, done: int, total: int) -> None:
            said = f"cleaning, round {number}"
            bars.update(cleaning, completed=done, total=total, description=said)

        def on_file(done: int, total: int) -> None:
            bars.update(reading, completed=done, total=total)

        yield Hooks(on_file, on_fold, on_epoch)
