"""Define what POST /predict takes and answers."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel, Field
from python_multipart.multipart import parse_options_header

from serving.errors import (
    BadThreshold,
    BodyTooLarge,
    ClientGone,
    MissingFile,
    NotAnUpload,
    RepeatedFile,
    RequestError,
    UnexpectedFile,
    UnsupportedMediaType,
)
from serving.multipart import Part, parse_multipart
from serving.settings import settings

if TYPE_CHECKING:
    from starlette.requests import Request

FORM = "multipart/form-data"
# A generic type says nothing; what the bytes are is read from the bytes in any case.
RAW = ("application/dicom", "application/octet-stream")
THRESHOLD_DESCRIPTION = (
    "is_anomaly is reconstruction_mse > threshold; without it the model's own threshold decides"
)
# One way only to match any text: `\d+\.?\d*` would try each split of a long run of digits.
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# A double's shortest form has 24 characters at most.
_MAX_THRESHOLD_LENGTH = 64


@dataclass(frozen=True)
class Upload:
    """A request that was received completely.

    Args:
        data: the file.
        threshold: as asked for; None leaves the decision to the model.
        received_at: `time.perf_counter` when the last byte had come.
    """

    data: bytes
    threshold: float | None
    received_at: float


class Prediction(BaseModel):
    """The answer to one file."""

    reconstruction_mse: float = Field(description="mean squared reconstruction error, >= 0")
    is_anomaly: bool = Field(description="reconstruction_mse > threshold")
    inference_time_ms: float = Field(description="from the received body to this answer")
    threshold: float = Field(description="the one that decided")
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

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> PredictRequest:
        """Receive and parse a request; BentoML calls this in place of its own parser.

        BentoML's parser writes a temporary file named by the client, fetches URLs and knows no
        limit of size. Whatever is raised here it would log with a traceback and answer in its own
        way, so an error travels as the value of `file`, and predict answers it.
        """
        upload: Upload | RequestError
        try:
            upload = await receive_upload(request, settings().max_upload_bytes)
        except RequestError as error:
            upload = error
        received: PredictRequest = cls.model_construct(file=upload, threshold=None)
        return received


async def receive_upload(request: Request, max_bytes: int) -> Upload:
    """Read a request's body into memory and take the file and the threshold from it.

    Raises:
        RequestError: the request is not as the contract says.
    """
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    media_type = content_type.decode("latin-1").lower()
    if media_type != FORM and media_type not in RAW:
        raise UnsupportedMediaType(
            "send multipart/form-data with the DICOM file in the field 'file', or the file itself"
            " as application/dicom"
        )
    body = await receive_body(request, max_bytes)
    received_at = time.perf_counter()
    texts = request.query_params.getlist("threshold")
    if media_type == FORM:
        parts = parse_multipart(body, options.get(b"boundary", b""))
        data = bytes(take_file(parts))
        # One more than is accepted: what is longer stays too long, and no long text is decoded.
        texts += [
            bytes(part.content[: _MAX_THRESHOLD_LENGTH + 1]).decode("utf-8", "replace")
            for part in parts
            if part.name == "threshold"
        ]
    else:
        data = bytes(body)
    return Upload(data, parse_threshold(texts), received_at)


async def receive_body(request: Request, max_bytes: int) -> bytearray:
    """Collect the body; stop at the limit, whatever length was announced.

    Raises:
        BodyTooLarge: more bytes than the limit were announced or came.
        ClientGone: the client closed the connection before the end.
    """
    too_large = BodyTooLarge(
        f"the body may have {max_bytes / 1e6:g} MB; send one slice or fewer frames"
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > max_bytes:
        raise too_large
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the connection closed before the body was complete")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise too_large
        more = message.get("more_body", False)
    return body


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
    values = {_number(text) for text in texts} - {None}
    if len(values) > 1:
        raise BadThreshold("the threshold came twice with different values; send it once")
    return values.pop() if values else None


def _number(text: str) -> float | None:
    """Read one threshold; float() alone also takes '1_0', 'nan' and other scripts' digits."""
    if len(text) > _MAX_THRESHOLD_LENGTH:
        raise BadThreshold(f"the threshold may have {_MAX_THRESHOLD_LENGTH} characters; shorten it")
    text = text.strip()
    if text == "null":
        return None
    if not _DECIMAL.fullmatch(text):
        raise BadThreshold("the threshold must be a decimal number of 0 or more, such as 0.02")
    value = float(text)
    if value < 0 or not math.isfinite(value):
        raise BadThreshold("the threshold must be a finite number of 0 or more, such as 0.02")
    return value + 0.0  # no negative zero in an answer
