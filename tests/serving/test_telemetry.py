import logging
from collections.abc import Iterator

import pytest

from serving.contract import Prediction
from serving.errors import RequestTooSlow
from serving.problems import Problem
from serving.telemetry import count_prediction, count_refusal, metrics, without_tracebacks

MARKER = "Doe^John"


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """What a worker does to its log, undone at the end."""
    plain = logging.getLogRecordFactory()
    without_tracebacks()
    yield
    logging.setLogRecordFactory(plain)


@pytest.mark.usefixtures("quiet_log")
def test_no_librarys_log_quotes_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("some.library")
    try:
        raise ValueError(MARKER)
    except ValueError as error:
        library.exception("could not read %s", error)
        library.error(f"{error}", exc_info=error)
    library.error("without an exception", stack_info=True)
    assert MARKER not in caplog.text
    assert "Traceback" not in caplog.text
    assert caplog.text.count("an error of some.library: ValueError in tests/serving/") == 2
    assert "without an exception" in caplog.text


def test_a_refusal_is_counted_by_its_code() -> None:
    def count() -> float:
        return float(metrics().refusals.labels("request_too_slow")._value.get())

    before = count()
    count_refusal(Problem.of(RequestTooSlow("too slow")), "an-id")
    assert count() == before + 1


def prediction(*, is_anomaly: bool, in_scope: bool) -> Prediction:
    return Prediction(
        reconstruction_mse=0.0234,
        anomaly_score=1.5,
        p_value=0.03,
        channel="spot",
        is_anomaly=is_anomaly,
        alarm_rate=0.05,
        threshold=None,
        in_scope=in_scope,
        scope_reason=None if in_scope else "the plane is axial; the calibration has only sagittal",
        pooled=False,
        inference_time_ms=5.0,
        frame=1,
        frames=1,
        frames_in_scope=int(in_scope),
        notes=[],
        model="spine_autoencoder:1",
        request_id="an-id",
    )


def test_an_answer_is_counted_by_its_outcome_and_its_p_value_if_in_scope(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("serving.telemetry.log.info", lambda text, *args: lines.append(text % args))

    def counts() -> list[float]:
        found = metrics()
        return [
            *(found.predictions.labels(outcome)._value.get() for outcome in ("anomaly", "normal")),
            found.p_values._sum.get(),
            found.out_of_scope._value.get(),
        ]

    before = counts()
    count_prediction(prediction(is_anomaly=True, in_scope=True))
    count_prediction(prediction(is_anomaly=False, in_scope=False))
    changes = [after - old for after, old in zip(counts(), before, strict=True)]
    assert changes == pytest.approx([1, 1, 0.03, 1])
    assert lines == [
        "request an-id: alarm at alarm_rate 0.05, p 0.0300 by spot, anomaly score 1.50,"
        " mse 0.02340",
        "request an-id: no alarm at alarm_rate 0.05, p 0.0300 by spot, anomaly score 1.50,"
        " mse 0.02340, out of scope",
    ]
