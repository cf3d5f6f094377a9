"""One `fit` from folders to a saved model, in a folder that it can be resumed from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import plain_detector, release, report
from training.audit import AUDIT_TABLE, audit_rows, count_changes, write_audit
from training.audit_page import AUDIT_PAGE, write_page
from training.cleaning import Cleaned, Setup, clean
from training.errors import TooDirty
from training.fit import EpochMetrics, Fitted, fit
from training.folds import IndexArray
from training.options import Options
from training.rca import Round
from training.start import Started, start

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Hooks:
    """Where progress goes; silent by default.

    Args:
        on_file: told (steps done, steps in all) of reading.
        on_fold: told (round, folds done, folds in all) of cleaning.
        on_epoch: told of each epoch of the last training.
    """

    on_file: Callable[[int, int], None] = lambda done, total: None
    on_fold: Callable[[int, int, int], None] = lambda round_number, done, total: None
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None


def execute(options: Options, folder: Path, hooks: Hooks | None = None) -> dict[str, Any]:
    """Load, hold out patients, clean, train, decide, save; the outcomes are in run.json.

    Args:
        options: what to do.
        folder: of this run; trainings found in it are continued.
        hooks: told of progress.

    Returns:
        The content of run.json.

    Raises:
        TrainingError: nothing readable, too little or too dirty data, changed data, a loss out of
            bounds.
        ModelError: the model store refused the model.
    """
    hooks, clock = hooks or Hooks(), [time.perf_counter()]
    torch.set_num_threads(options.threads)
    run = start(options, folder, hooks.on_file)
    clock.append(time.perf_counter())
    cleaned = _clean(options, folder, run, hooks)
    clock.append(time.perf_counter())
    fitted = _train(options, folder, run, run.chosen[cleaned.keep], hooks)
    clock.append(time.perf_counter())
    result = _release(options, folder, run, cleaned, fitted)
    seconds = {
        "load": clock[1] - clock[0],
        "clean": clock[2] - clock[1],
        # Of all epochs, also those before a --resume.
        "train": sum(epoch.seconds for epoch in fitted.history),
        "save": time.perf_counter() - clock[3],
    }
    state = run.state | {
        "status": "finished",
        **result,
        "rounds": count_changes(cleaned.rounds),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    report.write_json(folder / report.RUN_FILE, state)
    return state


def _clean(options: Options, folder: Path, run: Started, hooks: Hooks) -> Cleaned:
    """Clean, and leave the audit also where the cleaning stops with a question."""
    setup = Setup(
        train_and_score=plain_detector.train_and_score,
        columns=plain_detector.COLUMNS,
        n_channels=len(plain_detector.COLUMNS),
        network=options.network,
        config=options.config,
        folder=folder,
        device=options.device,
        threads=options.threads,
    )
    rounds: list[Round] = []
    try:
        cleaned = clean(
            run.images.path,
            run.chosen,
            run.members,
            setup,
            on_round=rounds.append,
            on_fold=hooks.on_fold,
        )
    except TooDirty:
        _audit(folder, run, rounds, setup)
        raise
    _audit(folder, run, rounds, setup)
    return cleaned


def _audit(folder: Path, run: Started, rounds: Sequence[Round], setup: Setup) -> None:
    """Write audit.csv and audit.html."""
    rows = audit_rows(run.sources(run.chosen), rounds, run.members, setup.columns)
    write_audit(folder / AUDIT_TABLE, rows)
    places = [int(run.chosen[row.index]) for row in rows]
    pictures = (run.images.x[place, 0] for place in places)
    maps = (None for _ in places)
    write_page(folder / AUDIT_PAGE, rows, rounds, setup.columns, zip(pictures, maps, strict=True))


def _train(options: Options, folder: Path, run: Started, kept: IndexArray, hooks: Hooks) -> Fitted:
    """Train the network that is saved, on what cleaning kept."""
    history: list[EpochMetrics] = []

    def on_epoch(metrics: EpochMetrics) -> None:
        history.append(metrics)
        report.write_metrics(folder / report.METRICS_FILE, history)
        hooks.on_epoch(metrics)

    return fit(
        run.images.x[np.intersect1d(kept, run.split.train)].astype(np.float32),
        run.images.x[run.split.validation].astype(np.float32),
        options.network,
        options.config,
        device=options.device,
        checkpoint=folder / CHECKPOINTS / "final.safetensors",
        on_epoch=on_epoch,
    )


def _release(
    options: Options, folder: Path, run: Started, cleaned: Cleaned, fitted: Fitted
) -> dict[str, Any]:
    """Decide, measure, save and draw; returns what run.json says of it."""
    kept, n_removed = run.sources(run.chosen[cleaned.keep]), int((~cleaned.keep).sum())
    decision = release.decide(cleaned.scores[cleaned.keep, 0], kept, options.config)
    metrics = release.measure(
        fitted.network,
        run.images.x[run.split.holdout].astype(np.float32),
        run.sources(run.split.holdout),
        decision,
    )
    tag = release.save(options, fitted.network, kept, n_removed, decision, metrics)
    report.plot_loss(folder / report.LOSS_PLOT, fitted.history)
    before = cleaned.rounds[0].scores if cleaned.rounds else cleaned.scores
    report.plot_errors(
        folder / report.ERRORS_PLOT,
        before[:, 0],
        cleaned.scores[:, 0],
        cleaned.keep,
        decision.threshold,
    )
    return {
        "model": tag,
        "decision": asdict(decision),
        "metrics": metrics,
        "n_removed": n_removed,
    }
