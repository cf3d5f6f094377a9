"""Receive a request's body before BentoML sees the request: bounded in size, time and sum.

A slow client so takes none of the time for answering, and no place among those being answered.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from serving.errors import (
    BodyTooLarge,
    ClientGone,
    Overloaded,
    RequestTooSlow,
    UnsupportedMediaType,
)
from serving.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

RECEIVED = "spine.received"
FORM = "multipart/form-data"
# A generic type says nothing; what the bytes are is read from the bytes in any case.
RAW = ("application/dicom", "application/octet-stream")
# A body may come this slowly on top of SPINE_BODY_TIMEOUT_S: 0.5 Mbit/s.
SLOWEST_BYTES_PER_S = 64_000


@dataclass(frozen=True)
class Received:
    """A request's complete body.

    Args:
        body: everything that was sent.
        media_type: FORM or one of RAW.
        boundary: of a form.
        received_at: `time.perf_counter` when the last byte had come.
    """

    body: bytearray
    media_type: str
    boundary: bytes
    received_at: float


class Gate:
    """Let a POST pass when its body is complete and there is room for it.

    Args:
        app: what answers; it finds a `Received` at scope[RECEIVED], and nothing in `receive` but
            the end of the connection.
        settings: with the limits.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._n_answering = 0
        self._n_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI says.

        Raises:
            RequestError: it cannot pass.
        """
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        media_type, boundary = read_media_type(headers)
        self._check_room()
        body = await self._receive_body(headers, receive)
        n_bytes = len(body)
        try:
            self._check_room()  # many may have passed the first check together
            self._n_answering += 1
            try:
                scope[RECEIVED] = Received(body, media_type, boundary, time.perf_counter())
                del body  # who takes it out of the scope can free it
                await self.app(scope, receive, send)
            finally:
                self._n_answering -= 1
        finally:
            self._n_bytes -= n_bytes

    def _check_room(self) -> None:
        if self._n_answering >= self._settings.concurrency:
            raise Overloaded("too many requests are being answered; try again in a second")

    async def _receive_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytearray:
        """Collect the body; stop at each limit, whatever length was announced.

        Raises:
            BodyTooLarge: more bytes than the limit were announced or came.
            Overloaded: the bodies that are held take all the room.
            RequestTooSlow: it came too slowly.
            ClientGone: the client closed the connection before the end.
        """
        allowed, timeout_s = self._settings.max_upload_bytes, self._settings.body_timeout_s
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:20]) > allowed:
            raise _too_large(allowed)
        body = bytearray()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + timeout_s) as timeout:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the connection closed before the body was complete")
                    chunk = message.get("body", b"")
                    more = message.get("more_body", False)
                    body += chunk
                    self._n_bytes += len(chunk)
                    if len(body) > allowed:
                        raise _too_large(allowed)
                    if self._n_bytes > self._settings.max_bodies_bytes:
                        raise Overloaded("too many bodies are being received; try again soon")
                    if more:
                        late = timeout_s + len(body) / SLOWEST_BYTES_PER_S
                        timeout.reschedule(began + late)
        except BaseException as error:
            self._n_bytes -= len(body)
            if isinstance(error, TimeoutError):
                raise RequestTooSlow(
                    f"a body must come within {timeout_s} s, and a second more for each"
                    f" {SLOWEST_BYTES_PER_S} bytes"
                ) from error
            raise
        return body


def read_media_type(headers: dict[bytes, bytes]) -> tuple[str, bytes]:
    """Read how the body is written: (media type, boundary).

    Raises:
        UnsupportedMediaType: neither a form nor DICOM, or compressed on top of it.
    """
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedMediaType("send the body without a Content-Encoding")
    content_type, options = parse_options_header(headers.get(b"content-type", b""))
    media_type = content_type.decode("latin-1").strip().lower()
    if media_type != FORM and media_type not in RAW:
        raise UnsupportedMediaType(
            "send multipart/form-data with the DICOM file in the field 'file', or the file itself"
            " as application/dicom"
        )
    return media_type, options.get(b"boundary", b"")


def _too_large(allowed: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body may have {allowed / 1e6:g} MB; send one slice or fewer frames")
