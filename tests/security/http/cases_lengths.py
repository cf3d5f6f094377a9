"""List requests whose lengths are hostile: missing, broken, repeated, at odds (RFC 9112, 6)."""

from __future__ import annotations

from tests.security.http.cases import DICOM, LENGTH, Case, chunked, cut, get, head, post, sized

BAD = "400 bad_request"
TOO_LARGE = "413 body_too_large"
CHUNKS = chunked(DICOM)
# A server that keeps to the framing of the request before it does not answer it.
SMUGGLED = get("/smuggled")
TEN = f"Content-Length: {10 * len(SMUGGLED)}"

LENGTHS = [
    Case("no length and no body", sized(body=b""), "400 empty_file"),
    Case("no length and a body", sized(), f"400 empty_file | {BAD}; {BAD} | closed", "closed"),
    Case("a length of 0", sized("Content-Length: 0", body=b""), "400 empty_file"),
    *[
        Case(f"a length of {text!r}", sized(f"Content-Length: {text}"), BAD, "closed")
        for text in (
            *("-1", "-0", f"+{len(DICOM)}", hex(len(DICOM)), "1e3", "1.0", "", "ten", "1 2", "1,2"),
            *(
                f"{len(DICOM)}, {len(DICOM)}",
                "1_0",
                "9" * 30,
                "9" * 5000,
                "\xb2",
                "18446744073709551616",
            ),
        )
    ],
    *[
        Case(f"a length of {number} bytes", sized(f"Content-Length: {number}"), TOO_LARGE, "either")
        for number in (32_000_001, 300_000_000, 2**31, 2**32 + len(DICOM), 2**63 - 1, 2**64 - 1)
    ],
    Case(
        "a length with zeros in front",
        sized(f"Content-Length: {len(DICOM):020}"),
        f"200 | {BAD}",
        "either",
    ),
    Case(
        "a length with 400 zeros in front",
        sized(f"Content-Length: {len(DICOM):0400}"),
        f"200 | {BAD}",
        "either",
    ),
    Case(
        "a large length with 40 zeros in front",
        sized(f"Content-Length: {300_000_000:040}"),
        f"{TOO_LARGE} | {BAD}",
        "either",
    ),
    Case(
        "a length above the body's",
        cut(sized(f"Content-Length: {len(DICOM) + 1}")),
        f"closed | {BAD}",
    ),
    Case(
        "a length below the body's",
        sized(f"Content-Length: {len(DICOM) - 99}"),
        f"422 damaged_image | 422 geometry_mismatch | {BAD}; {BAD} | closed",
        "closed",
    ),
    Case(
        "a length below the body's, and a request in it",
        sized("Content-Length: 0", body=SMUGGLED),
        "400 empty_file; 404 not_found",
    ),
    Case("the same length twice", sized(LENGTH, LENGTH), f"200 | {BAD}", "either"),
    Case("two lengths", sized(LENGTH, "Content-Length: 5", body=DICOM + SMUGGLED), BAD, "closed"),
    Case(
        "two lengths, the small one first",
        sized("Content-Length: 5", LENGTH, body=DICOM + SMUGGLED),
        BAD,
        "closed",
    ),
    Case("a length on GET", head("GET /livez HTTP/1.1", "Content-Length: 5") + b"hello", "200"),
    Case(
        "a length on GET of 40 MB",
        head("GET /livez HTTP/1.1", "Content-Length: 40000000"),
        "200 | 413 body_too_large | 400 bad_request",
        "either",
    ),
    Case("a length with NUL", sized(b"Content-Length: 5\0"), BAD, "closed"),
    Case(
        "a length folded",
        sized("Content-Length:\r\n 5", body=b"hello"),
        f"{BAD} | 415 not_dicom",
        "either",
    ),
    Case(
        "a length with a blank before the colon",
        sized(f"Content-Length : {len(DICOM)}"),
        BAD,
        "closed",
    ),
]

# A body that no route reads is skipped, not read as requests.
SKIPPED = [
    Case("GET with a body of requests", head("GET /livez HTTP/1.1", TEN) + SMUGGLED * 10, "200"),
    Case(
        "404 and a body of requests", head("POST /a HTTP/1.1", TEN) + SMUGGLED * 10, "404 not_found"
    ),
    Case(
        "405 and a body of requests",
        head("PUT /predict HTTP/1.1", TEN) + SMUGGLED * 10,
        "405 method_not_allowed",
    ),
    Case(
        "415 and a body of requests",
        post(SMUGGLED * 10, "text/plain"),
        "415 unsupported_media_type",
    ),
    Case("413 and a body of requests", post(SMUGGLED * 900_000), TOO_LARGE, "either"),
    Case(
        "404 and chunks of requests",
        head("POST /a HTTP/1.1", "Transfer-Encoding: chunked") + chunked(SMUGGLED * 10),
        "404 not_found",
    ),
]

SMUGGLING = [
    *[
        Case(f"a length and {text!r}", sized(text, LENGTH, body=body + SMUGGLED), BAD, "closed")
        for body in (CHUNKS,)
        for text in (
            "Transfer-Encoding: chunked",
            "TRANSFER-ENCODING: CHUNKED",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\x0bchunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity",
            'Transfer-Encoding: "chunked"',
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "X: y\nTransfer-Encoding: chunked",
            "X: y\rTransfer-Encoding: chunked",
            "Transfer-Encoding\0: chunked",
            "Transfer-Encoding:\r\n chunked",
        )
    ],
    Case(
        "chunks, then a length",
        sized("Transfer-Encoding: chunked", LENGTH, body=CHUNKS),
        BAD,
        "closed",
    ),
    Case("a length and an underscore", sized("Transfer_Encoding: chunked", LENGTH), "200"),
    *[
        Case(f"{text!r} alone", sized(text, body=CHUNKS + SMUGGLED), BAD, "closed")
        for text in (
            "Transfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: chunked chunked",
            "Transfer-Encoding: ,",
            "Transfer-Encoding: \xff",
        )
    ],
    *[
        Case(f"{text!r} and chunks", sized(text, body=CHUNKS + SMUGGLED), BAD, "closed")
        for text in (
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: gzip,chunked",
            "transfer-encoding: GZIP ,\tCHUNKED",
            "Transfer-Encoding: deflate, gzip, chunked",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: , chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: q=1;chunked",
            "Transfer-Encoding: chunked, chunked;q=1",
            "Transfer-Encoding: zqmarker chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: \x0cchunked",
            "Transfer-Encoding: \xa0chunked",
            "Transfer-Encoding: \r\n chunked",
        )
    ],
    *[
        Case(f"{text!r} and chunks", sized(text, body=CHUNKS), "200")
        for text in ("Transfer-Encoding:chunked", "Transfer-encoding: \t ChunkeD")
    ],
    *[
        Case(
            f"{text!r} in HTTP/1.0",
            head("POST /predict HTTP/1.0", "Content-Type: application/dicom", *text.split("; "))
            + CHUNKS,
            BAD,
            "closed",
        )
        for text in (
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked; Connection: keep-alive",
        )
    ],
]

FRAMING = [*LENGTHS, *SKIPPED, *SMUGGLING]
