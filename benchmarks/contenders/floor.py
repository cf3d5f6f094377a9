"""The floor: the same server receives an upload and answers, but reads no file and has no model."""

from __future__ import annotations

import bentoml

from service import ENVS, SETTINGS, SpineService
from serving.contract import REQUEST_ID, Prediction, PredictRequest
from serving.process import supervisor


@bentoml.service(
    name="floor",
    service_class=SpineService,
    envs=ENVS,
    workers=SETTINGS.n_workers,
    traffic={"timeout": SETTINGS.deadline_s},
    logging={"access": {"request_content_type": False}},
)
class Floor:
    """Everything around SpineAnomaly.predict, and nothing in it."""

    @bentoml.on_deployment
    @staticmethod
    def before_serving() -> None:
        """Harden the supervisor as SpineAnomaly does."""
        supervisor.harden(SETTINGS)

    @bentoml.api(route="/predict", input_spec=PredictRequest, output_spec=Prediction)
    async def predict(
        self, file: bytes, threshold: float | None, alarm_rate: float | None, ctx: bentoml.Context
    ) -> Prediction:
        """Answer the same to every file."""
        return Prediction(
            reconstruction_mse=0.01146,
            anomaly_score=0.658,
            p_value=0.648,
            channel="fault",
            is_anomaly=False,
            alarm_rate=0.05,
            threshold=None,
            in_scope=True,
            scope_reason=None,
            pooled=False,
            inference_time_ms=0.0,
            frame=1,
            frames=1,
            model="none",
            request_id=ctx.request.scope[REQUEST_ID],
        )
