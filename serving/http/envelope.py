"""Give every answer, BentoML's own included, one shape: the outermost ASGI layer."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from preprocessing import ImageError
from serving.contract import CLIENT, RAISED, REQUEST_ID
from serving.errors import (
    InternalFault,
    MetricsUnavailable,
    RequestError,
    Unauthorized,
    UnknownPath,
    WrongMethod,
)
from serving.http.access import Headers, KeyRing, RateLimit
from serving.http.client import client_network, plain_address
from serving.http.gate import HEALTH
from serving.problems import FIXED_HEADERS, MEDIA_TYPE, Problem, framework_problem
from serving.settings import Access, Settings
from serving.telemetry import count_refusal, log_fault, metrics, metrics_are_gone

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A client may name its request as programs do, by a UUID or another hexadecimal number; what may be
# words, and so a name, is replaced: the identifier is logged.
_SAFE_ID = re.compile(rb"[0-9A-Fa-f-]{1,64}")
# Server and x-bentoml-* reveal which software to attack; the others are set here.
_REPLACED = {b"server", b"x-request-id", b"cache-control", b"x-bentoml-request-id"}
# Without these, a page of another origin cannot read an error.
_CORS = (b"access-control-", b"vary")
_MEDIA_TYPE = MEDIA_TYPE.encode()


@dataclass(frozen=True)
class KnownPath:
    """One path that exists.

    Args:
        methods: that it takes.
        access: open to everybody, or for clients with a key.
    """

    methods: frozenset[str]
    access: Literal["open", "key"]


class Envelope:
    """Answer unknown paths, ask for a key, name each request, turn every error into a problem.

    An unknown path never reaches BentoML, whose metrics would keep about 20 series for each.

    Args:
        app: what answers; an error that it raises becomes the answer.
        paths: that exist.
        settings: with keys, rates and the origins whose pages may send requests.
        is_stopping: whether connections are to end with their next answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Mapping[str, KnownPath],
        settings: Settings,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.app = app
        self._paths = paths
        self._settings = settings
        self._is_stopping = is_stopping
        self._keys = KeyRing(settings.api_key)
        self._rate = RateLimit(settings.rate_per_s, settings.rate_burst)
        # Around the refusals too: without these headers, a page cannot read an answer.
        self._answer = allow_origins(self._answer_or_refuse, settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # our server offers none; another one may
            await send({"type": "websocket.close", "code": 1008})
            return
        scope[REQUEST_ID] = _request_id(scope)
        if self._settings.trusted_proxies:
            scope["client"] = _address(scope)
        answer = _Answer(send, scope, self._is_stopping)
        await self._answer(scope, receive, answer.send)

    async def _answer_or_refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer whatever is raised on its way."""
        path = self._paths.get(scope["path"])
        try:
            if path is None:
                raise UnknownPath("POST an image to /predict; /docs.json describes the service")
            if scope["method"] not in path.methods:
                raise WrongMethod(path.methods)
            self._admit(scope, path)
            if scope["path"] == "/metrics" and metrics_are_gone():
                raise MetricsUnavailable("the folder of the metrics is gone; restart the server")
            await self.app(scope, receive, send)
        except Exception as error:
            request_id = scope[REQUEST_ID]
            for message in _messages(_problem(error, request_id), request_id):
                await send(message)

    def _admit(self, scope: Scope, path: KnownPath) -> None:
        """Check that a client may send this request; leave its name at scope[CLIENT].

        Raises:
            Unauthorized, RateLimited: see their names.
        """
        if path.access == "open":
            return
        client = scope.get("client")
        network = client_network(client[0]) if client else ""
        try:
            key = self._keys.check(scope["headers"])
        except Unauthorized:
            self._rate.take(network)  # who guesses keys is told to slow down, too
            raise
        scope[CLIENT] = key or network
        self._rate.take(scope[CLIENT])


def allow_origins(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Let web pages of other origins send requests (CORS); without origins, change nothing."""
    if not origins:
        return app
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type", "x-api-key", "x-request-id"),
        expose_headers=("retry-after", "x-request-id"),
    )


def _problem(error: Exception, request_id: str, *, is_answer: bool = False) -> Problem:
    """Log and count an error; return what the client is told."""
    if isinstance(error, (ImageError, RequestError)):
        problem = Problem.of(error)
        count_refusal(problem, request_id, is_answer=is_answer)
    else:
        problem = Problem.of(InternalFault("the fault is the server's; quote the request_id"))
        log_fault(error, request_id)
        if is_answer:
            metrics().predictions.labels(problem.code).inc()
    error.__traceback__ = None  # whose frames hold the file
    return problem


def _messages(problem: Problem, request_id: str, kept: Headers = ()) -> tuple[Message, Message]:
    """The ASGI messages of a problem document; `kept` are headers besides its own."""
    body = problem.body(request_id)
    headers = {**problem.headers(), "content-length": str(len(body))}
    if problem.status == HTTPStatus.REQUEST_TIMEOUT:
        headers["connection"] = "close"  # the rest of this body is not read
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    start = {"type": "http.response.start", "status": problem.status, "headers": [*encoded, *kept]}
    return start, {"type": "http.response.body", "body": body}


class _Answer:
    """One answer on its way out."""

    def __init__(self, send: Send, scope: Scope, is_stopping: Callable[[], bool]) -> None:
        self._send = send
        self._scope = scope
        self._is_stopping = is_stopping
        self._is_started = False
        self._drops_body = False

    async def send(self, message: Message) -> None:
        """Pass an answer on, or replace it when it is an error of another shape."""
        if message["type"] != "http.response.start":
            if not self._drops_body:
                await self._send(message)
            return
        if self._is_started:
            self._drops_body = True  # an error behind the start of an answer, which is cut short
            return
        self._is_started = True
        headers = message.get("headers", ())
        problem = self._other_problem(message["status"], headers)
        if problem is None:
            await self._send({**message, "headers": self._headers(headers)})
            return
        self._drops_body = True
        kept = [(name, value) for name, value in headers if name.lower().startswith(_CORS)]
        start, body = _messages(problem, self._scope[REQUEST_ID], kept)
        await self._send({**start, "headers": self._headers(start["headers"])})
        await self._send(body)

    def _other_problem(self, status: int, headers: Headers) -> Problem | None:
        """Return what is answered in place of BentoML's or Starlette's own error."""
        request_id = self._scope[REQUEST_ID]
        raised = self._scope.pop(RAISED, None)
        if raised is not None:
            return _problem(raised, request_id, is_answer=True)
        if status < HTTPStatus.BAD_REQUEST:
            return None
        if any(name == b"content-type" and value == _MEDIA_TYPE for name, value in headers):
            return None
        problem = framework_problem(status)
        count_refusal(problem, request_id)
        return problem

    def _headers(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Headers with ours in place of the framework's."""
        kept = [(name, value) for name, value in headers if name.lower() not in _REPLACED]
        if self._is_stopping():
            kept.append((b"connection", b"close"))
        return [*kept, (b"x-request-id", self._scope[REQUEST_ID].encode()), *FIXED_HEADERS]


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID when it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex


def _address(scope: Scope) -> tuple[str, int] | None:
    """The client's address, if it is one: a proxy passes on what a client may have written."""
    host, port = scope.get("client") or ("", 0)
    address = plain_address(host)
    return (address, port) if address else None


def known_paths(app: Starlette, settings: Settings) -> dict[str, KnownPath]:
    """List each path of an application; no folder of files is open."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    methods: dict[str, frozenset[str]] = {}
    for route in app.routes:
        if isinstance(route, Route):
            methods[route.path] = frozenset(route.methods or ())
        elif isinstance(route, Mount) and isinstance(route.app, Starlette):
            for inner in route.app.routes:
                if isinstance(inner, Route):
                    methods[route.path + inner.path] = frozenset(inner.methods or ())
    paths = {}
    for path, allowed in methods.items():
        access = _access(path, settings)
        if access != "closed":
            paths[path] = KnownPath(allowed, access)
    return paths


def _access(path: str, settings: Settings) -> Access:
    if path in HEALTH:
        return "open"
    if path == "/metrics":
        return settings.metrics
    return "key" if path == "/predict" else settings.docs
