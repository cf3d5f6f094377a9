"""List values of parameters and headers: thresholds, alarm rates, identifiers, addresses."""

from __future__ import annotations

from urllib.parse import quote

from tests.security.http.cases import DICOM, Case, form, part, post, text_part

BAD_THRESHOLD = "400 threshold_invalid"
BAD_RATE = "400 alarm_rate_invalid"
CONFLICT = "400 deciders_conflict"
UNKNOWN = "400 parameter_unknown"

NUMBERS = (
    "0",
    "0.02",
    "1",
    "-0",
    "-0.0",
    "+0.1",
    ".5",
    "5.",
    "1e5",
    "1E-3",
    " 0.1 ",
    "1e308",
    "1e-400",
    "0" * 60,
    "null",
)
NOT_NUMBERS = (
    *(
        "",
        " ",
        "-1",
        "-1e-9",
        "nan",
        "NaN",
        "-nan",
        "inf",
        "Infinity",
        "-inf",
        "1e309",
        "1e999",
        "9" * 400,
    ),
    *(
        "1_0",
        "1,5",
        "0x10",
        "0b1",
        "1e",
        "e1",
        ".",
        "+",
        "--1",
        "1 2",
        "0.1f",
        "0.1\0",
        "1\n2",
        "½",
        "٣",
        "\uff11",
        "²",
        "一",
    ),
    *(
        "true",
        "None",
        "undefined",
        "NULL",
        "[]",
        "{}",
        '"0.1"',
        "'0.1'",
        "0.1;0.2",
        "0.1%",
        "1/2",
        "$1",
        "Zqmarker",
        "a" * 7000,
    ),
)


def asked(query: str) -> bytes:
    """Post a file with a query."""
    return post(DICOM, target=f"/predict?{query}")


def filled(**texts: str) -> bytes:
    """Post a file with other fields."""
    return form(part(), *(text_part(name, text) for name, text in texts.items()))


def shown(text: str) -> str:
    """A value in a test's name."""
    return ascii(text if len(text) < 20 else f"{text[:4]}... ({len(text)})")


THRESHOLDS = [
    *[
        case
        for texts, answer in ((NUMBERS, "200"), (NOT_NUMBERS, BAD_THRESHOLD))
        for text in texts
        for case in (
            Case(
                f"threshold {shown(text)} in the query", asked(f"threshold={quote(text)}"), answer
            ),
            Case(f"threshold {shown(text)} in the form", filled(threshold=text), answer),
        )
    ],
    Case(
        "a threshold of 10,000 digits in the query",
        asked("threshold=" + "1" * 10_000),
        "414 target_too_long",
        "closed",
    ),
    Case("a threshold of 10,000 digits in the form", filled(threshold="1" * 10_000), BAD_THRESHOLD),
    Case("a threshold of 20 MB in the form", filled(threshold="1" * 20_000_000), BAD_THRESHOLD),
    Case("the same threshold twice", asked("threshold=0.1&threshold=0.10"), "200"),
    Case("two thresholds", asked("threshold=0.1&threshold=0.2"), BAD_THRESHOLD),
    Case("a threshold and an empty one", asked("threshold=0.1&threshold="), BAD_THRESHOLD),
    Case("a thousand thresholds", asked("threshold=1&" * 580), "200"),
    Case(
        "two thresholds in the form",
        form(part(), text_part("threshold", "1"), text_part("threshold", "2")),
        BAD_THRESHOLD,
    ),
    Case(
        "the same threshold in query and form",
        form(part(), text_part("threshold", "0.1"), target="/predict?threshold=0.1"),
        "200",
    ),
    Case(
        "another threshold in query and form",
        form(part(), text_part("threshold", "0.1"), target="/predict?threshold=0.2"),
        BAD_THRESHOLD,
    ),
    Case("a threshold that is percent-encoded", asked("%74hreshold=%30%2e%31"), "200"),
    Case("a threshold encoded twice", asked("threshold=%2530"), BAD_THRESHOLD),
    Case("a threshold of bytes above 127", asked("threshold=%ff%fe"), BAD_THRESHOLD),
    Case(
        "a threshold of bytes above 127 in the form",
        form(part(), text_part("threshold", b"\xff\xfe")),
        BAD_THRESHOLD,
    ),
    Case(
        "a threshold in UTF-16 in the form",
        form(part(), text_part("threshold", "0.1".encode("utf-16"))),
        BAD_THRESHOLD,
    ),
    Case("a threshold of a broken escape", asked("threshold=%zz"), BAD_THRESHOLD),
    Case("a threshold in capitals", asked("THRESHOLD=Zqmarker"), UNKNOWN),
    Case("a list of thresholds", asked("threshold[]=1&threshold[0]=2"), UNKNOWN),
    Case(
        "a bad threshold and no file",
        form(text_part("threshold", "nan")),
        f"400 file_missing | {BAD_THRESHOLD}",
    ),
    Case(
        "a bad threshold and a bad file",
        post(b"x", target="/predict?threshold=nan"),
        f"415 not_dicom | {BAD_THRESHOLD}",
    ),
    Case("unknown parameters", asked("Zqmarker=Zqmarker&a=b"), UNKNOWN),
    Case("a name of 7,000 characters", asked("threshold" * 777), UNKNOWN),
    Case("a thousand names", asked("&".join(f"{n:x}=" for n in range(1500))), UNKNOWN),
    Case("a misspelt name next to a right one", asked("threshold=1&treshold=1"), UNKNOWN),
    Case("a name of bytes above 127", asked("%ff%fe=1"), UNKNOWN),
    Case("an unknown field", filled(Zqmarker="Zqmarker"), UNKNOWN),
    Case("a field of 20 MB", filled(treshold="1" * 20_000_000), UNKNOWN),
    Case("a field of a long name", filled(**{"Zqmarker" * 500: "1"}), UNKNOWN),
]

ALARM_RATES = [
    Case(f"alarm_rate {shown(text)} {where}", send, answer)
    for texts, answer in (
        (("0.05", " .5 ", "5e-2", "0.99", "null"), "200"),
        (("0", "-0", "1", "1.5", "-1", "nan", "inf", "1e999", "1e-400", "1e-300"), BAD_RATE),
        (("", "Zqmarker", "1_0", "٣", "5%", "0,05"), BAD_RATE),
    )
    for text in texts
    for where, send in (
        ("in the query", asked(f"alarm_rate={quote(text)}")),
        ("in the form", filled(alarm_rate=text)),
    )
]
BOTH = f"{BAD_RATE} | {BAD_THRESHOLD}"
RATES = [
    *ALARM_RATES,
    Case("an alarm rate of 10,000 digits in the form", filled(alarm_rate="1" * 10_000), BAD_RATE),
    Case("the same alarm rate twice", asked("alarm_rate=0.1&alarm_rate=0.10"), "200"),
    Case("two alarm rates", asked("alarm_rate=0.1&alarm_rate=0.2"), BAD_RATE),
    Case("an alarm rate and a threshold", asked("alarm_rate=0.1&threshold=0.1"), CONFLICT),
    Case(
        "an alarm rate in the query and a threshold in the form",
        form(part(), text_part("threshold", "1"), target="/predict?alarm_rate=0.1"),
        CONFLICT,
    ),
    Case("both are bad", asked("alarm_rate=nan&threshold=nan"), BOTH),
]

HEADERS = [
    Case(f"the header {line[:60]!r}", post(DICOM, "application/dicom", line), "200")
    for line in (
        "X-Request-ID: 0f4c2b",
        "X-Request-ID: 123e4567-e89b-12d3-a456-426614174000",
        "X-Request-ID: " + "a" * 64,
        "X-Request-ID: " + "a" * 65,
        "X-Request-ID: " + "Zqmarker" * 900,
        "X-Request-ID: Zqmarker",
        "X-Request-ID:",
        "X-Request-ID: ../../Zqmarker",
        b"X-Request-ID: \xff\xfe",
        "X-Request-ID: a\r\nX-Request-ID: Zqmarker",
        "X-Forwarded-For: Zqmarker",
        "X-Forwarded-For: 203.0.113.77",
        "X-Forwarded-For: 203.0.113.77, Zqmarker, 127.0.0.1",
        "X-Forwarded-For: " + ", ".join(["203.0.113.77"] * 500),
        "X-Real-IP: 203.0.113.77",
        "Forwarded: for=203.0.113.77;by=Zqmarker;host=Zqmarker;proto=https",
        "X-Forwarded-Proto: Zqmarker",
        "X-Forwarded-Host: Zqmarker",
        "X-Forwarded-Prefix: /Zqmarker",
        "traceparent: Zqmarker",
        "traceparent: 00-00000000000000000000000000000000-0000000000000000-00",
        "traceparent: ff-" + "f" * 32 + "-" + "f" * 16 + "-ff",
        "traceparent: 00-" + "4" * 32 + "-" + "f" * 16 + "-01\r\ntracestate: a=Zqmarker",
        "tracestate: " + "a=b," * 1500,
        "baggage: patient=Zqmarker",
        "b3: Zqmarker",
        "uber-trace-id: Zqmarker:0:0:1",
        "Authorization: Basic Zqmarker",
        "Authorization: Bearer Zqmarker",
        "X-API-Key: Zqmarker",
        "Cookie: session=Zqmarker",
        "User-Agent: Zqmarker () { :;}; /bin/true",
        "Referer: http://Zqmarker.test/",
        "Origin: http://Zqmarker.test",
        "Accept: text/html",
        "Accept: " + "Zqmarker/" * 500,
        "Accept-Encoding: gzip, br",
        "Accept-Language: xx-Zqmarker",
        "Range: bytes=0-1,2-3,4-5",
        "If-None-Match: *",
        "If-Modified-Since: Zqmarker",
        "Content-Disposition: form-data; name=Zqmarker",
        "Content-Range: bytes 0-5/10",
        "Content-MD5: Zqmarker",
        "Digest: sha-256=Zqmarker",
        "TE: trailers, deflate",
        "Bento-Name: Zqmarker",
        "Runner-Name: Zqmarker",
        "X-BentoML-Deployment: Zqmarker",
    )
]

VALUES = [*THRESHOLDS, *RATES, *HEADERS]
