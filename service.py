"""The Bento: AutoencoderRunner owns the model, SpineAnomaly answers POST /predict with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.exceptions import ServiceUnavailable
from bentoml.validators import DType

from model.errors import ModelError
from model.runtime import LoadedModel, load_model
from serving.answer import check_alarm_rate, decide, describe_calibration, write_answer
from serving.bento.errors import passes_errors
from serving.bento.image import serving_image
from serving.bento.openapi import page
from serving.bento.served_model import ServedModel
from serving.bento.spine_service import SpineService, check_start, settings_or_exit, worker_envs
from serving.contract import CLIENT, Prediction, PredictRequest
from serving.errors import ModelUnavailable
from serving.http.disconnect import until_disconnect
from serving.pipeline import Judge, score_file, start_batcher
from serving.process.drain import drain
from serving.process.resources import n_workers
from serving.reading import starting_decoders
from serving.telemetry import count_prediction, log

SETTINGS = settings_or_exit()
STORED = ServedModel(SETTINGS.model)
ENVS = worker_envs(STORED)


@bentoml.service(envs=ENVS, traffic={"timeout": SETTINGS.deadline_s})
class AutoencoderRunner:
    """The autoencoder on a CPU: slices in, scores out.

    A service of its own that can be served and scaled alone; SpineAnomaly holds an instance in its
    own process, which costs less a request than `bentoml.depends` (DESIGN: 11-13 against 15-16 ms).
    """

    stored = STORED

    def __init__(self) -> None:
        self.model: LoadedModel | None = None
        try:
            # Raises unless a golden input gives its golden output in this process.
            self.model = load_model(Path(self.stored.path), SETTINGS.runtime)
        except ModelError as error:
            # Not raised: the supervisor would start one dying worker after the other.
            log.critical("never ready: %s", error)

    async def __is_ready__(self) -> bool:
        """True once the golden output was reproduced; for /readyz."""
        return self.model is not None

    @bentoml.api(batchable=True, max_batch_size=max(2, SETTINGS.max_batch))
    def score(self, x: Annotated[np.ndarray, DType("float32")]) -> np.ndarray:
        """Slices [B, 1, S, S] in [0, 1] -> scores, float64 [B, K]; model.json names the columns."""
        if self.model is None:
            raise ServiceUnavailable("the model is damaged or missing; see the server's log")
        return self.model.score(x)


@bentoml.service(
    name="spine_anomaly",
    service_class=SpineService,
    image=serving_image(),
    envs=ENVS,
    workers=n_workers(SETTINGS),
    traffic={"timeout": SETTINGS.deadline_s},
    # A Content-Type is the client's text, and this is a log.
    logging={"access": {"request_content_type": False}},
)
@bentoml.asgi_app(page(asks_key=bool(SETTINGS.api_key)))
class SpineAnomaly:
    """Answer whether a spine MR slice looks unlike the images that the model was trained on.

    It supports a decision; it is not a diagnosis.
    """

    stored = STORED

    @bentoml.on_deployment
    @staticmethod
    def before_serving() -> None:
        """Stop `bentoml serve` before it listens when the model is damaged."""
        check_start(STORED)

    def __init__(self) -> None:
        from serving.process.worker import freeze_heap  # uvicorn: not for the supervisor

        self.tag = str(self.stored.tag)
        with starting_decoders(SETTINGS.decode_threads) as self.decoders:
            runner = AutoencoderRunner()
        self.model = runner.model
        if self.model is not None:
            log.info("%s: %s", self.tag, describe_calibration(self.model.calibration))
        self.batcher = start_batcher(runner.score, SETTINGS)
        freeze_heap()

    async def __is_ready__(self) -> bool:
        """True from the golden output in this process until it drains; for /readyz."""
        return self.model is not None and not drain().has_begun

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Answer what is queued, then stop."""
        await self.batcher.close()
        self.decoders.close()

    @bentoml.api(route="/predict", input_spec=PredictRequest, output_spec=Prediction)
    @passes_errors
    async def predict(
        self, file: bytes, threshold: float | None, alarm_rate: float | None, ctx: bentoml.Context
    ) -> Prediction:
        """Score one DICOM file; of a multi-frame object, its most anomalous frame."""
        if self.model is None:
            raise ModelUnavailable("the model is damaged or missing; see the server's log")
        calibration = self.model.calibration
        check_alarm_rate(alarm_rate, calibration.n_patients)  # before any work
        judge = Judge.of(self.model, threshold)
        score = await until_disconnect(
            score_file(
                *(file, judge, self.batcher, self.decoders, SETTINGS),
                client=ctx.request.scope.get(CLIENT, ""),
            ),
            ctx.request.receive,
        )
        decision = decide(threshold, alarm_rate, calibration, score)
        prediction = write_answer(score, decision, self.tag, ctx.request.scope)
        count_prediction(prediction)
        return prediction
