"""Let what an API method raises reach the envelope, where every error is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import bentoml
from starlette.responses import Response

from serving.contract import RAISED

T = TypeVar("T")


def passes_errors(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T | Response]]:
    """Hand what a method raises to serving/http/envelope.py.

    BentoML answers an exception itself: it logs the traceback, which may quote a file's values,
    and replaces the text or wraps it in a list, as the status has it (bentoml#5709).

    Args:
        method: of a service; takes its context as `ctx`.
    """

    @wraps(method)
    async def passing(
        self: object, *args: Any, ctx: bentoml.Context, **fields: Any
    ) -> T | Response:
        try:
            return await method(self, *args, ctx=ctx, **fields)
        except Exception as error:
            ctx.request.scope[RAISED] = error
            # For BentoML's own series and access log; it takes the status from the context.
            ctx.response.status_code = getattr(error, "status", 500)
        return Response()

    return passing
