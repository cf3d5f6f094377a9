"""List bodies that are large, and requests that never end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

from tests.security.http.cases import Case, Send, get, head
from tests.security.http.raw_http import Connection

MB = 1_000_000
TOO_LARGE = "413 body_too_large"
BAD = "400 bad_request"
LONG = "431 headers_too_large"
TYPE = "415 unsupported_media_type"
PIECE = b"x" * MB
CHUNK = b"%x\r\n%b\r\n" % (MB, PIECE)
DICOM = "Content-Type: application/dicom"
POST = "POST /predict HTTP/1.1"
SIZE = f"Content-Length: {40 * MB}"


def pushed(start: bytes, n_mb: int = 40) -> Send:
    """Send a head and many megabytes, and read nothing before that."""
    return lambda connection: connection.send(start, *repeat(PIECE, n_mb))


def pushed_in_chunks(n_mb: int, *fields: str) -> Send:
    """Send a complete body in large chunks."""
    start = head(POST, DICOM, "Transfer-Encoding: chunked", *fields)
    return lambda connection: connection.send(start, *repeat(CHUNK, n_mb), b"0\r\n\r\n")


def announced(n_mb: int) -> bytes:
    """Write a head that announces so many megabytes of DICOM."""
    return head(POST, DICOM, f"Content-Length: {n_mb * MB}")


def answered_while_sending(connection: Connection) -> None:
    """Send 300 MB, but stop as soon as there is an answer; then leave."""
    n_sent = connection.stream(chain((announced(300),), repeat(PIECE, 300)))
    assert n_sent < 300 * MB


# The answer is there before the body is; it must not be lost in a reset.
EARLY = [
    Case(
        "40 MB to a path that is not there",
        pushed(head("POST /Zqmarker HTTP/1.1", SIZE)),
        "404 not_found",
        "either",
    ),
    Case(
        "40 MB to a path that takes none",
        pushed(head("PUT /predict HTTP/1.1", SIZE)),
        "405 method_not_allowed",
        "either",
    ),
    Case("40 MB announced", pushed(announced(40)), TOO_LARGE, "either"),
    Case(
        "40 MB of a wrong type",
        pushed(head(POST, SIZE, "Content-Type: text/plain")),
        TYPE,
        "either",
    ),
    Case(
        "40 MB in an encoding",
        pushed(head(POST, SIZE, DICOM, "Content-Encoding: gzip")),
        TYPE,
        "either",
    ),
    Case(
        "40 MB after a bad length", pushed(head(POST, DICOM, "Content-Length: -1")), BAD, "closed"
    ),
    Case(
        "40 MB after two lengths",
        pushed(head(POST, DICOM, SIZE, "Content-Length: 1")),
        BAD,
        "closed",
    ),
    Case(
        "40 MB after a length and chunks",
        pushed(head(POST, DICOM, SIZE, "Transfer-Encoding: chunked")),
        BAD,
        "closed",
    ),
    Case(
        "40 MB after a long head", pushed(head(POST, DICOM, SIZE, *["X: y"] * 200)), LONG, "closed"
    ),
    Case(
        "40 MB after a long target",
        pushed(head(f"POST /{'x' * 9000} HTTP/1.1", DICOM, SIZE)),
        "414 target_too_long",
        "closed",
    ),
    Case("40 MB of a header line", pushed(b"GET /livez HTTP/1.1\r\nX: "), LONG, "closed"),
    Case("40 MB of garbage", pushed(b"\x16\x03\x01"), BAD, "closed"),
    Case(
        "40 MB after a request that is the last",
        pushed(get("/livez", "Connection: close")),
        "200",
        "closed",
    ),
    Case("40 MB in chunks", pushed_in_chunks(40), TOO_LARGE, "either"),
    Case(
        "40 MB in chunks that wait for 100",
        pushed_in_chunks(40, "Expect: 100-continue"),
        "100; " + TOO_LARGE,
        "either",
    ),
    Case(
        "40 MB in broken chunks",
        lambda connection: connection.send(
            head(POST, DICOM, "Transfer-Encoding: chunked"), CHUNK, *repeat(PIECE, 40)
        ),
        BAD,
        "closed",
    ),
    Case(
        "40 MB of HTTP/1.0",
        pushed(head("POST /predict HTTP/1.0", DICOM, SIZE)),
        TOO_LARGE,
        "closed",
    ),
    Case("32 MB of one letter", pushed(announced(32), 32), "415 not_dicom"),
    Case(
        "32 MB and one byte",
        pushed(head(POST, DICOM, f"Content-Length: {32 * MB + 1}") + b"\0", 32),
        TOO_LARGE,
        "either",
    ),
    Case(
        "32 MB and a chunk of one byte",
        lambda connection: connection.send(
            head(POST, DICOM, "Transfer-Encoding: chunked"),
            *repeat(CHUNK, 32),
            b"1\r\n\0\r\n0\r\n\r\n",
        ),
        TOO_LARGE,
        "either",
    ),
    Case("300 MB", pushed(announced(300), 300), TOO_LARGE, "either"),
    Case("300 MB in chunks", pushed_in_chunks(300), TOO_LARGE, "either"),
    Case("300 MB of a client that looks up", answered_while_sending, TOO_LARGE, "either"),
]

# Sent again and again by a client that never stops: what comes first, what comes then, the answers.
ENDLESS: dict[str, tuple[bytes, bytes, str]] = {
    "a body in chunks": (head(POST, DICOM, "Transfer-Encoding: chunked"), CHUNK, TOO_LARGE),
    "chunks of one byte": (
        head(POST, DICOM, "Transfer-Encoding: chunked"),
        b"1\r\n\0\r\n" * 100_000,
        f"{TOO_LARGE} | 408 request_too_slow",
    ),
    "a chunk's size": (
        head(POST, DICOM, "Transfer-Encoding: chunked"),
        b"0" * MB,
        f"{BAD} | {TOO_LARGE} | 408 request_too_slow | {LONG}",
    ),
    "a chunk's extension": (
        head(POST, DICOM, "Transfer-Encoding: chunked") + b"5;",
        b"x" * MB,
        f"{BAD} | {TOO_LARGE} | 408 request_too_slow | {LONG}",
    ),
    "trailers": (
        head(POST, DICOM, "Transfer-Encoding: chunked") + b"0\r\n",
        b"X: y\r\n" * 200_000,
        f"{BAD} | {TOO_LARGE} | 408 request_too_slow | {LONG}",
    ),
    "one trailer": (
        head(POST, DICOM, "Transfer-Encoding: chunked") + b"0\r\nX: ",
        b"x" * MB,
        f"{BAD} | {TOO_LARGE} | 408 request_too_slow | {LONG}",
    ),
    "header lines": (b"GET /livez HTTP/1.1\r\n", b"X: y\r\n" * 200_000, LONG),
    "a header line": (b"GET /livez HTTP/1.1\r\nX: ", b"x" * MB, LONG),
    "a target": (b"GET /", b"x" * MB, "414 target_too_long"),
    "a method": (b"GET", b"G" * MB, BAD),
    "line ends": (b"", b"\r\n" * 500_000, f"{BAD} | {LONG}"),
    "garbage": (b"\0", bytes(MB), BAD),
    "a body of a wrong type": (
        head(POST, "Content-Type: a/b", "Transfer-Encoding: chunked"),
        CHUNK,
        TYPE,
    ),
    "a body that no route reads": (
        head("POST /Zqmarker HTTP/1.1", "Transfer-Encoding: chunked"),
        CHUNK,
        "404 not_found",
    ),
    "an announced body": (announced(10**9), PIECE, TOO_LARGE),
}


def endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    """What a client sends that never stops."""
    return chain((start,), repeat(piece))
