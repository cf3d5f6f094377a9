"""Give every answer, BentoML's own included, one shape: the outermost ASGI layer."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serving.errors import RequestError, Unauthorized
from serving.http.access import KeyRing, RateLimit
from serving.http.gate import REQUEST_ID
from serving.problems import FIXED_HEADERS, MEDIA_TYPE, Problem, framework_problem
from serving.process.drain import drain
from serving.process.worker import prepare
from serving.settings import Access, Settings
from serving.telemetry import count_refusal, log_fault

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A client may name its request as programs do, by a UUID or another hexadecimal number; what may be
# words, and so a name, is replaced: the identifier is logged.
_SAFE_ID = re.compile(rb"[0-9A-Fa-f-]{1,64}")
# Server and x-bentoml-* say which software to attack; the others are set here.
_REPLACED = {b"server", b"x-request-id", b"cache-control", b"x-bentoml-request-id"}
_HEALTH = {"/livez", "/readyz", "/healthz"}


@dataclass(frozen=True)
class KnownPath:
    """One path that exists.

    Args:
        methods: that it takes.
        access: who may use it: everybody, who has a key.
    """

    methods: frozenset[str]
    access: Literal["open", "key"]


class Envelope:
    """Answer unknown paths, ask for a key, name each request, turn every error into a problem.

    An unknown path never reaches BentoML, whose metrics would keep about 20 series for each.

    Args:
        app: what answers; an error of ours that it raises becomes the answer.
        paths: that exist.
        settings: with keys and rates.
    """

    def __init__(self, app: ASGIApp, paths: Mapping[str, KnownPath], settings: Settings) -> None:
        self.app = app
        self._paths = paths
        self._settings = settings
        self._keys = KeyRing(settings.api_key)
        self._rate = RateLimit(settings.rate_per_s, settings.rate_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "lifespan":
            prepare(self._settings)
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # our server offers none; another one may
            await send({"type": "websocket.close", "code": 1008})
            return
        request_id = _request_id(scope)
        scope[REQUEST_ID] = request_id
        if self._settings.trusted_proxies:
            scope["client"] = _address(scope)
        answer = _Answer(send, request_id)
        path = self._paths.get(scope["path"])
        try:
            if path is None:
                await answer.refuse(framework_problem(404))
            elif scope["method"] not in path.methods:
                await answer.refuse(framework_problem(405), allow=", ".join(sorted(path.methods)))
            else:
                self._admit(scope, path)
                await self.app(scope, receive, answer.send)
        except RequestError as error:
            await answer.refuse(Problem.of(error))
        except Exception as error:
            log_fault(error, request_id)
            if not answer.started:
                await answer.send_problem(framework_problem(500))

    def _admit(self, scope: Scope, path: KnownPath) -> None:
        """Let a client pass that may ask.

        Raises:
            Unauthorized, RateLimited: see their names.
        """
        if path.access == "open":
            return
        client = scope.get("client")
        address = client[0] if client else ""
        try:
            key = self._keys.check(scope["headers"])
        except Unauthorized:
            self._rate.take(address)  # who tries keys is slowed down as well
            raise
        self._rate.take(key or address)


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
                await self.send_problem(framework_problem(message["status"]))
                return
            self.started = True
            await self._send({**message, "headers": self._headers(message.get("headers", ()))})
        elif not self._replaces_body:
            await self._send(message)

    async def refuse(self, problem: Problem, **headers: str) -> None:
        """Answer, without BentoML, that there is no answer."""
        count_refusal(problem, self._request_id)
        await self.send_problem(problem, **headers)

    async def send_problem(self, problem: Problem, **headers: str) -> None:
        """Answer with a problem document."""
        self.started = True
        body = problem.body(self._request_id)
        named = {**problem.headers(), "content-length": str(len(body)), **headers}
        if problem.status == HTTPStatus.REQUEST_TIMEOUT:
            named["connection"] = "close"  # nobody waits for the rest of this body
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
        if drain().has_begun:
            kept.append((b"connection", b"close"))
        return [*kept, (b"x-request-id", self._request_id.encode()), *FIXED_HEADERS]


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID when it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex


def _address(scope: Scope) -> tuple[str, int] | None:
    """The client's address, if it is one: a proxy passes on what a client may have written."""
    host, port = scope.get("client") or ("", 0)
    try:
        return str(ipaddress.ip_address(host.partition("%")[0])), port  # a zone may be any text
    except ValueError:
        return None


def known_paths(app: Starlette, settings: Settings) -> dict[str, KnownPath]:
    """List each path of an application, the files of its mounts included."""
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
    paths = {}
    for path, allowed in methods.items():
        access = _access(path, settings)
        if access != "closed":
            paths[path] = KnownPath(allowed, access)
    return paths


def _access(path: str, settings: Settings) -> Access:
    if path in _HEALTH:
        return "open"
    if path == "/metrics":
        return settings.metrics
    return "key" if path == "/predict" else settings.docs
