"""Answer the files of the API page from memory: a slow reader holds no descriptor but its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

FOLDER = "/static_content/"
# Swagger UI, which comes with BentoML.
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
# The server holds two of them for a client that does not read, in place of a megabyte.
_PIECE_BYTES = 64 * 1024


class PiecewiseResponse(Response):
    """A response that is sent as fast as its client reads."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        for at in range(0, len(self.body), _PIECE_BYTES):
            piece, has_more = self.body[at : at + _PIECE_BYTES], at + _PIECE_BYTES < len(self.body)
            await send({"type": "http.response.body", "body": piece, "more_body": has_more})


def file_routes() -> list[Route]:
    """The routes of the files, in place of BentoML's whole folder."""
    return [Route(f"{FOLDER}{name}", _answer) for name in _FILES]


def _answer(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return PiecewiseResponse(_content(name), media_type=_FILES[name])


@cache
def _content(name: str) -> bytes:
    from bentoml._internal import server

    return (Path(server.__file__).parent / "static_content" / name).read_bytes()
