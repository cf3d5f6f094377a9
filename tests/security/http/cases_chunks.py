"""List requests whose chunks are hostile, and requests in a hostile order (RFC 9112, 7 and 9)."""

from __future__ import annotations

from tests.security.http.cases import (
    DICOM,
    LENGTH,
    ORDINARY,
    Case,
    chunked,
    cut,
    get,
    head,
    in_turn,
    post,
    post_chunked,
    sized,
)

BAD = "400 bad_request"
TOO_LARGE = "413 body_too_large"
CHUNKS = chunked(DICOM)
EXPECT = "Expect: 100-continue"

CHUNKING = [
    Case("one chunk", post_chunked(CHUNKS), "200"),
    *[
        Case(
            f"broken chunks after {n_sound} sound ones",
            post_chunked(CHUNKS) * n_sound + post_chunked(b"5\r\nabcde\r\nZZ\r\n"),
            "200; " * n_sound + "closed",
            "closed",
        )
        for n_sound in (1, 2, 3)
    ],
    Case(
        "chunks of one byte",
        post_chunked(chunked(*(DICOM[i : i + 1] for i in range(len(DICOM))))),
        "200",
    ),
    Case(
        "chunk sizes in capitals and zeros",
        post_chunked(b"%08X\r\n%b\r\n000\r\n\r\n" % (len(DICOM), DICOM)),
        "200",
    ),
    Case(
        "chunk extensions",
        post_chunked(b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(DICOM), DICOM)),
        "200",
    ),
    Case(
        "a chunk extension of 1 MB",
        post_chunked(b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(DICOM), b"x" * 1_000_000, DICOM)),
        f"200 | {BAD} | 413 body_too_large | 431 headers_too_large",
        "either",
    ),
    Case(
        "a chunk size of 5000 digits", post_chunked(b"0" * 5000 + CHUNKS), f"200 | {BAD}", "either"
    ),
    Case("a chunk size line of 1 MB", post_chunked(b"1" * 1_000_000), BAD, "closed"),
    Case(
        "a large body in chunks of 64 bytes",
        post_chunked(chunked(*[b"x" * 64] * 9000)),
        "415 not_dicom",
    ),
    Case("no chunks", post_chunked(b"0\r\n\r\n"), "400 empty_file"),
    Case("a chunk of 2^64 bytes", post_chunked(b"10000000000000000\r\n" + DICOM), BAD, "closed"),
    Case(
        "a chunk of 2^63 bytes",
        cut(post_chunked(b"8000000000000000\r\n" + DICOM)),
        f"closed | {BAD} | {TOO_LARGE}",
    ),
    *[
        Case(f"a chunk of size {size!r}", post_chunked(size + b"\r\n" + DICOM), BAD, "closed")
        for size in (b"", b"-5", b"+5", b"0x5", b"5 5", b" 5", b"g", b"\xff", b"5\0", b"5.")
    ],
    Case("a chunk below its data", post_chunked(b"5\r\nabcdefgh\r\n0\r\n\r\n"), BAD, "closed"),
    Case("a chunk above its data", post_chunked(b"9\r\nabcde\r\n0\r\n\r\nabcdefgh"), BAD, "closed"),
    Case("chunks without line ends", post_chunked(b"5\r\nabcde5\r\nabcde0\r\n\r\n"), BAD, "closed"),
    Case("chunk lines of LF", post_chunked(b"5\nabcde\n0\n\n"), BAD, "closed"),
    Case("LF in a chunk extension", post_chunked(b"5;a\nb\r\nabcde\r\n0\r\n\r\n"), BAD, "closed"),
    Case("chunks without an end", cut(post_chunked(b"5\r\nabcde\r\n")), f"closed | {BAD}"),
    Case("trailers", post_chunked(CHUNKS[:-2] + b"Checksum: Zqmarker\r\nX: y\r\n\r\n"), "200"),
    Case(
        "trailers that would be headers",
        post_chunked(CHUNKS[:-2] + b"Content-Encoding: gzip\r\nContent-Type: text/plain\r\n\r\n"),
        "200",
    ),
    Case(
        "trailers that state its length",
        post_chunked(CHUNKS[:-2] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        f"200 | {BAD}",
        "either",
    ),
    Case(
        "trailers of 20,000 lines",
        post_chunked(CHUNKS[:-2] + b"X: y\r\n" * 20_000 + b"\r\n"),
        f"200 | {BAD} | 431 headers_too_large",
        "either",
    ),
    Case(
        "a trailer without a colon", post_chunked(CHUNKS[:-2] + b"nonsense\r\n\r\n"), BAD, "closed"
    ),
    Case(
        "chunks piece by piece",
        in_turn(post_chunked(b""), *(CHUNKS[at : at + 700] for at in range(0, len(CHUNKS), 700))),
        "200",
    ),
]

ORDER = [
    Case("a body that waits for 100", in_turn(sized(LENGTH, EXPECT, body=b""), DICOM), "100; 200"),
    Case(
        "the same in capitals", in_turn(sized(LENGTH, EXPECT.upper(), body=b""), DICOM), "100; 200"
    ),
    Case(
        "no 100 for 300 MB",
        head(
            "POST /predict HTTP/1.1",
            EXPECT,
            "Content-Type: application/dicom",
            "Content-Length: 300000000",
        ),
        TOO_LARGE,
        "either",
    ),
    Case(
        "no 100 for a type that is refused",
        head("POST /predict HTTP/1.1", EXPECT, "Content-Type: text/plain", LENGTH),
        "415 unsupported_media_type",
        "either",
    ),
    Case(
        "no 100 for an unknown path",
        head("POST /Zqmarker HTTP/1.1", EXPECT, LENGTH),
        "404 not_found",
        "either",
    ),
    Case(
        "no 100 for HTTP/1.0",
        in_turn(
            head("POST /predict HTTP/1.0", EXPECT, "Content-Type: application/dicom", LENGTH),
            DICOM,
            pause_s=0.3,
        ),
        "200",
        "closed",
    ),
    Case("another expectation", sized(LENGTH, "Expect: Zqmarker"), f"200 | {BAD}", "either"),
    Case("two requests at once", ORDINARY * 2, "200; 200"),
    Case("thirty requests at once", get("/livez") * 30, "; ".join(["200"] * 30)),
    Case("one in chunks, then another", post_chunked(CHUNKS) + get("/livez"), "200; 200"),
    Case(
        "a bad one between two good ones",
        ORDINARY + post(b"x") + ORDINARY,
        "200; 415 not_dicom; 200",
    ),
    Case(
        "a hundred at once",
        get("/livez") * 100,
        "; ".join(["200"] + ["200 | closed"] * 99),
        "either",
    ),
    Case("unknown paths at once", get("/Zqmarker") * 20, "; ".join(["404 not_found"] * 20)),
    Case(
        "garbage after a request",
        ORDINARY + b"\0garbage\r\n\r\n",
        f"200; {BAD} | closed",
        "closed",
    ),
    Case(
        "two lengths after a request",
        ORDINARY + sized(LENGTH, "Content-Length: 5") + get("/smuggled"),
        f"200; {BAD} | closed",
        "closed",
    ),
    Case(
        "a request after the last one",
        head("GET /livez HTTP/1.1", "Connection: close") + get("/smuggled"),
        "200",
        "closed",
    ),
    Case(
        "half a request after one, then the end",
        cut(ORDINARY + ORDINARY[:50]),
        "200; closed",
    ),
    Case("a request, then the end", cut(ORDINARY), "200; closed"),
    Case("a request in chunks, then the end", cut(post_chunked(CHUNKS)), "200; closed"),
    Case("three requests, then the end", cut(ORDINARY * 3), "200; 200; 200; closed"),
    Case(
        "two requests and a half, then the end",
        cut(ORDINARY * 2 + ORDINARY[:-50]),
        "200; 200; closed",
    ),
    Case("a large page, then the end", cut(get("/docs.json")), "200; closed"),
    Case("a request that is refused, then the end", cut(post(b"x")), "415 not_dicom; closed"),
    Case("an unknown path, then the end", cut(get("/Zqmarker")), "404 not_found; closed"),
    Case(
        "a byte at a time",
        in_turn(*(get("/livez")[at : at + 1] for at in range(len(get("/livez")))), pause_s=0.001),
        "200",
    ),
    Case(
        "line by line",
        in_turn(*ORDINARY.removesuffix(DICOM).splitlines(keepends=True), DICOM),
        "200",
    ),
]

CHUNKS_AND_ORDER = [*CHUNKING, *ORDER]
