"""One `fit`, from folders of files to a saved model, in a run folder it can resume from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.calibration.calibration import Calibration
from model.scoring import CHANNELS, COLUMNS, residual_map
from training import release, report
from training.cleaning.audit import AUDIT_TABLE, AuditRow, audit_rows, count_changes, write_audit
from training.cleaning.audit_page import AUDIT_PAGE, write_audit_page
from training.cleaning.clean import Cleaned, Setup, clean, fold_folder
from training.cleaning.fold_training import train_and_score
from training.cleaning.rca import Round
from training.cleaning.workers import OnSteps
from training.data.collection import count_reasons, remarks
from training.data.training_set import TrainingSet
from training.errors import TooDirty
from training.networks import detector
from training.networks.detector import TrainedDetector
from training.options import Options
from training.prepare import Started, start
from training.steps import StretchMetrics
from training.writing import write_json

FINAL = "final"


@dataclass(frozen=True)
class Hooks:
    """Where progress goes; silent by default.

    Args:
        on_file: called with (files read, files in all).
        on_steps: called after every stretch of steps of every fold, and at its end.
        on_stretch: called after every stretch of steps of the final training.
    """

    on_file: Callable[[int, int], None] = lambda done, total: None
    on_steps: OnSteps = lambda job, metrics: None
    on_stretch: Callable[[StretchMetrics], None] = lambda metrics: None


def execute(options: Options, folder: Path, hooks: Hooks | None = None) -> dict[str, Any]:
    """Load, hold out patients, clean, train, calibrate, save; the results are in run.json.

    Args:
        options: what to do.
        folder: of this run; trainings found in it are continued.
        hooks: called with the progress.

    Returns:
        The content of run.json.

    Raises:
        TrainingError: nothing readable, too little or too dirty data, changed data, a loss that is
            not finite.
        ModelError: the model store refused the model.
    """
    hooks, clock = hooks or Hooks(), [time.perf_counter()]
    torch.set_num_threads(options.threads)
    run = start(options, folder, hooks.on_file)
    clock.append(time.perf_counter())
    cleaned = _clean(options, folder, run, hooks)
    kept = run.sources(run.split.train[cleaned.keep])
    # Before the final training, because too few patients may be left for the alarm rate.
    calibration = release.calibrate_kept(
        cleaned.scores[cleaned.keep], kept, options.config.alarm_rate
    )
    clock.append(time.perf_counter())
    trained = _train(options, folder, run, cleaned, hooks)
    clock.append(time.perf_counter())
    result = _release(options, run, cleaned, calibration, trained)
    _draw(folder, cleaned, result["decision"]["threshold"])
    clock.append(time.perf_counter())
    names = ("load", "clean", "train", "save")
    state = run.state | {
        "status": "finished",
        **result,
        "rounds": count_changes(cleaned.rounds),
        "seconds": {
            name: round(after - before, 1)
            for name, before, after in zip(names, clock, clock[1:], strict=False)
        },
    }
    write_json(folder / report.RUN_FILE, state)
    return state


def _clean(options: Options, folder: Path, run: Started, hooks: Hooks) -> Cleaned:
    """Clean, and write the audit even where the cleaning stops and asks."""
    setup = Setup(
        train_and_score=train_and_score,
        n_channels=1 + len(CHANNELS),
        inputs=run.images.path,
        labels=run.labels,
        networks=(options.network, options.inspector),
        config=options.config,
        folder=folder,
        device=options.device,
        threads=options.threads,
    )
    rounds: list[Round] = []
    try:
        cleaned = clean(
            run.split.train, run.members, setup, on_round=rounds.append, on_steps=hooks.on_steps
        )
    except TooDirty:
        _audit(folder, run, rounds, setup)
        raise
    _audit(folder, run, rounds, setup)
    return cleaned


def _audit(folder: Path, run: Started, rounds: Sequence[Round], setup: Setup) -> None:
    """Write audit.csv and audit.html."""
    # The simple loop's only networks that did not see an image are those of the calibration.
    last = len(rounds) + (setup.config.policy == "percentile")
    rows = audit_rows(run.sources(run.split.train), rounds, run.members, COLUMNS)
    write_audit(folder / AUDIT_TABLE, rows)
    pictures = _pictures(rows, run, last, setup)
    reasons = [f"{n}: {reason}" for reason, n in count_reasons(run.images.left_out)]
    not_used = [*remarks(run.images), *reasons]
    write_audit_page(folder / AUDIT_PAGE, rows, rounds, COLUMNS, pictures, not_used=not_used)


def _pictures(
    rows: Sequence[AuditRow], run: Started, last: int, setup: Setup
) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """Read each image and rebuild it by the network that scored it: picture, residual map."""

    @cache
    def of_fold(fold: int) -> TrainedDetector:
        return detector.load_detector(fold_folder(setup.folder, last, fold), setup.networks)

    for row in rows:
        x = np.asarray(run.images.x[run.split.train[row.index]][None], np.float32)
        outputs = of_fold(row.fold).outputs(x)
        yield x[0, 0], residual_map(outputs.x_small, outputs.x_hat)[0, 0]


def _train(
    options: Options, folder: Path, run: Started, cleaned: Cleaned, hooks: Hooks
) -> TrainedDetector:
    """Train the networks that are saved, on the images that cleaning kept."""
    history = report.read_metrics(folder / report.METRICS_FILE)

    def on_stretch(metrics: StretchMetrics) -> None:
        history[metrics.network, metrics.step] = metrics
        report.write_metrics(folder / report.METRICS_FILE, list(history.values()))
        hooks.on_stretch(metrics)

    keep = cleaned.keep
    x, labels = run.images.x, np.load(run.labels, mmap_mode="r", allow_pickle=False)
    data = TrainingSet(
        x, labels, run.split.train[keep], run.members.series[keep], run.members.contrast[keep]
    )
    trained = detector.train_detector(
        data,
        (options.network, options.inspector),
        options.config,
        seed=(options.config.seed, 0, 0),
        folder=folder / FINAL,
        device=options.device,
        on_stretch=on_stretch,
    )
    report.plot_loss(folder / report.LOSS_PLOT, list(history.values()))
    return trained


def _release(
    options: Options,
    run: Started,
    cleaned: Cleaned,
    calibration: Calibration,
    trained: TrainedDetector,
) -> dict[str, Any]:
    """Choose the threshold, measure and save; returns what goes into run.json."""
    keep, holdout = cleaned.keep, run.split.holdout
    kept, n_removed = run.sources(run.split.train[keep]), int((~keep).sum())
    decision = release.decide(cleaned.scores[keep, 0], kept, options.config)
    metrics = release.measure(
        trained.score(run.images.x, holdout), run.sources(holdout), calibration, decision
    )
    tag = release.save(options, trained, (calibration, decision), kept, n_removed, metrics)
    return {
        "model": tag,
        "decision": asdict(decision),
        "calibration": release.describe(calibration),
        "metrics": metrics,
        "n_removed": n_removed,
    }


def _draw(folder: Path, cleaned: Cleaned, threshold: float) -> None:
    before = cleaned.rounds[0].scores if cleaned.rounds else cleaned.scores
    path = folder / report.ERRORS_PLOT
    report.plot_errors(path, before[:, 0], cleaned.scores[:, 0], cleaned.keep, threshold)
