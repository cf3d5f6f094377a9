"""Complete what BentoML writes into the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from serving.contract import ALARM_RATE_DESCRIPTION, THRESHOLD_DESCRIPTION
from serving.problems import MEDIA_TYPE

BINARY = {"type": "string", "format": "binary"}
ERRORS = {
    "400": "a field is missing, repeated or not valid, or the request is not HTTP",
    "401": "a valid API key is missing, where the service asks for one",
    "408": "the request came too slowly",
    "413": "a limit of size is exceeded",
    "414": "the request's target is too long",
    "415": "neither a form nor DICOM, or a transfer syntax that is not supported",
    "422": "DICOM, but not a usable grayscale MR image",
    "429": "too many requests are waiting, or this client sends too many; see Retry-After",
    "431": "the request's headers are too large",
    "500": "a fault of the server",
    "503": "not ready, stopping, or too many connections are open; see Retry-After",
    "504": "the deadline passed",
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457; the same shape on every path",
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        **{
            name: {"type": "string"}
            for name in ("type", "title", "detail", "instance", "code", "request_id", "error")
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "error"],
}


@dataclass(frozen=True)
class OpenAPI:
    """A document in the shape in which BentoML expects its own."""

    document: dict[str, Any]

    def asdict(self) -> dict[str, Any]:
        """The document as plain dictionaries."""
        return self.document


# `bentoml build` writes the document with yaml.dump.
yaml.add_representer(OpenAPI, lambda dumper, spec: dumper.represent_dict(spec.document))


def complete_predict(document: dict[str, Any]) -> dict[str, Any]:
    """Add to POST /predict what its signature cannot say.

    That is the query parameters, the raw body, and errors as they are really answered.

    Args:
        document: OpenAPI 3.0 as plain dictionaries; changed in place.

    Returns:
        The same document.
    """
    document["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    operation = document["paths"]["/predict"]["post"]
    # Each is enough; the empty one says that a service without keys is open.
    operation["security"] = [{name: []} for name in SECURITY_SCHEMES] + [{}]
    operation["parameters"] = [
        {
            "name": "threshold",
            "in": "query",
            "required": False,
            "description": THRESHOLD_DESCRIPTION,
            "schema": {"type": "number", "minimum": 0},
            "example": 0.02,
        },
        {
            "name": "alarm_rate",
            "in": "query",
            "required": False,
            "description": ALARM_RATE_DESCRIPTION,
            # OpenAPI 3.0: the bounds themselves are excluded.
            "schema": {
                **{"type": "number", "minimum": 0, "exclusiveMinimum": True},
                **{"maximum": 1, "exclusiveMaximum": True},
            },
            "example": 0.01,
        },
    ]
    content = operation["requestBody"]["content"]
    # Swagger shows an upload button for this, and text for BentoML's own type "file".
    content["multipart/form-data"]["schema"]["properties"]["file"].update(BINARY)
    content["application/dicom"] = {"schema": BINARY}
    schema = {"$ref": "#/components/schemas/Problem"}
    success = operation["responses"].get("200") or operation["responses"][200]
    operation["responses"] = {
        "200": success,
        **{
            status: {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
            for status, text in ERRORS.items()
        },
    }
    return document
