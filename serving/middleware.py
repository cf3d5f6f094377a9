"""Give every answer, BentoML's own included, one shape: the outermost ASGI layer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from serving.problems import MEDIA_TYPE, Problem, framework_problem
from serving.telemetry import log_fault

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "spine.request_id"
# A client may name its request; anything longer or stranger is replaced, not echoed.
_SAFE_ID = re.compile(rb"[0-9A-Za-z_-]{1,64}")
_PICKLE = b"application/vnd.bentoml+pickle"
# Server says which software to attack; the others are set here.
_REPLACED = {b"server", b"x-request-id", b"cache-control"}
_ADDED = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    # BentoML's page loads Google Tag Manager; a browser inside a hospital must not.
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
        b" frame-ancestors 'none'",
    ),
]


class Envelope:
    """Answer unknown paths, name each request, and turn every error into a problem document.

    An unknown path never reaches BentoML, whose metrics would keep about 20 series for each.

    Args:
        app: BentoML's application.
        methods: of each path that exists.
    """

    def __init__(self, app: ASGIApp, methods: Mapping[str, frozenset[str]]) -> None:
        self.app = app
        self.methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope[REQUEST_ID] = request_id
        answer = _Answer(send, request_id)
        methods = self.methods.get(scope["path"])
        if methods is None:
            await answer.refuse(framework_problem(404))
        elif scope["method"] not in methods:
            await answer.refuse(framework_problem(405), allow=", ".join(sorted(methods)))
        elif _has_pickle(scope):
            # BentoML refuses it as well, with a traceback in the log, and in lower case only.
            await answer.refuse(framework_problem(415))
        else:
            try:
                await self.app(scope, receive, answer.send)
            except Exception as error:
                log_fault(error, request_id)
                if not answer.started:
                    await answer.refuse(framework_problem(500))


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._replaces_body = False
        self.started = False

    async def send(self, message: Message) -> None:
        """Pass an answer on, or replace it when it is an error of another shape."""
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            is_problem = headers.get(b"content-type", b"").startswith(MEDIA_TYPE.encode())
            if message["status"] >= 400 and not is_problem:
                self._replaces_body = True
                await self.refuse(framework_problem(message["status"]))
                return
            self.started = True
            await self._send({**message, "headers": self._headers(message.get("headers", ()))})
        elif not self._replaces_body:
            await self._send(message)

    async def refuse(self, problem: Problem, **headers: str) -> None:
        """Answer with a problem document."""
        self.started = True
        body = problem.body(self._request_id)
        named = {**problem.headers(), "content-length": str(len(body)), **headers}
        encoded = [(name.encode(), value.encode()) for name, value in named.items()]
        await self._send(
            {
                "type": "http.response.start",
                "status": problem.status,
                "headers": self._headers(encoded),
            }
        )
        await self._send({"type": "http.response.body", "body": body})

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Headers with ours in place of the framework's."""
        kept = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
        return [*kept, (b"x-request-id", self._request_id.encode()), *_ADDED]


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID when it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex


def _has_pickle(scope: Scope) -> bool:
    """Whether the body claims to be a pickle."""
    return any(
        name == b"content-type" and value.lower().lstrip().startswith(_PICKLE)
        for name, value in scope["headers"]
    )


def known_methods(app: Starlette) -> dict[str, frozenset[str]]:
    """List each path of an application with its methods, the files of its mounts included."""
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    methods: dict[str, frozenset[str]] = {}
    for route in app.routes:
        if isinstance(route, Route):
            methods[route.path] = frozenset(route.methods or ())
        elif isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            folder = Path(str(route.app.directory))
            for file in folder.rglob("*"):
                path = f"{route.path}/{file.relative_to(folder).as_posix()}"
                methods[path] = frozenset({"GET", "HEAD"})
    return methods
