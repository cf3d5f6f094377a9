"""Count and log what the service does, without file names or patient data."""

from __future__ import annotations

import logging
import os
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

    from serving.contract import Prediction
    from serving.problems import Problem

# BentoML gives a handler to its own loggers and their children only.
log = logging.getLogger("bentoml.spine")
# Of a production server; BentoML has its own.
_LINE = "%(asctime)s [%(levelname)s] [%(process)d] %(message)s"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": _LINE}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
        }
    },
    "loggers": {"bentoml": {"level": "INFO"}, "uvicorn.error": {"level": "WARNING"}},
    "root": {"level": "WARNING", "handlers": ["stdout"]},
}

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Metrics:
    """The Prometheus collectors of this process."""

    batch_size: Histogram
    predictions: Counter
    refusals: Counter
    stage_seconds: Histogram
    p_values: Histogram
    out_of_scope: Counter


@cache
def metrics() -> Metrics:
    """Register the collectors at the first call.

    prometheus_client decides at its import whether it writes for one process or for many, and
    BentoML sets the variable that it looks at after importing our service: hence the late import.
    """
    from prometheus_client import Counter, Histogram

    return Metrics(
        batch_size=Histogram(
            "spine_batch_size",
            "Slices that went through the model together",
            buckets=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32),
        ),
        predictions=Counter(
            "spine_predictions",
            "Answers to POST /predict: normal, anomaly, or the code of the error",
            ["outcome"],
        ),
        refusals=Counter(
            "spine_refusals",
            "Requests that were answered before they reached the model, by the code of the error",
            ["code"],
        ),
        stage_seconds=Histogram(
            "spine_inference_seconds",
            "Time of a request by stage, waiting for a turn included",
            ["stage"],
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        ),
        # Usual slices fill it evenly: where low values pile up, recalibrate, or look at the images.
        p_values=Histogram(
            "spine_p_value",
            "P-values of the slices that are in scope",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
        ),
        out_of_scope=Counter(
            "spine_out_of_scope", "Slices of a kind that the calibration has none of"
        ),
    )


def metrics_are_gone() -> bool:
    """Whether the folder in which this process counts was removed since it started."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return folder is not None and not Path(folder).is_dir()


def count_prediction(prediction: Prediction) -> None:
    """Count and log an answer; only p-values in scope belong to the spread of usual slices."""
    outcome = "anomaly" if prediction.is_anomaly else "normal"
    metrics().predictions.labels(outcome).inc()
    if prediction.in_scope:
        metrics().p_values.observe(prediction.p_value)
    else:
        metrics().out_of_scope.inc()
    by_rate = prediction.threshold is None
    log.info(
        "request %s: %s at %s %g, p %.4f by %s, anomaly score %.2f, mse %.5f%s",
        *(prediction.request_id, "alarm" if prediction.is_anomaly else "no alarm"),
        *(
            ("alarm_rate", prediction.alarm_rate)
            if by_rate
            else ("threshold", prediction.threshold)
        ),
        *(prediction.p_value, prediction.channel),
        *(prediction.anomaly_score, prediction.reconstruction_mse),
        "" if prediction.in_scope else ", out of scope",
    )


def count_refusal(problem: Problem, request_id: str, *, is_answer: bool = False) -> None:
    """Count and log a request that was refused.

    Args:
        problem: why.
        request_id: that the client was given.
        is_answer: it had reached the model's queue or the decoders.
    """
    counter = metrics().predictions if is_answer else metrics().refusals
    counter.labels(problem.code).inc()
    log.info("request %s refused: %d %s", request_id, problem.status, problem.code)


def log_fault(error: BaseException, request_id: str) -> None:
    """Log an unexpected exception: its type and where in our code it passed, in one line.

    Its text and traceback are left out: libraries quote values that they fail on, and in a DICOM
    file these can be a patient's.
    """
    log.error("request %s failed: %s", request_id, _describe(error))


def without_tracebacks() -> None:
    """Let every log record of this process name an exception as `log_fault` does."""
    plain = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        error = record.exc_info[1] if record.exc_info else None
        record.exc_info = record.exc_text = record.stack_info = None
        if error is not None:
            # The message may quote the exception as well.
            record.msg, record.args = "%s: %s", (f"an error of {record.name}", _describe(error))
        return record

    logging.setLogRecordFactory(factory)


def _describe(error: BaseException) -> str:
    """Return an exception's type and where in our code it passed."""
    places = [
        f"{Path(frame.filename).relative_to(_ROOT)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_ours(Path(frame.filename))
    ]
    return f"{type(error).__name__} in {' > '.join(places[-3:]) or 'a library'}"


def _is_ours(path: Path) -> bool:
    """Whether a file is part of this project and not of its virtual environment."""
    return path.is_relative_to(_ROOT) and ".venv" not in path.parts
