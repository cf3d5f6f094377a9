"""Count, time and log each request as BentoML does, and end it at its deadline."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from timeit import default_timer
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse

from serving.contract import RAISED

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_access_log = logging.getLogger("bentoml.access")


# The series of one namespace, registered at the first call: requests in progress, time of the last
# one, answers, their durations.
_Series = tuple["Gauge", "Gauge", "Counter", "Histogram"]
# Seconds; those of BentoML.
DURATION_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0),
)


@cache
def _series(namespace: str) -> _Series:
    from prometheus_client import Counter, Gauge, Histogram  # late: see serving/telemetry.py

    labels = ["service_name", "service_version", "runner_name"]
    answers = ["endpoint", *labels, "http_response_code"]
    return (
        Gauge(
            "request_in_progress",
            "Requests that are being answered",
            ["endpoint", *labels],
            namespace=namespace,
            multiprocess_mode="livesum",
        ),
        Gauge(
            "last_request_timestamp_seconds",
            "When the last request came, probes left out",
            labels,
            namespace=namespace,
            multiprocess_mode="max",
        ),
        Counter("request_total", "Answers", answers, namespace=namespace),
        Histogram(
            "request_duration_seconds",
            "Time from a request's head to the end of its answer",
            answers,
            namespace=namespace,
            buckets=DURATION_BUCKETS,
        ),
    )


class Traffic:
    """One layer that writes the series and the log lines of BentoML's.

    Args:
        app: what answers.
        labels: of each series.
        namespace: of the series.
        skip_paths: beginnings of paths: not logged, and no sign of traffic.
        logged: BentoML's settings of the access log; None logs nothing.
        deadline_s: an answer that has not begun by then is a 504.
    """

    def __init__(
        self,
        app: ASGIApp,
        labels: dict[str, str],
        namespace: str,
        skip_paths: list[str],
        logged: dict[str, Any] | None,
        deadline_s: float | None,
    ) -> None:
        self.app = app
        self._labels = labels
        self._namespace = namespace
        self._skipped = tuple(skip_paths)
        self._logged = logged
        self._deadline_s = deadline_s
        # Finding a series by its labels takes longer than counting; known paths only come here.
        self._arrival_series = cache(self._find_arrival_series)
        self._answer_series = cache(self._find_answer_series)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI says."""
        if scope["type"] == "lifespan":
            self._open()
        path = scope.get("path", "")
        if scope["type"] != "http" or path == "/metrics":
            await self.app(scope, receive, send)
            return
        in_progress, last_request = self._arrival_series(path)
        is_skipped = path.startswith(self._skipped)
        if not is_skipped:
            last_request.set_to_current_time()
        started = default_timer()
        start: Message = {}
        is_logged = self._logged is not None and not is_skipped

        async def observed(message: Message) -> None:
            nonlocal start, is_logged
            if message["type"] == "http.response.start":
                if not deadline.expired():
                    deadline.reschedule(None)
                start = message
                # The envelope logs it, and answers with another body than this one.
                is_logged = is_logged and RAISED not in scope
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            took_s = default_timer() - started
            if is_last:
                answers, durations = self._answer_series(path, start["status"])
                answers.inc()
                durations.observe(took_s)
            await send(message)
            if is_last and is_logged and self._logged is not None:
                _access_log.info(
                    "%s (%s) (%s) %.3fms", *_exchange(scope, start, self._logged), took_s * 1e3
                )

        in_progress.inc()
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                await self.app(scope, receive, observed)
        except TimeoutError:
            if start or not deadline.expired():
                raise
            # serving/http/envelope.py writes its body.
            await PlainTextResponse(status_code=504)(scope, receive, observed)
        finally:
            in_progress.dec()

    def _open(self) -> None:
        """Create a series of each kind, and with it its file: the folder may be gone later.

        A rate needs a zero before the first answer.
        """
        self._arrival_series("/predict")
        for status in (200, 500):
            self._answer_series("/predict", status)

    def _find_arrival_series(self, path: str) -> tuple[Gauge, Gauge]:
        """Return the gauges of requests in progress and of the last one's time."""
        in_progress, last_request, _, _ = _series(self._namespace)
        return (
            in_progress.labels(endpoint=path, **self._labels),
            last_request.labels(**self._labels),
        )

    def _find_answer_series(self, path: str, status: int) -> tuple[Counter, Histogram]:
        """Return the counter of answers and the histogram of their durations."""
        _, _, answers, durations = _series(self._namespace)
        labels = {"endpoint": path, "http_response_code": str(status), **self._labels}
        return answers.labels(**labels), durations.labels(**labels)


def _exchange(scope: Scope, start: Message, logged: dict[str, Any]) -> tuple[str, str, str]:
    """Return client, request and answer as BentoML's access log names them.

    Args:
        scope: of the request.
        start: the message that began the answer.
        logged: which of lengths and types are named.
    """

    def fields(side: str, headers: list[tuple[bytes, bytes]]) -> str:
        values = dict(headers)
        return "".join(
            f",{name}={values.get(header, b'').decode('latin-1')}"
            for name, header in (("type", b"content-type"), ("length", b"content-length"))
            if logged[f"has_{side}_content_{name}"]
        )

    client = scope.get("client")
    return (
        f"{client[0]}:{client[1]}" if client else "_",
        f"scheme={scope['scheme']},method={scope['method']},path={scope['path']}"
        + fields("request", scope["headers"]),
        f"status={start['status']}" + fields("response", start["headers"]),
    )
