"""The one shape that every error has."""

from __future__ import annotations

from typing import Any

import httpx

FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id", "error"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the one shape of every error; return the document."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    problem: dict[str, Any] = answer.json()
    assert set(problem) == FIELDS
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert len(answer.content) < 8192
    assert len(problem["detail"]) > 10
    return problem
