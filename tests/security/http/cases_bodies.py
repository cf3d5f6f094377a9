"""List bodies of wrong, odd or missing types, and encoded ones."""

from __future__ import annotations

import gzip
import json

from tests.security.http.cases import (
    DICOM,
    LISTENER,
    Case,
    chunked,
    form_body,
    head,
    part,
    post,
)

TYPE = "415 unsupported_media_type"
NOT_DICOM = "415 not_dicom"
FORM_BODY = form_body(part())


def typed(content_type: str | bytes, body: bytes = DICOM) -> bytes:
    """Post a body under a type."""
    return post(body, content_type)


def untyped(*fields: str) -> bytes:
    """Post a body without a type."""
    return head("POST /predict HTTP/1.1", f"Content-Length: {len(DICOM)}", *fields) + DICOM


def encoded(*fields: str, body: bytes = DICOM) -> bytes:
    """Post a body with further header lines."""
    return post(body, "application/dicom", *fields)


CONTENT_TYPES = [
    Case("no Content-Type", untyped(), TYPE),
    Case("an empty Content-Type", untyped("Content-Type:"), TYPE),
    Case("a Content-Type of garbage", typed(b"\xff\xfe\x80"), TYPE),
    Case("a Content-Type of quotes", typed('";"";'), TYPE),
    Case("a Content-Type of 8 kB", typed("application/" + "x" * 8000), TYPE),
    Case("a Content-Type that is a sentence", typed("this is Zqmarker's slice"), TYPE),
    Case("DICOM in capitals", typed("APPLICATION/DICOM"), "200"),
    Case("DICOM with parameters", typed("application/dicom; transfer-syntax=*"), "200"),
    Case("DICOM with a marker", typed("application/dicom; name=Zqmarker"), "200"),
    Case("DICOM with bytes above 127", typed(b"application/dicom; name=\xff\xfe"), f"200 | {TYPE}"),
    Case("DICOM with a parameter of 8 kB", typed("application/dicom; a=" + "x" * 8000), "200"),
    Case("octet-stream", typed("application/octet-stream"), "200"),
    Case("DICOM as JSON", typed("application/dicom+json"), TYPE),
    Case("two types in one line", typed("application/dicom, application/json"), TYPE),
    Case(
        "a form in other letters",
        typed("Multipart/Form-Data; BOUNDARY=spine-test", FORM_BODY),
        "200",
    ),
    Case("a mixed multipart", typed("multipart/mixed; boundary=spine-test", FORM_BODY), TYPE),
    Case("a related multipart", typed("multipart/related; boundary=spine-test", FORM_BODY), TYPE),
    Case(
        "an urlencoded form",
        typed("application/x-www-form-urlencoded", b"file=x&threshold=1"),
        TYPE,
    ),
    Case("text", typed("text/plain"), TYPE),
    Case("an image", typed("image/png", b"\x89PNG\r\n\x1a\n"), TYPE),
    Case(
        "XML with an entity",
        typed("application/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'),
        TYPE,
    ),
    Case(
        "two Content-Types",
        untyped("Content-Type: application/dicom", "Content-Type: application/json"),
        f"200 | {TYPE} | 400 bad_request",
    ),
]

ENCODINGS = [
    Case("gzip", encoded("Content-Encoding: gzip", body=gzip.compress(DICOM)), TYPE),
    Case("gzip in capitals", encoded("Content-Encoding: GZIP"), TYPE),
    Case(
        "a gzip bomb",
        encoded("Content-Encoding: gzip", body=gzip.compress(bytes(50_000_000))),
        TYPE,
    ),
    Case("deflate", encoded("Content-Encoding: deflate"), TYPE),
    Case("an unknown encoding", encoded("Content-Encoding: Zqmarker"), TYPE),
    Case("identity", encoded("Content-Encoding: identity"), "200"),
    Case("an empty encoding", encoded("Content-Encoding:"), f"200 | {TYPE}"),
    Case("identity, then gzip", encoded("Content-Encoding: identity, gzip"), TYPE),
    Case(
        "gzip in one line, identity in another",
        encoded("Content-Encoding: gzip", "Content-Encoding: identity"),
        TYPE,
    ),
    Case(
        "identity in one line, gzip in another",
        encoded("Content-Encoding: identity", "Content-Encoding: gzip"),
        TYPE,
    ),
    Case("gzip that is not announced", encoded(body=gzip.compress(DICOM)), NOT_DICOM),
    Case(
        "gzip inside chunks that declare it",
        head(
            "POST /predict HTTP/1.1",
            "Content-Type: application/dicom",
            "Transfer-Encoding: gzip, chunked",
        )
        + chunked(gzip.compress(DICOM)),
        f"{TYPE} | {NOT_DICOM} | 400 bad_request",
        "either",
    ),
]

JSONS = [
    Case(f"JSON: {name}", typed("application/json", body), TYPE)
    for name, body in {
        "a URL": json.dumps({"file": f"http://{LISTENER}/a.dcm"}).encode(),
        "a path": b'{"file": "file:///etc/passwd"}',
        "nothing": b"",
        "broken": b'{"file": ',
        "100,000 brackets": b"[" * 100_000,
        "a long number": b"9" * 100_000,
        "NaN": b'{"threshold": NaN}',
    }.items()
]

BODIES = [*CONTENT_TYPES, *ENCODINGS, *JSONS]
