"""How each contender is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.clients import HOST
from benchmarks.processes import HERE
from serving.process.resources import WORKER_ENVIRON, usable_cores


@dataclass(frozen=True)
class Contender:
    """A service that answers POST /predict and GET /readyz.

    Args:
        name: on the command line.
        title: in tables.
        module: what BentoML or uvicorn serves.
        python: an interpreter that has its packages.
        gives_scores: of the released model, so that its answers can be compared.
        extra: variables of its own.
    """

    name: str
    title: str
    module: str
    python: str = sys.executable
    gives_scores: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)

    def command(self, port: int, workers: int, checkout: Path = HERE) -> list[str]:
        """What to run in a checkout."""
        if self.name == "this" and starts_itself(checkout):
            return [self.python, "-m", "serving", "--host", HOST, "--port", str(port)]
        place = [self.module, "--host", HOST, "--port", str(port)]
        if self.name in ("this", "stock"):
            return [self.python, "-m", "bentoml", "serve", *place]
        return [self.python, "-m", "uvicorn", *place, "--workers", str(workers)]

    def environ(self, workers: int) -> dict[str, str]:
        """Variables that it is run with.

        With as many threads in each worker as there are cores, threads would only wait for each
        other; the service uses one (model/runtime.py). TensorFlow chooses for itself, as in the
        original.
        """
        return {
            "SPINE_WORKERS": str(workers),
            "SPINE_DRAIN_S": "0",
            "OMP_NUM_THREADS": str(max(1, usable_cores() // workers)),
            "OPENBLAS_NUM_THREADS": "1",
            **self.extra,
        }


def starts_itself(checkout: Path) -> bool:
    """Return whether `python -m serving` starts production; it used to be `bentoml serve`."""
    return (checkout / "serving" / "process" / "start.py").exists()


def contenders(keras_python: str | None = None) -> dict[str, Contender]:
    """All contenders by name.

    Args:
        keras_python: an interpreter that has TensorFlow; without one its contender is left out.
    """
    folder = "benchmarks.contenders"
    # Allocator and threads as in the service; with the service's batches of 2 it would answer a
    # tenth less, with 100 no more.
    like_ours = {**WORKER_ENVIRON, "SPINE_MAX_BATCH": "8"}
    title = "`bentoml.depends` + `batchable`"
    known = [
        Contender("this", "this service", "service:SpineAnomaly"),
        Contender("stock", title, f"{folder}.stock:Stock", extra=like_ours),
        Contender("fastapi_torch", "FastAPI + torch", f"{folder}.fastapi_torch:app"),
        Contender("floor", "floor: receive, answer", f"{folder}.floor:app", gives_scores=False),
    ]
    if keras_python:
        title, module = "the original's design: FastAPI + Keras", f"{folder}.fastapi_keras:app"
        known.append(Contender("fastapi_keras", title, module, keras_python, gives_scores=False))
    return {contender.name: contender for contender in known}
