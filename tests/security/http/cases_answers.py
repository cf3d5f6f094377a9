"""Check what all answers have in common, whatever was asked and on whichever path."""

from __future__ import annotations

import json
import re

from tests.security.http.cases import MARKER
from tests.security.http.raw_http import Answer, Connection
from tests.security.servers import Server
from tests.serving.problems import FIELDS

MAX_ERROR_BYTES = 8192
# A library's name or a traceback's words: an answer of ours contains neither.
FOREIGN = ("pydicom", "numpy", "onnxruntime", "starlette", "uvicorn", "httptools", "pydantic")
TRACES = ("Traceback", "/site-packages/", 'File "', ".py", "Exception")
_REQUEST_ID = re.compile(r"[0-9A-Fa-f-]{1,64}")
_BY_STATUS = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}


def outcome(answer: Answer | None, to_head: bool = False) -> str:
    """Name an answer as the cases do: its status and, of an error that has a body, its code."""
    if answer is None:
        return "closed"
    if answer.status < 400 or to_head:
        return str(answer.status)
    try:
        return f"{answer.status} {json.loads(answer.body)['code']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} without a code: {answer.body[:200]!r}"


def assert_fixed_headers(answer: Answer) -> None:
    """Check the headers of every answer."""
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("cache-control") == "no-store"
    assert _REQUEST_ID.fullmatch(answer.header("x-request-id")), answer.fields
    named = {name for name, _ in answer.fields}
    assert not named & {"server", "x-powered-by", "via", "access-control-allow-origin"}
    assert not [name for name in named if "bentoml" in name]


def assert_problem(answer: Answer) -> None:
    """Check the one shape of errors."""
    assert answer.header("content-type") == "application/problem+json"
    assert len(answer.body) < MAX_ERROR_BYTES
    problem = json.loads(answer.body)
    assert set(problem) == FIELDS
    assert problem["status"] == answer.status
    assert problem["type"].endswith(f":{problem['code']}")
    assert problem["request_id"] == answer.header("x-request-id")
    assert problem["instance"].endswith(problem["request_id"])
    assert problem["error"] == f"{problem['title']}: {problem['detail']}"
    if answer.status in _BY_STATUS:
        assert answer.header(_BY_STATUS[answer.status])
    if answer.status in (429, 503):
        assert int(answer.header("retry-after")) >= 1
    text = answer.raw.decode("latin-1")
    assert not [word for word in (*FOREIGN, *TRACES) if word in text], text


def assert_says_nothing(answer: Answer, *markers: str) -> None:
    """Check that an answer repeats nothing of what was sent."""
    text = answer.raw.decode("latin-1").lower()
    for marker in (MARKER, "zqmarker", *markers):
        assert marker.lower() not in text, text


def assert_sound(answer: Answer, to_head: bool = False) -> None:
    """Check an answer of any status.

    Args:
        answer: to any request.
        to_head: the request was HEAD, so that an error has no body.
    """
    assert_fixed_headers(answer)
    assert_says_nothing(answer)
    if answer.status >= 400 and not to_head:
        assert_problem(answer)


def assert_answers(port: int, request: bytes, expected: str = "200") -> Answer:
    """Ask on a connection of its own, and check the answer."""
    with Connection(port) as connection:
        connection.send(request)
        to_head = request.startswith(b"HEAD ")
        answer = connection.answer(to_head)
        assert outcome(answer, to_head) in expected.split(" | ")
        assert answer is not None
        assert_sound(answer, to_head)
        return answer


def assert_quiet(server: Server) -> None:
    """Check that the log repeats nothing of what was sent, and holds no fault."""
    log = server.log.read_text(errors="replace").lower()
    for word in ("zqmarker", MARKER.lower(), "203.0.113.77", "traceback", "error", "exception"):
        assert word not in log, log[max(0, log.index(word) - 500) :][:1000]
