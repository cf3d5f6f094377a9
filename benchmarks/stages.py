"""Take files through the stages of the service in this process, each stage under a stopwatch."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchmarks.client import upload
from benchmarks.stopwatch import Spent, Stopwatch

if TYPE_CHECKING:
    from model.calibration.calibration import Verdict
    from model.runtime import Compute, LoadedModel
    from serving.contract import Prediction, Upload

# As service.py has it for its workers; numpy reads it when it is imported. A second thread that
# waits for small matrices doubles a request's computing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("BENTOML_HOME", str(Path(__file__).parents[1] / ".bentoml"))

T = TypeVar("T")
Lap = dict[str, Spent]

# Of a batch; network: the session alone; scores: what else `AutoencoderRunner.score` does.
BATCH_STAGES = ("parse", "decode", "resize", "network", "scores", "verdict")
STAGES = ("receive", *BATCH_STAGES, "answer")


class Stages:
    """The service in this process, under two stopwatches: of one thread, and of all.

    Raises:
        click.ClickException: there is no model, or it is damaged.
    """

    def __init__(self) -> None:
        import service

        self.watch, self._whole = Stopwatch(), Stopwatch(time.process_time)
        self._anomaly, runner = service.SpineAnomaly(), service.AutoencoderRunner()
        if runner.model is None:
            raise click.ClickException("the store's model cannot be used; import the released one")
        self.model: LoadedModel = runner.model
        runner.model = replace(self.model, compute=self._timed(self.model.compute))
        self._score = runner.score  # BentoML builds this method anew at each access
        # The decorator makes it a Service.
        self._output = service.SpineAnomaly.apis["predict"].output_spec  # type: ignore[attr-defined]
        self._loop = asyncio.new_event_loop()

    def request(self, data: bytes) -> tuple[Lap, Spent]:
        """Take one file from the body of a form to the body of the answer."""
        from serving.answer import decide
        from serving.pipeline import Score

        upload = self.watch.time("receive", receive, *form(data))
        (row,), (verdict,) = self._read_and_score([upload.data])
        score = Score(float(row[0]), verdict, frame=1, frames=1)
        self.watch.time("verdict", decide, None, None, self.model.calibration, score)
        prediction = self._whole.time("service", self._answer, upload)
        self.watch.time("answer", self._encode, type(prediction), prediction.model_dump())
        return self._lap(1), self._whole.lap()["service"]

    def batch(self, files: Sequence[bytes]) -> Lap:
        """Take files from their bytes to their verdicts, in one batch of the model."""
        self._read_and_score(files)
        return self._lap(len(files))

    def find_children(self) -> None:
        """Count the decoder processes too, which the first compressed files have started."""
        self.watch.find_children()
        self._whole.find_children()

    def close(self) -> None:
        """End its threads."""
        self._loop.run_until_complete(self._anomaly.close())
        self._loop.close()

    def _read_and_score(self, files: Sequence[bytes]) -> tuple[Any, list[Verdict]]:
        import numpy as np

        from model.judge import judge_scores
        from preprocessing import open_image, to_input

        spec, time_ = self.model.spec, self.watch.time
        opened = [time_("parse", open_image, data) for data in files]
        slices = [time_("decode", next, image.slices()) for image in opened]
        x = [time_("resize", to_input, image, spec.input) for image in slices]
        rows = time_("scores", self._score, np.stack(x))
        return rows, [
            time_("verdict", judge_scores, self.model.calibration, row, image.facts)
            for row, image in zip(rows, slices, strict=True)
        ]

    def _timed(self, compute: Compute) -> Compute:
        return lambda x: self.watch.time("network", compute, x)

    def _lap(self, n_files: int) -> Lap:
        lap = self.watch.lap(n_files)
        return lap | {"scores": lap["scores"] - lap["network"]}

    def _answer(self, upload: Upload) -> Prediction:
        from starlette.requests import Request

        from serving.contract import REQUEST_ID, UPLOAD

        scope = {"type": "http", REQUEST_ID: "0" * 32, UPLOAD: upload}
        nothing_more: asyncio.Queue[Any] = asyncio.Queue()  # the client stays
        ctx = SimpleNamespace(request=Request(scope, nothing_more.get))
        fields = {"threshold": upload.threshold, "alarm_rate": upload.alarm_rate}
        work = self._anomaly.predict.local(file=upload.data, **fields, ctx=ctx)
        answer: Prediction = self._loop.run_until_complete(work)
        return answer

    def _encode(self, kind: type[Prediction], fields: dict[str, Any]) -> object:
        """Make the answer's body as BentoML does after `predict`."""
        from _bentoml_impl.serde import JSONSerde  # type: ignore[import-untyped]  # untyped

        return finish(self._output.to_http_response(kind(**fields), JSONSerde()))


def form(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and the headers that the load generator sends with a file."""
    head, _, body = upload(data).partition(b"\r\n\r\n")
    fields = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return body, [(name.lower(), value) for name, value in fields]


def receive(body: bytes, headers: list[tuple[bytes, bytes]]) -> Upload:
    """Take the file out of a body as the gate does."""
    from serving.http.gate import read_media_type
    from serving.http.upload import read_upload

    return read_upload(body, *read_media_type(headers), b"", time.perf_counter())


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing, without an event loop's own time."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("it waits for something")
