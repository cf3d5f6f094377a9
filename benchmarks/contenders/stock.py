"""The stock path of BentoML: a plain API in front, `bentoml.depends` and `batchable` behind.

The same runner, reading and verdict as SpineAnomaly. Its remedies are those that one can set:
without `runner_connection` 12 to 22 % of the requests were 500 at 16 to 32 clients (bentoml#5540).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.contenders.answers import Answer, answer
from model.runtime import load_calibration
from model.spec import load_spec
from preprocessing import InputSpec, SliceFacts, read_image, to_input
from service import ENVS, SETTINGS, AutoencoderRunner

# BentoML's decorator made a Service of the class; here the class becomes another one.
_Plain = AutoencoderRunner.inner  # type: ignore[attr-defined]
Runner = bentoml.service(
    _Plain,
    envs=ENVS,
    workers=SETTINGS.n_workers,
    traffic={"timeout": SETTINGS.deadline_s},
    runner_connection={"max_requests": 10**9, "max_age": 1e9},
)


@bentoml.service(
    name="stock",
    envs=ENVS,
    workers=SETTINGS.n_workers,
    traffic={"timeout": SETTINGS.deadline_s},
)
class Stock:
    """Read a file, ask the runner in its own process, judge."""

    stored = _Plain.stored
    runner = bentoml.depends(Runner)

    def __init__(self) -> None:
        folder = Path(self.stored.path)
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
