"""Write the OpenAPI document of POST /predict, and the page that shows it and lets a person try it.

BentoML's own document and page carry its advertising, pages of other hosts and its health checks,
and know neither the query parameters nor the errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from preprocessing.errors import ImageError, NotGrayscale
from serving.contract import ALARM_RATE_DESCRIPTION, THRESHOLD_DESCRIPTION, Prediction
from serving.errors import RequestError
from serving.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.applications import Starlette

VERSION = "0.1.0"
DESCRIPTION = (
    "Answers whether a spine MR slice looks unlike the images that the model was trained on. It"
    " supports a decision; it is not a diagnosis.\n\nFor operators: `GET /livez`, `GET /readyz` and"
    " `GET /metrics`."
)
BINARY = {"type": "string", "format": "binary"}
ERRORS = {
    400: "a parameter or a field is missing, repeated or not valid, or the request is not HTTP",
    401: "a valid API key is missing, where the service asks for one",
    408: "the request came too slowly",
    413: "a limit of size is exceeded",
    414: "the request's target is too long",
    415: "neither a form nor DICOM, or a transfer syntax that is not supported",
    422: "DICOM, but not a usable grayscale MR image",
    429: "too many requests are waiting, or this client sends too many; see Retry-After",
    431: "the request's headers are too large",
    500: "a fault of the server",
    503: "not ready, stopping, or too many connections are open; see Retry-After",
    504: "the deadline passed",
}
ANSWER = Prediction(
    reconstruction_mse=0.01146,
    anomaly_score=0.1884,
    p_value=0.648,
    channel="fault",
    is_anomaly=False,
    alarm_rate=0.05,
    threshold=None,
    in_scope=True,
    scope_reason=None,
    pooled=False,
    inference_time_ms=9.137,
    frame=1,
    frames=1,
    frames_in_scope=1,
    notes=[],
    model="spine_autoencoder:1",
    request_id="0f4c2b7a6d1e4f0c9a3b5d7e8f901234",
)
REFUSAL = Problem.of(NotGrayscale("The image has colours; send the original grayscale slice."))


@dataclass(frozen=True)
class OpenAPI:
    """A document in the shape in which BentoML expects its own."""

    document: dict[str, Any]

    def asdict(self) -> dict[str, Any]:
        """The document as plain dictionaries."""
        return self.document


# `bentoml build` writes the document with yaml.dump.
yaml.add_representer(OpenAPI, lambda dumper, spec: dumper.represent_dict(spec.document))


def write_document() -> OpenAPI:
    """Write the whole document, OpenAPI 3.0."""
    return OpenAPI(
        {
            "openapi": "3.0.3",
            "info": {"title": "Spine anomaly", "version": VERSION, "description": DESCRIPTION},
            "servers": [{"url": "."}],
            "paths": {"/predict": {"post": _predict()}},
            "components": {
                "schemas": {"Prediction": _prediction_schema(), "Problem": _problem_schema()},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                },
            },
        }
    )


def _predict() -> dict[str, Any]:
    form = {"type": "object", "required": ["file"], "properties": {"file": BINARY}}
    rate = {"minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True}
    return {
        "operationId": "predict",
        "tags": ["Predict"],
        "summary": "Score one DICOM file",
        "description": "Of a multi-frame object, the answer is that of its most anomalous frame."
        " A form may hold `threshold` or `alarm_rate` in a field as well.",
        "security": [{"bearer": []}, {"header": []}, {}],
        "parameters": [
            _parameter("threshold", THRESHOLD_DESCRIPTION, minimum=0),
            _parameter("alarm_rate", ALARM_RATE_DESCRIPTION, **rate),
        ],
        "requestBody": {
            "required": True,
            "description": "one DICOM file: a spine MR slice, or a multi-frame object",
            "content": {
                "multipart/form-data": {"schema": form},
                "application/dicom": {"schema": BINARY},
            },
        },
        "responses": {
            "200": _response("the answer", "application/json", "Prediction"),
            # One for all: Swagger UI would draw the same schema and example twelve times.
            "default": _response(_errors(), MEDIA_TYPE, "Problem"),
        },
    }


def _parameter(name: str, description: str, **limits: float) -> dict[str, Any]:
    schema = {"type": "number", **limits}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _response(description: str, media_type: str, schema: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _errors() -> str:
    """List each status with its codes, in Markdown."""
    kinds = [*_kinds(ImageError), *_kinds(RequestError)]
    lines = ["an error:", ""]
    for status, text in ERRORS.items():
        codes = sorted(f"`{kind.code}`" for kind in kinds if kind.status == status)
        lines.append(f"- **{status}**: {text} ({', '.join(codes)})")
    return "\n".join(lines)


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    """The leaves of a tree of errors: those that are raised."""
    children = kind.__subclasses__()
    for child in children:
        yield from _kinds(child)
    if not children:
        yield kind


def _prediction_schema() -> dict[str, Any]:
    """The answer's schema, with OpenAPI 3.0's word for what may be null."""
    schema = Prediction.model_json_schema(mode="serialization")
    for field in schema["properties"].values():
        for kind in field.pop("anyOf", ()):
            field |= {"nullable": True} if kind["type"] == "null" else kind
    return {**schema, "example": ANSWER.model_dump()}


def _problem_schema() -> dict[str, Any]:
    example = json.loads(REFUSAL.body(ANSWER.request_id))
    return {
        "title": "Problem",
        "description": "RFC 9457; the same shape on every path",
        "type": "object",
        "properties": {
            name: {"type": "integer" if isinstance(value, int) else "string"}
            for name, value in example.items()
        },
        "required": list(example),
        "example": example,
    }


# Swagger UI comes with BentoML. A script of its own, since no page here may hold one (CSP).
_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Spine anomaly</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="./static_content/swagger-ui.css">
    <style>
      .servers, .servers-title, .response-col_links, .try-out__btn.cancel { display: none }
      .responses-table { table-layout: fixed }
      td.response-col_status { width: 5em }
      .renderedMarkdown code { overflow-wrap: anywhere }
      @media (max-width: 600px) {
        .renderedMarkdown ul { padding-left: 1em }
        .swagger-ui .wrapper { padding: 0 8px }
      }
    </style>
  </head>
  <body>
    <div id="page"></div>
    <script src="./static_content/swagger-ui-bundle.js"></script>
    <script src="./page.js"></script>
  </body>
</html>
"""
_SCRIPT = """SwaggerUIBundle({
  url: "./docs.json",
  dom_id: "#page",
  docExpansion: "full",
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,  // the answers show their schemas
  validatorUrl: null,  // a badge that another host would draw
  plugins: PLUGINS,
});
"""
# Swagger UI draws its buttons for a key wherever the document knows one, wanted or not.
_NO_KEY = """() => ({
    wrapComponents: {authorizeBtn: () => () => null, authorizeOperationBtn: () => () => null},
  })"""


def page(asks_key: bool) -> Starlette:
    """An application that serves the page, in place of BentoML's.

    Args:
        asks_key: whether to show the buttons that take an API key.
    """
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    from serving.bento.page_files import file_routes

    script = _SCRIPT.replace("PLUGINS", "[]" if asks_key else f"[{_NO_KEY}]")
    return Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse(_PAGE)),
            Route("/page.js", lambda request: Response(script, media_type="text/javascript")),
            *file_routes(),
        ]
    )
