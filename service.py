"""The Bento: AutoencoderRunner owns the model, SpineAnomaly answers POST /predict with it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import bentoml
import numpy as np
from bentoml.exceptions import ServiceUnavailable
from bentoml.validators import DType

from model.errors import ModelError
from model.judge import judge_scores
from model.store.served import names_file
from serving.answer import check_alarm_rate, decide, describe_calibration, write_answer
from serving.bento.errors import passes_errors
from serving.bento.image import serving_image
from serving.bento.openapi import page
from serving.bento.served_model import ServedModel
from serving.contract import REQUEST_ID, UPLOAD, Prediction, PredictRequest
from serving.errors import ModelUnavailable
from serving.http.disconnect import until_disconnect
from serving.pipeline import Decoders, Judge, ModelInput, Row, by_mse, by_p_value, score_file
from serving.process.drain import drain
from serving.process.resources import WORKER_ENVIRON, n_workers
from serving.settings import SettingsError, settings
from serving.telemetry import count_prediction, log, metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from model.runtime import LoadedModel
    from serving.batching import Batcher
    from serving.bento.openapi import OpenAPI

try:
    SETTINGS = settings()
except SettingsError as error:
    sys.exit(f"service: {error}")

STORED = ServedModel(SETTINGS.model)
# BentoML sets these before a worker starts; the operator's own values win.
ENVS = [
    {"name": name, "value": os.environ.get(name, value)} for name, value in WORKER_ENVIRON.items()
]
if os.environ.get("SPINE_MODEL") and not names_file(SETTINGS.model):
    # What a Bento is built with is what its image serves: a stage is decided here, once.
    ENVS.append({"name": "SPINE_MODEL", "value": str(STORED.tag)})


@bentoml.service(envs=ENVS, traffic={"timeout": SETTINGS.deadline_s})
class AutoencoderRunner:
    """The autoencoder on a CPU: slices in, scores out.

    A service of its own that can be served and scaled alone; SpineAnomaly holds an instance in its
    own process, which costs less a request than `bentoml.depends` (DESIGN: 11-13 against 15-16 ms).
    """

    stored = STORED

    def __init__(self) -> None:
        from model.runtime import load_model

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


class SpineService(bentoml.Service[Any]):
    """A BentoML service with one shape for every answer and the whole contract in its OpenAPI."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Wrap BentoML's application; `add_asgi_middleware` would stay inside its metrics."""
        from serving.bento.application import with_one_layer
        from serving.http.envelope import Envelope, known_paths
        from serving.http.gate import Gate
        from serving.process.metrics_folder import count_there
        from serving.process.worker import Worker

        # uvicorn believes X-Forwarded-For of loopback by default, and the log has the address.
        os.environ["FORWARDED_ALLOW_IPS"] = ",".join(SETTINGS.trusted_proxies)
        is_counted = count_there()
        app = with_one_layer(super().to_asgi(is_main), self.name)
        paths = known_paths(app, SETTINGS)
        if not is_counted:
            paths.pop("/metrics", None)
        envelope = Envelope(Gate(app, SETTINGS), paths, SETTINGS, lambda: drain().has_begun)
        return Worker(envelope, SETTINGS)

    @property
    def openapi_spec(self) -> OpenAPI:
        """The OpenAPI document, in place of BentoML's."""
        from serving.bento.openapi import write_document

        return write_document()


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
@bentoml.asgi_app(page())
class SpineAnomaly:
    """Say whether a spine MR slice looks unlike the images that the model was trained on.

    It supports a decision; it is not a diagnosis.
    """

    stored = STORED

    @bentoml.on_deployment
    @staticmethod
    def before_serving() -> None:
        """Stop `bentoml serve` before it listens when the model is damaged."""
        from model.spec import load_spec
        from serving.process.metrics_folder import make_metrics_folder
        from serving.process.preflight import asked_host, warn_if_open, warn_of_unknown_variables

        try:
            load_spec(STORED.folder)
        except ModelError as error:
            sys.exit(f"service: {error}")
        STORED.pin()
        make_metrics_folder()
        warn_of_unknown_variables(os.environ)
        warn_if_open(asked_host(), SETTINGS)

    def __init__(self) -> None:
        from preprocessing.decoding import process as decode_process
        from serving.batching import Batcher
        from serving.process.worker import freeze_heap

        log.info("settings: %s", SETTINGS)
        self.tag = str(self.stored.tag)
        # Two pools: what computes or hangs in a decoder process holds up no uncompressed slice.
        self.decoders = Decoders(SETTINGS.decode_threads)
        with ThreadPoolExecutor(1) as beside:
            # Now, or the first compressed slice waits for it; beside the model, as cores allow.
            starting = beside.submit(decode_process.start)
            runner = AutoencoderRunner()
        try:
            starting.result()
        except decode_process.DecoderUnavailable as error:
            # Not raised: uncompressed slices need no decoder, and each compressed one tries again.
            log.critical("compressed slices get 503: %s", error)
        self.model = runner.model
        if self.model is not None:
            log.info("%s: %s", self.tag, describe_calibration(self.model.calibration))
        score = runner.score  # BentoML builds this method anew at each access
        freeze_heap()
        self.batcher: Batcher[ModelInput, Row] = Batcher(
            lambda slices: list(score(np.stack(slices))),
            max_batch=SETTINGS.max_batch,
            max_queue=SETTINGS.queue,
            on_batch=metrics().batch_size.observe,
        )

    async def __is_ready__(self) -> bool:
        """True from the golden output in this process until it drains; for /readyz."""
        return self.model is not None and not drain().has_begun

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Finish what is queued."""
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
        spec, calibration = self.model.spec, self.model.calibration
        check_alarm_rate(alarm_rate, calibration.n_studies)  # before any work
        judge = Judge(
            spec.input,
            partial(judge_scores, calibration),
            rank=by_p_value if threshold is None else by_mse,
        )
        scope, receive = ctx.request.scope, ctx.request.receive
        score = await until_disconnect(
            score_file(file, judge, self.batcher, self.decoders, SETTINGS), receive
        )
        prediction = write_answer(
            score,
            decide(threshold, alarm_rate, calibration, score),
            model=self.tag,
            request_id=scope[REQUEST_ID],
            received_at=scope[UPLOAD].received_at,
        )
        count_prediction(prediction)
        return prediction
