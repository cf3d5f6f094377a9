"""Build BentoML's application without the layers that cost each request more than they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _bentoml_impl.server.app import (  # type: ignore[import-untyped]
    ServiceAppFactory,
)
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.server.http.access import AccessLogMiddleware
from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.middleware import Middleware

from serving.http.traffic import Traffic

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_REPLACED = (AccessLogMiddleware, TimeoutMiddleware)


class SpineAppFactory(ServiceAppFactory):  # type: ignore[misc]  # BentoML's server is untyped
    """BentoML's factory, with one layer (`Traffic`) in place of four.

    BentoML 1.4.39 counts, traces, logs and times each request in a layer of its own. While
    `tracing` names no exporter its spans go nowhere but into the ends of log lines, which is what
    is lost here; its timer holds 18 kB of a request until its time is up. benchmarks/RESULTS.md
    has what a request costs without them.
    """

    @property
    def middlewares(self) -> list[Middleware]:
        """The layers of the application, the outermost first."""
        layers: list[Middleware] = super().middlewares
        options: dict[Any, dict[str, Any]] = {layer.cls: dict(layer.kwargs) for layer in layers}

        def traffic(app: ASGIApp, /, **series: Any) -> ASGIApp:
            return Traffic(
                app,
                **series,
                logged=options.get(AccessLogMiddleware),
                deadline_s=options.get(TimeoutMiddleware, {}).get("timeout"),
            )

        if RunnerTrafficMetricsMiddleware not in options:
            return layers  # without metrics there is no series to write, but a log and a deadline
        kept = []
        for layer in layers:
            cls: Any = layer.cls
            if cls is RunnerTrafficMetricsMiddleware:
                kept.append(Middleware(traffic, **layer.kwargs))
            elif cls not in _REPLACED and (cls is not OpenTelemetryMiddleware or _is_traced()):
                kept.append(layer)
        return kept


def _is_traced() -> bool:
    """Whether the operator wants spans: BentoML's `tracing` names an exporter.

    Its share of sampled requests says nothing: a request that its sender samples is traced at 0.
    """
    return bool(BentoMLContainer.tracing.exporter_type.get())
