"""List requests that ask for another protocol, which may be ignored (RFC 9110, 7.8)."""

from __future__ import annotations

from tests.security.http.cases import (
    DICOM,
    LENGTH,
    ORDINARY,
    Case,
    chunked,
    form,
    get,
    head,
    in_turn,
    part,
    post,
    post_chunked,
    sized,
)

BAD = "400 bad_request"
LONG = "431 headers_too_large"
LIVEZ = "GET /livez HTTP/1.1"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
H2C_POST = sized(LENGTH, *H2C)
UPGRADES = [
    # Java's HttpClient asks for it on each first request of a connection, with a body or without.
    Case("h2c", head(LIVEZ, *H2C), "200"),
    Case("h2c with a file", H2C_POST, "200"),
    Case(
        "h2c with a form",
        form(part()).replace(b"\r\n", b"\r\n" + "\r\n".join(H2C).encode() + b"\r\n", 1),
        "200",
    ),
    Case("h2c with a file in chunks", post_chunked(chunked(DICOM), *H2C), "200"),
    Case(
        "h2c with a file in pieces",
        in_turn(*(H2C_POST[at : at + 90] for at in range(0, len(H2C_POST), 90)), pause_s=0.002),
        "200",
    ),
    Case(
        "h2c with a file that waits for 100",
        in_turn(sized(LENGTH, "Expect: 100-continue", *H2C, body=b""), DICOM),
        "100; 200",
    ),
    Case(
        "h2c with a body that is not an image",
        post(b"x", "application/dicom", *H2C),
        "415 not_dicom",
    ),
    Case(
        "h2c for the last request",
        head(LIVEZ, "Connection: Upgrade, close", "Upgrade: h2c"),
        "200",
        "closed",
    ),
    Case("h2c twice", H2C_POST * 2, "200; 200"),
    Case(
        "h2c between others",
        ORDINARY + H2C_POST + get("/Zqmarker", *H2C) + ORDINARY,
        "200; 200; 404 not_found; 200",
    ),
    Case("h2c thirty times", head(LIVEZ, *H2C) * 30, "; ".join(["200"] * 30)),
    Case(
        "h2c a hundred times",
        head(LIVEZ, *H2C) * 100,
        "; ".join(["200"] + ["200 | closed"] * 99),
        "either",
    ),
    Case("h2c and two lengths", sized(LENGTH, "Content-Length: 5", *H2C), BAD, "closed"),
    Case(
        "h2c, a length and chunks", sized(LENGTH, "Transfer-Encoding: chunked", *H2C), BAD, "closed"
    ),
    Case("h2c and a length that is none", sized("Content-Length: -1", *H2C), BAD, "closed"),
    Case(
        "h2c and a body that is refused",
        sized("Content-Length: 300000000", *H2C, body=b""),
        "413 body_too_large",
        "either",
    ),
    Case(
        "h2c and a body of requests",
        sized(f"Content-Length: {len(get('/a'))}", *H2C, body=get("/a")),
        "415 not_dicom",
    ),
    Case(
        "h2c and 34 kB of headers", get("/livez", *H2C, *["X: " + "x" * 997] * 34), LONG, "closed"
    ),
    Case("h2c and 124 header lines", get("/livez", *H2C, *["X: y"] * 120), LONG, "closed"),
    Case("h2c and a long target", get("/" + "x" * 9000, *H2C), "414 target_too_long", "closed"),
    Case("h2c in HTTP/1.0", head("GET /livez HTTP/1.0", *H2C), "200", "either"),
    Case(
        "h2c, then HTTP/2",
        head(LIVEZ, *H2C) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"200; {BAD} | closed",
        "closed",
    ),
    Case(
        "h2c and folded headers",
        get("/livez", "Connection: Upgrade", "Upgrade: h2c\r\n Zqmarker"),
        f"200 | {BAD}",
        "either",
    ),
    Case("TLS asked for", head(LIVEZ, "Connection: Upgrade", "Upgrade: TLS/1.2"), "200"),
    Case(
        "an upgrade to nothing",
        head(LIVEZ, "Connection: Upgrade", "Upgrade:"),
        f"200 | {BAD}",
        "either",
    ),
    Case("an upgrade to 7 kB", head(LIVEZ, "Connection: Upgrade", "Upgrade: " + "x" * 7000), "200"),
    *[
        Case(
            f"a WebSocket at {path}",
            get(
                path,
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
            answers,
            "either",
        )
        for path, answers in {
            "/livez": f"200 | {BAD}",
            "/predict": f"405 method_not_allowed | {BAD}",
            "/Zqmarker": f"404 not_found | {BAD}",
        }.items()
    ],
    Case(
        "a WebSocket's frames after it",
        get("/livez", "Connection: Upgrade", "Upgrade: websocket") + b"\x81\x85\0\0\0\0hello",
        f"200; {BAD} | closed",
        "either",
    ),
]
