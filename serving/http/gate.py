"""Receive and parse a request before BentoML sees it; its body is bounded in size, time and sum.

A slow client takes none of the time for answering, and no place among those being answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from serving.contract import UPLOAD
from serving.errors import (
    BodyTooLarge,
    ClientGone,
    Overloaded,
    RequestTooSlow,
    UnsupportedMediaType,
)
from serving.http.body import BodyBuffer
from serving.http.upload import FORM, read_upload
from serving.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

# octet-stream is generic; the type of a file is always read from its bytes.
RAW = ("application/dicom", "application/octet-stream")
# The longest boundary has 70; the parser needs 86 ms for the worst 32 kB. The rest is cut off.
MAX_CONTENT_TYPE_BYTES = 512
# A body that takes longer than SPINE_BODY_TIMEOUT_S must come this fast: 0.5 Mbit/s.
SLOWEST_BYTES_PER_S = 64_000
# Four times the largest ordinary slice. LARGE_BODIES larger ones are handled at a time.
LARGE_BODY_BYTES = 4_000_000
LARGE_BODIES = 2


class Gate:
    """Let a POST pass when it is complete and valid, and there is room for it.

    Args:
        app: what answers; it finds an `Upload` at scope[UPLOAD], and nothing in `receive` but the
            end of the connection.
        settings: with the limits.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._n_answering = 0
        self._n_bytes = 0
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI).

        Raises:
            RequestError: it cannot pass.
        """
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        headers = scope["headers"]
        media_type, boundary = read_media_type(headers)
        self._check_room()
        place = _Place(self)
        try:
            body = await self._receive_body(headers, receive, place)
            self._check_room()  # many may have passed the first check together
            self._n_answering += 1
            try:
                query, received_at = scope["query_string"], time.perf_counter()
                scope[UPLOAD] = read_upload(body, media_type, boundary, query, received_at)
                del body  # the file was copied out of a form
                await self.app(scope, receive, send)
            finally:
                self._n_answering -= 1
                # The scope outlives the answer: it waits for the garbage collector.
                scope.pop(UPLOAD, None)
        finally:
            place.leave()

    def _check_room(self) -> None:
        if self._n_answering >= self._settings.concurrency:
            raise Overloaded("too many requests are being answered; try again in a second")

    async def _receive_body(self, headers: Headers, receive: Receive, place: _Place) -> bytes:
        """Collect the body; stop at each limit, whatever length was announced.

        Raises:
            BodyTooLarge: more bytes than the limit were announced or came.
            Overloaded: the bodies that are held take all the room.
            RequestTooSlow: it came too slowly.
            ClientGone: the client closed the connection before the end.
        """
        allowed, timeout_s = self._settings.max_upload_bytes, self._settings.body_timeout_s
        for announced in _values(headers, b"content-length"):
            # The server has parsed it: a number of 64 bits, perhaps with zeros before it.
            if announced.isdigit() and int(announced[-20:]) > allowed:
                raise _too_large(allowed)
        body = BodyBuffer()
        clock = asyncio.get_running_loop().time
        late = clock() + timeout_s
        try:
            async with asyncio.timeout_at(late) as timeout:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the connection closed before the body was complete")
                    chunk = message.get("body", b"")
                    more = message.get("more_body", False)
                    body += chunk
                    if len(body) > allowed:
                        raise _too_large(allowed)
                    if place.outgrows(len(chunk)):
                        timeout.reschedule(None)  # the client is not to blame for this wait
                        await place.wait_for_large_one()
                        late = clock() + timeout_s
                    place.grow(len(chunk))
                    if more:
                        # Bytes earn time, but none can be saved up for trickling later.
                        earned = late + len(chunk) / SLOWEST_BYTES_PER_S
                        late = min(earned, clock() + timeout_s)
                        timeout.reschedule(late)
        except TimeoutError as error:
            raise RequestTooSlow(
                f"a body must come within {timeout_s} s, or go on at {SLOWEST_BYTES_PER_S} bytes"
                " a second"
            ) from error
        return bytes(body)


class _Place:
    """What one body takes of the room for all.

    Most bodies share one limit. Those that outgrow LARGE_BODY_BYTES leave it and take one of
    LARGE_BODIES places. They wait for it unread, so that they never take room from the others.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._n_bytes = 0
        self._is_large = False

    def grow(self, n_bytes: int) -> None:
        """Take room for a piece of the body.

        Raises:
            Overloaded: the bodies that share the limit exceed it.
        """
        if self._is_large:
            return
        self._n_bytes += n_bytes
        self._gate._n_bytes += n_bytes
        if self._gate._n_bytes > self._gate._settings.bodies_mb * 1_000_000:
            raise Overloaded("too many bodies are held; try again in a second")

    def outgrows(self, n_bytes: int) -> bool:
        """Whether this piece makes the body too large for the shared limit."""
        return not self._is_large and self._n_bytes + n_bytes > LARGE_BODY_BYTES

    async def wait_for_large_one(self) -> None:
        """Change to one of the few places of large bodies.

        Raises:
            Overloaded: no place became free in time.
        """
        try:
            async with asyncio.timeout(self._gate._settings.body_timeout_s):
                await self._gate._large_bodies.acquire()
        except TimeoutError as error:
            raise Overloaded("too many large bodies are held; try again soon") from error
        self._is_large = True
        self._give_back()

    def leave(self) -> None:
        """Give everything back."""
        self._give_back()
        if self._is_large:
            self._is_large = False
            self._gate._large_bodies.release()

    def _give_back(self) -> None:
        self._gate._n_bytes -= self._n_bytes
        self._n_bytes = 0


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def read_media_type(headers: Headers) -> tuple[str, bytes]:
    """Read how the body is encoded: (media type, boundary).

    Raises:
        UnsupportedMediaType: neither a form nor DICOM, both, or compressed on top of it.
    """
    for encoding in _values(headers, b"content-encoding"):
        if encoding.strip().lower() != b"identity":
            raise UnsupportedMediaType("send the body without a Content-Encoding")
    types = _values(headers, b"content-type")
    if len(types) > 1:
        raise UnsupportedMediaType("send one Content-Type")
    content_type, options = parse_options_header(b"".join(types)[:MAX_CONTENT_TYPE_BYTES])
    media_type = content_type.decode("latin-1").strip().lower()
    if media_type != FORM and media_type not in RAW:
        raise UnsupportedMediaType(
            "send multipart/form-data with the DICOM file in the field 'file', or the file itself"
            " as application/dicom"
        )
    return media_type, options.get(b"boundary", b"")


def _too_large(allowed: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body may be at most {allowed / 1e6:g} MB; send one slice or fewer frames, or ask the"
        " operator to raise SPINE_MAX_UPLOAD_MB"
    )
