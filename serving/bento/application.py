"""Put one layer in place of four of BentoML's that cost each request more than they give."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from serving.http.traffic import Traffic

if TYPE_CHECKING:
    from starlette.applications import Starlette

COUNTS = "RunnerTrafficMetricsMiddleware"
TRACES = "OpenTelemetryMiddleware"
LOGS = "AccessLogMiddleware"
TIMES = "TimeoutMiddleware"
# Where BentoML reads its own configuration.
_CONFIGURATIONS = ("BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS", "BENTOML_CONFIG_OVERRIDES")
_BENTO = Path(__file__).parents[3] / "bento.yaml"
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def with_one_layer(app: Starlette, service: str) -> Starlette:
    """Let `Traffic` count, log and time requests in place of BentoML's layers.

    BentoML 1.4.39 counts, traces, logs and times each request in a layer of its own. While nobody
    configures it, its spans go nowhere but into the ends of log lines, which is what is lost here;
    its timer holds 18 kB of a request until its time is up. benchmarks/RESULTS.md has what a
    request costs without them.

    Args:
        app: as BentoML's `to_asgi` makes it, before its first request; changed in place.
        service: its name.
    """
    layers: dict[str, dict[str, Any]] = {
        getattr(layer.cls, "__name__", ""): dict(layer.kwargs) for layer in app.user_middleware
    }
    if COUNTS not in layers:
        return app  # without metrics there is no series to write, but a log and a deadline
    dropped = {COUNTS, LOGS, TIMES}
    if not any(os.environ.get(name) for name in _CONFIGURATIONS):
        dropped.add(TRACES)
    traffic = Middleware(
        Traffic,
        labels=series_labels(service),
        **layers[COUNTS],
        logged=layers.get(LOGS),
        deadline_s=layers.get(TIMES, {}).get("timeout"),
    )
    app.user_middleware[:] = [
        traffic,
        *(each for each in app.user_middleware if getattr(each.cls, "__name__", "") not in dropped),
    ]
    return app


def series_labels(service: str, bento: Path = _BENTO, project: Path = _PROJECT) -> dict[str, str]:
    """The labels of all series: of a Bento its name and version, of a clone the project's version.

    Args:
        service: its name.
        bento: description of the Bento that the code lies in.
        project: description of the project, where the code lies in a clone.
    """
    try:
        text = bento.read_text("utf-8")
    except OSError:
        text = ""
    found = dict(re.findall(r"^(name|version): *['\"]?([^'\"\n]+)", text, re.MULTILINE))
    return {
        "service_name": found.get("name", service),
        "service_version": found.get("version") or _version(project),
        "runner_name": service,
    }


def _version(project: Path) -> str:
    try:
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "not available"
