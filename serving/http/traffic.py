"""Count, time and log each request as BentoML does, and end it at its deadline."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from timeit import default_timer
from typing import TYPE_CHECKING, Any

from bentoml._internal.context import server_context
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_access_log = logging.getLogger("bentoml.access")


class Traffic(RunnerTrafficMetricsMiddleware):
    """One layer that writes the series and the log lines of BentoML's.

    Args:
        app: what answers.
        namespace: of the series, which the parent registers.
        skip_paths: beginnings of paths: not logged, and no sign of traffic.
        logged: BentoML's settings of the access log; None logs nothing.
        deadline_s: an answer that has not begun by then is a 504.
    """

    def __init__(
        self,
        app: ASGIApp,
        namespace: str,
        skip_paths: list[str],
        logged: dict[str, Any] | None,
        deadline_s: float | None,
    ) -> None:
        super().__init__(app, namespace, skip_paths)
        self._skipped = tuple(skip_paths)
        self._logged = logged
        self._deadline_s = deadline_s
        # Finding a series by its labels takes longer than counting; known paths only come here.
        self._arrival_series = cache(self._find_arrival_series)
        self._answer_series = cache(self._find_answer_series)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI says."""
        if not self._is_setup:
            self._setup()
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

        async def observed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                if not deadline.expired():
                    deadline.reschedule(None)
                start = message
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            took_s = default_timer() - started
            if is_last:
                answers, durations = self._answer_series(path, start["status"])
                answers.inc()
                durations.observe(took_s)
            await send(message)
            if is_last and self._logged is not None and not is_skipped:
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
            # serving/http/envelope.py gives it its words.
            await PlainTextResponse(status_code=504)(scope, receive, observed)
        finally:
            in_progress.dec()

    def _find_arrival_series(self, path: str) -> tuple[Gauge, Gauge]:
        """Requests in progress, time of the last one."""
        labels = _labels()
        return (
            self.metrics_request_in_progress.labels(endpoint=path, **labels),
            self.metrics_last_request_timestamp.labels(**labels),
        )

    def _find_answer_series(self, path: str, status: int) -> tuple[Counter, Histogram]:
        """Answers, their durations."""
        labels = {"endpoint": path, "http_response_code": status, **_labels()}
        return (
            self.metrics_request_total.labels(**labels),
            self.metrics_request_duration.labels(**labels),
        )


def _labels() -> dict[str, str | None]:
    return {
        "service_name": server_context.bento_name,
        "service_version": server_context.bento_version,
        "runner_name": server_context.service_name,
    }


def _exchange(scope: Scope, start: Message, logged: dict[str, Any]) -> tuple[str, str, str]:
    """Client, request and answer as BentoML's access log names them.

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
