"""List targets and methods: long, encoded, climbing, unknown, or meant for a proxy."""

from __future__ import annotations

from tests.security.http.cases import DICOM, LISTENER, Case, get, head, post

BAD = "400 bad_request"
GONE = "404 not_found"
NO = "405 method_not_allowed"
LONG = "414 target_too_long"
NOWHERE = f"{BAD} | {GONE}"
PROXIED = f"200 | {BAD} | {GONE} | {NO}"


def padded(size: int) -> str:
    """A known path with a query, of so many characters."""
    return "/livez?a=".ljust(size, "x")


LENGTHS = [
    Case("a target of 8192 bytes", get(padded(8192)), "200"),
    Case("a target of 8193 bytes", get(padded(8193)), LONG, "closed"),
    Case("a target of 9 kB", get("/" + "Zqmarker" * 1125), LONG, "closed"),
    Case(
        "a target of 9 kB for a file",
        post(DICOM, target="/predict?threshold=0." + "0" * 9000),
        LONG,
        "closed",
    ),
    Case("a target of 1 MB", get("/" + "x" * 1_000_000), LONG, "closed"),
    Case("a target of 1 MB without an end", b"GET /" + b"x" * 1_000_000, LONG, "closed"),
    Case("a query of 2000 parameters", get("/livez?" + "a=b&" * 2000), "200"),
]

PATHS = [
    *[
        Case(f"the path {path[:60]}", get(path), GONE)
        for path in (
            "/Zqmarker",
            "/livez/",
            "/LIVEZ",
            "/livez;a=b",
            "/livez%3f",
            "/livez%00",
            "/livez%0d%0aX-Evil:%20Zqmarker",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/../../etc/passwd",
            "/./livez",
            "/x/../livez",
            "/livez/../livez",
            "/static_content/../../../../etc/passwd",
            "/static_content/..%2f..%2f..%2fetc/passwd",
            "/static_content/%252e%252e/passwd",
            "/static_content/",
            "/static_content",
            "/static_content/marked.min.js",
            "/livez\\..\\..",
            "/%ff%fe",
            "/%E2%82%AC",
            "/%zz",
            "/%",
            "/a%",
            "/" + "a/" * 3000,
            "/.git/config",
            "/.env",
            "/admin",
            "/metrics/",
            "/predict/",
            "/Predict",
            "/predict.json",
            "/api/predict",
            "/{path}",
            "/%7Bpath%7D",
            "/favicon.ico",
            "/openapi.json",
        )
    ],
    *[
        Case(f"the target {target!r}", get(target), f"200 | {NOWHERE}", "either")
        for target in (
            "/%6civez",
            "//livez",
            "/livez#Zqmarker",
            "/livez?a#b",
            "/livez??",
            "/li%76ez?a",
        )
    ],
    *[
        Case(f"the target {target!r}", get(target), NOWHERE, "either")
        for target in (
            "//",
            "///predict",
            "//127.0.0.1/livez",
            "livez",
            "?a=b",
            "*",
            "\\",
            ":",
            "#",
            "%",
            "/\x7f",
        )
    ],
    Case("bytes above 127 in the path", head(b"GET /\xff\xfe HTTP/1.1"), NOWHERE, "either"),
    Case("UTF-8 in the path", head("GET /Wirbelsäule HTTP/1.1".encode()), NOWHERE, "either"),
    Case(
        "UTF-8 in the query",
        head("GET /livez?a=Wirbelsäule HTTP/1.1".encode()),
        f"200 | {BAD}",
        "either",
    ),
    Case("NUL in the path", head(b"GET /livez\0 HTTP/1.1"), NOWHERE, "either"),
    Case("a tab in the path", head(b"GET /liv\tez HTTP/1.1"), NOWHERE, "either"),
    *[
        Case(f"the query {query}", get(f"/livez?{query}"), "200")
        for query in (
            "",
            "&",
            "=",
            "&&==",
            "%zz",
            "%00",
            "a=%ff",
            "a=Zqmarker",
            "${jndi:ldap://x}",
            "a[b]=c",
            "a;b",
        )
    ],
]

PROXIES = [
    Case("an absolute target", get("http://spine.test/livez"), "200"),
    Case(
        "an absolute target of another host", get("http://Zqmarker.test/livez"), PROXIED, "either"
    ),
    Case(
        "an absolute target that is another server",
        get(f"http://{LISTENER}/livez"),
        PROXIED,
        "either",
    ),
    Case(
        "an unknown path of another server", get(f"http://{LISTENER}/Zqmarker"), NOWHERE, "either"
    ),
    Case(
        "an absolute target with a user",
        get("http://a:Zqmarker@spine.test/livez"),
        PROXIED,
        "either",
    ),
    Case("an absolute target of https", get("https://spine.test/livez"), PROXIED, "either"),
    Case("an absolute target of file", get("file:///etc/passwd"), NOWHERE, "either"),
    Case("an absolute target without a host", get("http://"), PROXIED, "either"),
    Case("an absolute target of a bad port", get("http://a:99999/livez"), PROXIED, "either"),
    Case("CONNECT", head(f"CONNECT {LISTENER} HTTP/1.1") + b"hello", f"{NOWHERE} | {NO}", "either"),
    Case("CONNECT to a path", head("CONNECT /predict HTTP/1.1"), f"{NOWHERE} | {NO}", "either"),
    Case("OPTIONS *", head("OPTIONS * HTTP/1.1"), f"{NOWHERE} | {NO}", "either"),
    Case("TRACE", head("TRACE /predict HTTP/1.1", "X: Zqmarker"), NO),
    Case("TRACE of a page", head("TRACE / HTTP/1.1", "Cookie: Zqmarker", "Max-Forwards: 0"), NO),
]

METHODS = [
    *[
        Case(f"{method} /predict", head(f"{method} /predict HTTP/1.1"), NO)
        for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PURGE", "M-SEARCH")
    ],
    Case("HEAD /predict", head("HEAD /predict HTTP/1.1"), "405"),
    Case("HEAD /Zqmarker", head("HEAD /Zqmarker HTTP/1.1"), "404"),
    Case("HEAD /livez", head("HEAD /livez HTTP/1.1"), "200 | 405"),
    Case("POST /livez", post(DICOM, target="/livez"), NO),
    Case("POST /metrics", post(DICOM, target="/metrics"), NO),
    Case("PUT with a file", post(DICOM).replace(b"POST", b"PUT", 1), NO),
    Case("DELETE of an unknown path", head("DELETE /Zqmarker HTTP/1.1"), GONE),
    Case(
        "a preflight of a browser",
        head(
            "OPTIONS /predict HTTP/1.1",
            "Origin: http://Zqmarker.test",
            "Access-Control-Request-Method: POST",
        ),
        NO,
    ),
    *[
        Case(f"the method {method}", head(f"{method} /predict HTTP/1.1"), f"{BAD} | {NO}", "either")
        for method in ("ZQMARKER", "post", "Post", "G", "GETT", "PO ST", "<script>", "PRI")
    ],
    Case(
        "a method overridden",
        post(DICOM, "application/dicom", "X-HTTP-Method-Override: DELETE"),
        "200",
    ),
    Case(
        "a path overridden",
        get("/livez", "X-Original-URL: /metrics", "X-Rewrite-URL: /metrics"),
        "200",
    ),
]

TARGETS = [*LENGTHS, *PATHS, *PROXIES, *METHODS]
