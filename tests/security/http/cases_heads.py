"""List what is not, or hardly, HTTP/1.1: other protocols, garbage, hostile heads."""

from __future__ import annotations

from tests.security.http.cases import DICOM, LENGTH, ORDINARY, Case, cut, get, head, sized

BAD = "400 bad_request"
LONG = "431 headers_too_large"
LIVEZ = "GET /livez HTTP/1.1"
TLS = bytes.fromhex("160301020001 0001fc0303") + bytes(range(256)) * 2

GARBAGE = [
    Case(name, data, f"{BAD} | closed", "closed")
    for name, data in {
        "a TLS hello": TLS,
        "an SSH banner": b"SSH-2.0-Zqmarker\r\n",
        "SMTP": b"HELO Zqmarker\r\nMAIL FROM:<a@b>\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "SOCKS": b"\x05\x01\x00",
        "a PROXY line": b"PROXY TCP4 203.0.113.77 203.0.113.1 1 2\r\n" + get("/livez"),
        "a PROXY signature": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
        "DICOM's own protocol": b"\x01\0\0\0\0\xcd\0\x01\0\0" + b"ANY-SCP".ljust(200),
        "a DICOM file": DICOM,
        "random bytes": bytes((i * 97 + i // 7) % 256 for i in range(5000)),
        "NULs": bytes(10_000),
        "bytes above 127": b"\xff" * 10_000,
        "HTTP/0.9": b"GET /livez\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "CR only": head(LIVEZ).replace(b"\r\n", b"\r"),
        "no method": b" /livez HTTP/1.1\r\n\r\n",
        "no target": b"GET HTTP/1.1\r\n\r\n",
        "an empty target": b"GET  HTTP/1.1\r\n\r\n",
        "a method of 10,000 letters": b"A" * 10_000 + b" / HTTP/1.1\r\n\r\n",
        "a method with NUL": b"GE\0T / HTTP/1.1\r\n\r\n",
        "a version in small letters": head("GET /livez http/1.1"),
        "HTTP/9.9": head("GET /livez HTTP/9.9"),
        "HTTP/11.1": head("GET /livez HTTP/11.1"),
        "HTTP/x": head("GET /livez HTTP/x"),
        "two targets": head("GET /livez /Zqmarker HTTP/1.1"),
    }.items()
]

VERSIONS = [
    Case("HTTP/1.0", head("GET /livez HTTP/1.0", host=False), "200", "closed"),
    Case(
        "HTTP/1.0 with a body",
        b"POST /predict HTTP/1.0\r\nContent-Type: application/dicom\r\n"
        + LENGTH.encode()
        + b"\r\n\r\n"
        + DICOM,
        "200",
        "closed",
    ),
    Case(
        "HTTP/1.0 that stays",
        head("GET /livez HTTP/1.0", "Connection: keep-alive"),
        "200",
        "either",
    ),
    Case("HTTP/1.0 and an error", head("GET /Zqmarker HTTP/1.0"), "404 not_found", "closed"),
    Case("HTTP/1.2", head("GET /livez HTTP/1.2"), f"200 | {BAD}", "either"),
    Case("HTTP/2.0 in words", head("GET /livez HTTP/2.0"), f"200 | {BAD}", "either"),
    Case("a blank after the version", head(LIVEZ + " "), f"200 | {BAD}", "either"),
    # llhttp reads these as HTTP/1.0, and reports nothing about the name.
    Case("RTSP", ORDINARY.replace(b"HTTP/1.1", b"RTSP/1.0"), f"200 | {BAD}", "closed"),
    Case("ICE", ORDINARY.replace(b"HTTP/1.1", b"ICE/1.0"), f"200 | {BAD}", "closed"),
    Case("two blanks", head("GET  /livez  HTTP/1.1"), f"200 | {BAD}", "either"),
    Case("a tab", head("GET\t/livez\tHTTP/1.1"), f"200 | {BAD}", "either"),
    Case("lines before it", b"\r\n\r\n" + get("/livez"), "200"),
    Case("line ends of LF", head(LIVEZ).replace(b"\r\n", b"\n"), f"200 | {BAD}", "either"),
    Case("half a head, then the end", cut(b"GET /livez HTTP/1.1\r\nHos"), f"closed | {BAD}"),
    Case("nothing, then the end", cut(b""), "closed"),
    Case("Connection: close", head(LIVEZ, "Connection: close"), "200", "closed"),
    Case(
        "Connection: close and keep-alive",
        head(LIVEZ, "Connection: close, keep-alive"),
        "200",
        "either",
    ),
    Case("Connection: Zqmarker", head(LIVEZ, "Connection: Zqmarker, host"), "200", "either"),
]

FIELDS = [
    Case("a header line of 1 MB", get("/livez", "X: " + "x" * 1_000_000), LONG, "closed"),
    Case(
        "a header line of 1 MB without an end",
        head(LIVEZ)[:-2] + b"X: " + b"x" * 1_000_000,
        LONG,
        "closed",
    ),
    Case("a header name of 1 MB", get("/livez", "x" * 1_000_000 + ": y"), LONG, "closed"),
    Case("10,000 header lines", get("/livez", *["X: y"] * 10_000), LONG, "closed"),
    Case("10,000 empty header lines", get("/livez", *["a:"] * 10_000), LONG, "closed"),
    Case("100 header lines", get("/livez", *["X: y"] * 99), "200"),
    Case("101 header lines", get("/livez", *["X: y"] * 100), LONG, "closed"),
    Case("headers of 30 kB", get("/livez", *["X: " + "x" * 997] * 30), "200"),
    Case("headers of 34 kB", get("/livez", *["X: " + "x" * 997] * 34), LONG, "closed"),
    Case("34 kB of headers with a file", sized(LENGTH, *["X: " + "x" * 997] * 34), LONG, "closed"),
    Case(
        "34 kB of headers after a request",
        ORDINARY + get("/livez", *["X: " + "x" * 997] * 34),
        f"200; {LONG} | closed",
        "closed",
    ),
    Case(
        "cookies of 20 kB",
        get("/livez", "Cookie: " + "; ".join(f"a{i}=b" for i in range(2500))),
        "200",
    ),
    Case("line ends without end", b"\r\n" * 40_000, f"{LONG} | {BAD}", "closed"),
    *[
        Case(f"the header line {line!r}", get("/livez", line), BAD, "closed")
        for line in (
            b"nonsense",
            b": empty name",
            b"X : y",
            b"X Y: z",
            b"X\0: y",
            b"X: a\0b",
            b"X: a\rb",
            b"\xff: y",
            b"(X): y",
            b"X\x7f: y",
        )
    ],
    *[
        Case(
            f"the header line {line!r} that may pass", get("/livez", line), f"200 | {BAD}", "either"
        )
        for line in (
            b"X:y",
            b"X:",
            b"X: \xff\xfe",
            b"X: \x01",
            b"X: a\r\n folded",
            b"X: a\r\n\tfolded",
            b"X: a\nY: b",
            b"X:\ty\t",
        )
    ],
    Case(
        "a first header line that is folded",
        b"GET /livez HTTP/1.1\r\n Host: a\r\n\r\n",
        f"200 | {BAD}",
        "either",
    ),
    Case("no Host", head(LIVEZ, host=False), f"200 | {BAD}", "either"),
    Case("an empty Host", head(LIVEZ, "Host:", host=False), f"200 | {BAD}", "either"),
    Case("two Hosts", get("/livez", "Host: Zqmarker"), f"200 | {BAD}", "either"),
    Case(
        "a Host that is none",
        head(LIVEZ, "Host: a b@Zqmarker/..", host=False),
        f"200 | {BAD}",
        "either",
    ),
]

HEADS = [*GARBAGE, *VERSIONS, *FIELDS]
