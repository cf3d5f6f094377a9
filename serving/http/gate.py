"""Receive and parse a request before BentoML sees it; its body is bounded in size, time and sum.

A slow client takes none of the time for answering, and no place among those being answered.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from serving.contract import CLIENT, UPLOAD
from serving.errors import (
    BodyTooLarge,
    ClientGone,
    Overloaded,
    RequestTooSlow,
    UnsupportedMediaType,
)
from serving.http.body import BodyBuffer
from serving.http.room import SHARE, SLOWEST_BYTES_PER_S, Client, Place, Room
from serving.http.upload import FORM, read_upload
from serving.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

# Small, and asked by whoever decides about this process.
HEALTH = {"/livez", "/readyz", "/healthz"}
# octet-stream is generic; the type of a file is always read from its bytes.
RAW = ("application/dicom", "application/octet-stream")
# The longest boundary has 70; the parser needs 86 ms for the worst 32 kB. The rest is cut off.
MAX_CONTENT_TYPE_BYTES = 512

# What watches a server is answered while others read as many pages as they may.
_NEVER_FULL = frozenset([*HEALTH, "/metrics"])


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
        self._answering = Counter[Client]()
        self._n_shown = 0
        self._room = Room(settings.bodies_mb * 1_000_000, settings.body_timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI).

        Raises:
            RequestError: it cannot pass.
        """
        if scope["type"] != "http" or scope.get("path") in _NEVER_FULL:
            await self.app(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._show(scope, receive, send)
            return
        headers = scope["headers"]
        media_type, boundary = read_media_type(headers)
        client = scope.get(CLIENT, "")
        self._check_concurrency(client)
        place = self._room.enter(client)
        try:
            body = await self._receive_body(headers, receive, place)
            self._check_concurrency(client)  # many may have passed the first check together
            self._answering[client] += 1
            try:
                query, received_at = scope["query_string"], time.perf_counter()
                scope[UPLOAD] = read_upload(body, media_type, boundary, query, received_at)
                del body  # the file was copied out of a form
                await self.app(scope, receive, send)
            finally:
                self._answering -= Counter([client])  # forgets who has none left
                # The scope outlives the answer: it waits for the garbage collector.
                scope.pop(UPLOAD, None)
        finally:
            place.leave()

    async def _show(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a page, unless so many are being read as requests may be answered.

        Raises:
            Overloaded: there are.
        """
        if self._n_shown >= self._settings.concurrency:
            raise Overloaded("too many pages are being read; try again in a second")
        self._n_shown += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._n_shown -= 1

    def _check_concurrency(self, client: Client) -> None:
        """Leave places to other clients, as the room for bodies does: one alone gets four fifths.

        Raises:
            Overloaded: this client has its part, or all places are taken.
        """
        n_free = self._settings.concurrency - self._answering.total()
        if n_free <= 0 or self._answering[client] >= SHARE * n_free:
            raise Overloaded("too many requests are being answered; try again in a second")

    async def _receive_body(self, headers: Headers, receive: Receive, place: Place) -> bytes:
        """Collect the body; stop at each limit, whatever length was announced.

        Raises:
            BodyTooLarge: more bytes than the limit were announced or came.
            Overloaded: the bodies that are held take all the room.
            RequestTooSlow: it came too slowly.
            ClientGone: the client closed the connection before the end.
        """
        allowed = self._settings.max_upload_bytes
        for announced in _values(headers, b"content-length"):
            # The server has parsed it: a number of 64 bits, perhaps with zeros before it.
            if announced.isdigit() and int(announced[-20:]) > allowed:
                raise _too_large(allowed)
        body = BodyBuffer()
        try:
            async with place.timeout:
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
                    await place.grow(len(chunk), more)
        except TimeoutError as error:
            raise place.error or RequestTooSlow(
                f"a body must come within {self._settings.body_timeout_s} s, or go on at"
                f" {SLOWEST_BYTES_PER_S} bytes a second"
            ) from error
        return bytes(body)


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
