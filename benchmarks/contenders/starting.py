"""How each contender is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from serving.process.resources import usable_cores


@dataclass(frozen=True)
class Contender:
    """A service that answers POST /predict and GET /readyz.

    Args:
        name: on the command line.
        title: in tables.
        module: what BentoML or uvicorn serves.
        is_bento: served by BentoML.
        python: interpreter that has what it needs.
        gives_scores: of the released model, so that its answers can be compared.
        max_batch: of its runner; 0 leaves the service's own.
    """

    name: str
    title: str
    module: str
    is_bento: bool = True
    python: str = sys.executable
    gives_scores: bool = True
    max_batch: int = 0

    def command(self, port: int, workers: int) -> list[str]:
        """What to run."""
        place = ["--host", "127.0.0.1", "--port", str(port)]
        if self.is_bento:
            bentoml = [self.python, "-m", "bentoml", "serve", self.module, *place]
            return [*bentoml, "--timeout-graceful-shutdown", "25"]
        return [self.python, "-m", "uvicorn", self.module, *place, "--workers", str(workers)]

    def environ(self, workers: int) -> dict[str, str]:
        """Variables that it is run with.

        As many threads of each worker as there are cores would only wait for one another; the
        service uses one (model/runtime.py). TensorFlow keeps its own choice, as in the original.
        """
        threads = max(1, usable_cores() // workers)
        batch = {"SPINE_MAX_BATCH": str(self.max_batch)} if self.max_batch else {}
        return {
            **batch,
            "SPINE_WORKERS": str(workers),
            "OMP_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": "1",
        }


def contenders(keras_python: str | None = None) -> dict[str, Contender]:
    """All contenders by name.

    Args:
        keras_python: an interpreter that has TensorFlow; without one its contender is left out.
    """
    folder = "benchmarks.contenders"
    known = [
        Contender("this", "this service", "service:SpineAnomaly"),
        # With batches of 2, which suit the service, it answers a tenth less; with 100 no more.
        Contender("stock", "`bentoml.depends` + `batchable`", f"{folder}.stock:Stock", max_batch=8),
        Contender(
            "fastapi_torch", "FastAPI + torch", f"{folder}.fastapi_torch:app", is_bento=False
        ),
        Contender(
            "floor",
            "floor: receive, answer",
            f"{folder}.floor:Floor",
            gives_scores=False,
        ),
    ]
    if keras_python:
        known.append(
            Contender(
                "fastapi_keras",
                "the original's design: FastAPI + Keras",
                f"{folder}.fastapi_keras:app",
                is_bento=False,
                python=keras_python,
                gives_scores=False,
            )
        )
    return {contender.name: contender for contender in known}
