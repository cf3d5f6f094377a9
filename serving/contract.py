"""Define what POST /predict takes and answers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel, Field

from serving.errors import (
    BadAlarmRate,
    BadThreshold,
    MissingFile,
    NotAnUpload,
    RepeatedFile,
    RequestError,
    UnexpectedFile,
)
from serving.http.gate import FORM, RECEIVED, Received
from serving.http.multipart import Part, parse_multipart

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request

THRESHOLD_DESCRIPTION = "is_anomaly is reconstruction_mse > threshold, and no alarm rate decides"
ALARM_RATE_DESCRIPTION = (
    "is_anomaly is p_value <= alarm_rate: the share of usual slices that may be called anomalies;"
    " without it and without a threshold the model's own rate decides"
)
# One way only to match any text: `\d+\.?\d*` would try each split of a long run of digits.
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# A double's shortest form has 24 characters at most.
_MAX_NUMBER_LENGTH = 64


@dataclass(frozen=True)
class Upload:
    """A request that was received completely.

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
        description="compared with other kinds of slices too: fewer than 60 studies are of this one"
    )
    inference_time_ms: float = Field(description="from the received body to this answer")
    frame: int = Field(description="the most anomalous frame, which this answers for; 1-based")
    frames: int = Field(description="frames in the file")
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
        """Parse a request whose body serving/http/gate.py received, in place of BentoML's parser.

        BentoML's parser writes a temporary file named by the client, fetches URLs and knows no
        limit of size. Whatever is raised here it would log with a traceback and answer in its own
        way, so an error travels as the value of `file`, and predict answers it.
        """
        upload: Upload | RequestError
        try:
            # Popped: the body can be freed when the file is taken out of it.
            upload = read_upload(request.scope.pop(RECEIVED), request.query_params)
        except RequestError as error:
            upload = error.with_traceback(None)  # whose frames hold the body
        received: PredictRequest = cls.model_construct(file=upload, threshold=None, alarm_rate=None)
        return received


def read_upload(received: Received, query: QueryParams) -> Upload:
    """Take the file and what is to decide from a request.

    Args:
        received: its body.
        query: its query parameters.

    Raises:
        RequestError: the request is not as the contract says.
    """
    texts, rates = query.getlist("threshold"), query.getlist("alarm_rate")
    if received.media_type == FORM:
        parts = parse_multipart(received.body, received.boundary)
        data = bytes(take_file(parts))
        texts += _texts(parts, "threshold")
        rates += _texts(parts, "alarm_rate")
    else:
        data = bytes(received.body)
    threshold, alarm_rate = parse_threshold(texts), parse_alarm_rate(rates)
    if threshold is not None and alarm_rate is not None:
        raise BadAlarmRate("send either an alarm_rate or a threshold; only one can decide")
    return Upload(data, threshold, alarm_rate, received.received_at)


def _texts(parts: list[Part], name: str) -> list[str]:
    """The values of a field that holds text."""
    # One more than is accepted: what is longer stays too long, and no long text is decoded.
    return [
        bytes(part.content[: _MAX_NUMBER_LENGTH + 1]).decode("utf-8", "replace")
        for part in parts
        if part.name == name
    ]


def take_file(parts: list[Part]) -> memoryview:
    """Find the one part that is the file.

    Raises:
        RequestError: it is missing, repeated or text, or a file came in another field.
    """
    named = [part for part in parts if part.name == "file"]
    if not named:
        raise MissingFile("send the DICOM file in the form field 'file'")
    if len(named) > 1:
        raise RepeatedFile(f"send one file a request; the field 'file' came {len(named)} times")
    if any(part.is_file and part.name != "file" for part in parts):
        raise UnexpectedFile("only the field 'file' may hold a file; send one file a request")
    if not named[0].is_file:
        raise NotAnUpload(
            "the field 'file' holds text; upload the bytes of the file (curl: -F file=@slice.dcm)."
            " Paths and URLs are not opened"
        )
    return named[0].content


def parse_threshold(texts: list[str]) -> float | None:
    """Read the threshold, however often and wherever it came.

    Args:
        texts: each value; null, which BentoML's client sends for None, counts as absent.

    Raises:
        BadThreshold: not a finite number of 0 or more, or two that differ.
    """
    return _one_number(texts, "threshold", BadThreshold)


def parse_alarm_rate(texts: list[str]) -> float | None:
    """Read the alarm rate, however often and wherever it came.

    Args:
        texts: each value; null counts as absent.

    Raises:
        BadAlarmRate: not a number above 0 and below 1, or two that differ.
    """
    rate = _one_number(texts, "alarm_rate", BadAlarmRate)
    if rate is not None and not 0 < rate < 1:
        raise BadAlarmRate("alarm_rate must lie above 0 and below 1, such as 0.05")
    return rate


def _one_number(texts: list[str], name: str, error: type[RequestError]) -> float | None:
    """Read one number of 0 or more; float() alone takes '1_0', 'nan' and other scripts' digits."""
    values = set()
    for text in texts:
        if len(text) > _MAX_NUMBER_LENGTH:
            raise error(f"{name} may have {_MAX_NUMBER_LENGTH} characters; shorten it")
        text = text.strip()
        if text == "null":
            continue
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not (math.isfinite(value) and value >= 0):
            raise error(f"{name} must be a finite decimal number of 0 or more, such as 0.02")
        values.add(value + 0.0)  # no negative zero in an answer
    if len(values) > 1:
        raise error(f"{name} came twice with different values; send it once")
    return values.pop() if values else None
