"""Define what POST /predict takes and answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from starlette.requests import Request

THRESHOLD_DESCRIPTION = "is_anomaly is reconstruction_mse > threshold, and no alarm rate decides"
ALARM_RATE_DESCRIPTION = (
    "is_anomaly is p_value <= alarm_rate: the share of usual slices that may be called anomalies;"
    " without it and without a threshold the model's own rate decides"
)
# What a request's ASGI scope holds of ours.
REQUEST_ID = "spine.request_id"
UPLOAD = "spine.upload"
RAISED = "spine.raised"
CLIENT = "spine.client"  # the digest of its key, or the network of its address


@dataclass(frozen=True)
class Upload:
    """A request to POST /predict, received and parsed; the gate leaves it at scope[UPLOAD].

    Args:
        data: the file.
        threshold: of the MSE, as asked for; None where it is not to decide.
        alarm_rate: as asked for, in (0, 1); None where the model's own or the threshold decides.
        received_at: `time.perf_counter` when the last byte had come.
    """

    data: bytes
    threshold: float | None
    alarm_rate: float | None
    received_at: float


class Prediction(BaseModel):
    """The answer to one file."""

    reconstruction_mse: float = Field(description="mean squared reconstruction error, >= 0")
    anomaly_score: float = Field(
        description="the largest -log10 of the share of usual slices that score as high or higher"
        " on a channel; >= 0, higher is worse, comparable across slices"
    )
    p_value: float = Field(
        description="how often a usual slice has such an anomaly score or a higher one, (0, 1]"
    )
    channel: str = Field(description="the channel that gave the anomaly score")
    is_anomaly: bool = Field(
        description="p_value <= alarm_rate, or reconstruction_mse > threshold where one was asked"
    )
    alarm_rate: float | None = Field(description="the one that decided; null if a threshold did")
    threshold: float | None = Field(description="the one that decided; null if an alarm rate did")
    in_scope: bool = Field(description="the calibration has slices of this kind")
    scope_reason: str | None = Field(description="why it has none; null if it has")
    pooled: bool = Field(
        description="compared with other kinds of slices too: fewer than 60 patients have this one"
    )
    inference_time_ms: float = Field(description="from the received body to this answer")
    frame: int = Field(
        description="the most anomalous frame in scope, which this answers for; 1-based"
    )
    frames: int = Field(description="frames in the file")
    frames_in_scope: int = Field(description="how many of them are in scope")
    notes: list[str] = Field(
        description="what was assumed of this frame or could not be used, such as a malformed"
        " spacing; usually empty"
    )
    model: str = Field(description="tag in the model store")
    request_id: str = Field(description="also in the header X-Request-ID")


class PredictRequest(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's SDK is untyped
    """The fields as OpenAPI and BentoML's clients see them."""

    file: Annotated[Path, ContentType("application/dicom")] = Field(
        description="one DICOM file: a spine MR slice, or a multi-frame object"
    )
    threshold: float | None = Field(default=None, ge=0, description=THRESHOLD_DESCRIPTION)
    alarm_rate: float | None = Field(default=None, gt=0, lt=1, description=ALARM_RATE_DESCRIPTION)

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> PredictRequest:
        """Take what the gate parsed, in place of BentoML's parser.

        BentoML's parser writes a temporary file named by the client, fetches URLs and has no limit
        of size.
        """
        upload: Upload = request.scope[UPLOAD]
        parsed: PredictRequest = cls.model_construct(
            file=upload.data, threshold=upload.threshold, alarm_rate=upload.alarm_rate
        )
        return parsed
