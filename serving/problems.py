"""Write an error as application/problem+json (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preprocessing import ImageError
    from serving.errors import RequestError

MEDIA_TYPE = "application/problem+json"
# Seconds after which a busy or starting server is worth another try.
RETRY_AFTER_S = {429: 1, 503: 2}
# On every answer, whatever its status and path.
FIXED_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    # BentoML's page loads Google Tag Manager; a browser inside a hospital must not.
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        b" frame-ancestors 'none'",
    ),
)


@dataclass(frozen=True)
class Problem:
    """What a client is told about an error.

    Args:
        status: of the answer.
        code: stable, for programs.
        title: the same words for each problem of this code.
        detail: what was expected, what was found and what to do.
        retry_after_s: when another try makes sense, in whole seconds.
        allow: the methods that the path takes, where the request's is none of them.
    """

    status: int
    code: str
    title: str
    detail: str
    retry_after_s: int | None = None
    allow: str | None = None

    @classmethod
    def of(cls, error: ImageError | RequestError) -> Problem:
        """Describe one of our errors to the client."""
        retry_after_s = getattr(error, "retry_after_s", RETRY_AFTER_S.get(error.status))
        allow = getattr(error, "allow", None)
        detail = error.detail
        if limit := getattr(error, "limit", None):
            detail += f" An operator raises it with SPINE_{limit.upper()}."
        return cls(error.status, error.code, error.title, detail, retry_after_s, allow)

    def body(self, request_id: str) -> bytes:
        """The JSON object; `error` is what BentoML's own clients and users read."""
        fields = {
            "type": f"urn:spine-anomaly:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:spine-anomaly:request:{request_id}",
            "code": self.code,
            "request_id": request_id,
            "error": f"{self.title}: {self.detail}",
        }
        return json.dumps(fields).encode()

    def headers(self) -> dict[str, str]:
        """Content-Type and what belongs to the status: when to try again, how to ask instead."""
        headers = {"content-type": MEDIA_TYPE}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.allow is not None:
            headers["allow"] = self.allow
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = 'Bearer realm="spine-anomaly"'
        return headers

    def as_http(self, request_id: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """A whole HTTP/1.1 answer, for a request that no application sees; the last one.

        Args:
            request_id: of this answer.
            headers: that the server adds to each.
        """
        body = self.body(request_id)
        lines = [
            *headers,
            *((name.encode(), value.encode()) for name, value in self.headers().items()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            *FIXED_HEADERS,
        ]
        status = HTTPStatus(self.status)
        start = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
        return start + b"".join(b"%b: %b\r\n" % line for line in lines) + b"\r\n" + body


# What a status means that the framework answered with; its own text is not passed on.
_FRAMEWORK = {
    400: ("bad_request", "check the request against /docs.json"),
    413: ("body_too_large", "send a smaller body"),
    415: ("unsupported_media_type", "send multipart/form-data or application/dicom"),
    429: ("overloaded", "try again after the time that the header Retry-After names"),
    503: ("model_unavailable", "the model is not ready; see /readyz and the server's log"),
    504: ("deadline_exceeded", "the request took too long; try again, or send fewer frames"),
}


def framework_problem(status: int) -> Problem:
    """The problem for an error status that BentoML, Starlette or the middleware answers with."""
    fallback = ("bad_request", "check the request against /docs.json")
    if status >= 500:
        fallback = ("internal_error", "the fault is the server's; quote the request_id")
    code, detail = _FRAMEWORK.get(status, fallback)
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return Problem(status, code, title, detail, RETRY_AFTER_S.get(status))
