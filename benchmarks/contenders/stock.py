"""The stock path of BentoML: a plain API in front, `bentoml.depends` and `batchable` behind.

The same model, reading and verdict as SpineAnomaly, and the remedies that BentoML's settings offer:
without `runner_connection` 12 to 22 % of the requests were 500 at 16 to 32 clients (bentoml#5540).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import ContentType, DType

from benchmarks.contenders.answers import Answer, answer
from model.runtime import load_calibration, load_model
from model.spec import load_spec
from model.store.served import choose_served
from preprocessing import InputSpec, SliceFacts, read_image, to_input
from serving.settings import settings

_SETTINGS = settings()
_OPTIONS: dict[str, Any] = {
    "workers": int(os.environ.get("SPINE_WORKERS", "1")),
    "traffic": {"timeout": _SETTINGS.deadline_s},
}


@bentoml.service(runner_connection={"max_requests": 10**9, "max_age": 1e9}, **_OPTIONS)
class Runner:
    """The model, in processes of its own."""

    def __init__(self) -> None:
        self.model = load_model(choose_served(_SETTINGS.model).folder, _SETTINGS.runtime)

    @bentoml.api(batchable=True, max_batch_size=_SETTINGS.max_batch)
    def score(self, x: Annotated[np.ndarray, DType("float32")]) -> np.ndarray:
        """Slices [B, 1, S, S] -> scores [B, K]."""
        return self.model.score(x)


@bentoml.service(name="stock", **_OPTIONS)
class Stock:
    """Read a file, ask the runner in its own process, judge."""

    runner = bentoml.depends(Runner)

    def __init__(self) -> None:
        folder = choose_served(_SETTINGS.model).folder
        self.spec = load_spec(folder)
        self.calibration = load_calibration(folder)

    @bentoml.api
    async def predict(self, file: Annotated[Path, ContentType("application/dicom")]) -> Answer:
        """Score one DICOM file."""
        x, facts = await asyncio.to_thread(_prepare, file, self.spec.input)
        scores = await self.runner.to_async.score(x)
        return answer(self.calibration, scores[0], facts)


def _prepare(file: Path, spec: InputSpec) -> tuple[Any, SliceFacts]:
    """Read a file that BentoML wrote: the model's input [1, 1, S, S] and the facts."""
    image = read_image(file.read_bytes())
    return to_input(image, spec)[None], image.facts
