import logging
from collections.abc import Iterator

import pytest

from serving.errors import RequestTooSlow
from serving.problems import Problem
from serving.telemetry import count_refusal, metrics, without_tracebacks

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
