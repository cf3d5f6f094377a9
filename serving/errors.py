"""Name every reason, besides the image itself, for which a request is refused.

RequestError                     status  code
├── MissingFile                  400     file_missing
├── RepeatedFile                 400     file_repeated
├── UnexpectedFile               400     file_unexpected
├── NotAnUpload                  400     file_not_uploaded
├── BrokenMultipart              400     multipart_broken
├── UnknownParameter             400     parameter_unknown
├── BadThreshold                 400     threshold_invalid
├── BadAlarmRate                 400     alarm_rate_invalid
├── DecidersConflict             400     deciders_conflict
├── Unauthorized                 401     unauthorized
├── UnknownPath                  404     not_found
├── WrongMethod                  405     method_not_allowed
├── RequestTooSlow               408     request_too_slow
├── BodyTooLarge                 413     body_too_large
├── TargetTooLong                414     target_too_long
├── UnsupportedMediaType         415     unsupported_media_type
├── Overloaded                   429     overloaded
├── RateLimited                  429     rate_limited
├── HeadersTooLarge              431     headers_too_large
├── ClientGone                   499     client_gone
├── InternalFault                500     internal_error
├── ModelUnavailable             503     model_unavailable
├── MetricsUnavailable           503     metrics_unavailable
├── TooManyConnections           503     too_many_connections
└── DeadlineExceeded             504     deadline_exceeded

The shape is that of preprocessing.ImageError, so that one function answers both. Codes are part of
the service's contract: they stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class RequestError(Exception):
    """A request that cannot be answered, with words that may leave the process.

    Args:
        detail: what was expected, what was found and what to do; never what the client sent.
    """

    code: ClassVar[str] = "bad_request"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request cannot be read"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MissingFile(RequestError):
    """No part is named file."""

    code = "file_missing"
    title = "The field 'file' is missing"


class RepeatedFile(RequestError):
    """There is more than one part named file."""

    code = "file_repeated"
    title = "The field 'file' appears more than once"


class UnexpectedFile(RequestError):
    """A file came in a field of another name."""

    code = "file_unexpected"
    title = "A file came in another field than 'file'"


class NotAnUpload(RequestError):
    """The field file holds text, perhaps a path or a URL; neither is ever opened."""

    code = "file_not_uploaded"
    title = "The field 'file' holds text instead of a file"


class BrokenMultipart(RequestError):
    """The body does not follow RFC 7578."""

    code = "multipart_broken"
    title = "The multipart body is broken"


class UnknownParameter(RequestError):
    """The query or the form names something that is not taken."""

    code = "parameter_unknown"
    title = "A parameter is not known"


class BadThreshold(RequestError):
    """The threshold is not a single finite number of 0 or more."""

    code = "threshold_invalid"
    title = "The threshold is not valid"


class BadAlarmRate(RequestError):
    """It is not a number in (0, 1), or it takes more patients."""

    code = "alarm_rate_invalid"
    title = "The alarm rate is not valid"


class DecidersConflict(RequestError):
    """An alarm rate and a threshold came together."""

    code = "deciders_conflict"
    title = "An alarm rate and a threshold cannot both decide"


class Unauthorized(RequestError):
    """SPINE_API_KEY is set, and the request carries none of its keys."""

    code = "unauthorized"
    status = 401
    title = "A valid API key is missing"


class UnknownPath(RequestError):
    """There is nothing at this path, or it is closed."""

    code = "not_found"
    status = 404
    title = "Not Found"


class WrongMethod(RequestError):
    """The path takes other methods.

    Args:
        allowed: those that it takes.
    """

    code = "method_not_allowed"
    status = 405
    title = "Method Not Allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        names = sorted(allowed)
        super().__init__(f"use {' or '.join(names)} for this path")
        self.allow = ", ".join(names)


class RequestTooSlow(RequestError):
    """The head or the body of the request came too slowly."""

    code = "request_too_slow"
    status = 408
    title = "The request came too slowly"


class BodyTooLarge(RequestError):
    """The body exceeds SPINE_MAX_UPLOAD_MB."""

    code = "body_too_large"
    status = 413
    title = "The body is too large"


class TargetTooLong(RequestError):
    """The path and query of the request are too long."""

    code = "target_too_long"
    status = 414
    title = "The request's target is too long"


class UnsupportedMediaType(RequestError):
    """The Content-Type is neither multipart nor DICOM, or the body is encoded on top of it."""

    code = "unsupported_media_type"
    status = 415
    title = "The Content-Type is not supported"


class Overloaded(RequestError):
    """Too many requests are being answered, or too many slices wait for the model."""

    code = "overloaded"
    status = 429
    title = "Too many requests are waiting"


class RateLimited(RequestError):
    """This client sends more requests than SPINE_RATE_PER_S.

    Args:
        detail: see `RequestError`.
        retry_after_s: when its next request will be answered.
    """

    code = "rate_limited"
    status = 429
    title = "Too many requests of this client"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class HeadersTooLarge(RequestError):
    """The request has too many or too long header fields."""

    code = "headers_too_large"
    status = 431
    title = "The request's headers are too large"


class ClientGone(RequestError):
    """The client closed the connection; 499 is nginx's number for it, and only logs see it."""

    code = "client_gone"
    status = 499
    title = "The client went away"


class InternalFault(RequestError):
    """A fault of ours."""

    code = "internal_error"
    status = 500
    title = "The server failed"


class ModelUnavailable(RequestError):
    """The model is not loaded, or the process is about to stop."""

    code = "model_unavailable"
    status = 503
    title = "The model cannot answer"


class MetricsUnavailable(RequestError):
    """The folder of the metrics is gone."""

    code = "metrics_unavailable"
    status = 503
    title = "The metrics cannot be read"
    retry_after_s = None  # only a restart brings them back


class TooManyConnections(RequestError):
    """More connections are open than SPINE_CONNECTIONS."""

    code = "too_many_connections"
    status = 503
    title = "Too many connections are open"


class DeadlineExceeded(RequestError):
    """Decoding the file took longer than SPINE_DEADLINE_S."""

    code = "deadline_exceeded"
    status = 504
    title = "Gateway Timeout"
