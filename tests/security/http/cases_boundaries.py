"""List forms whose boundaries are hostile, odd or missing (RFC 2046, 5.1.1)."""

from __future__ import annotations

from tests.security.http.cases import BOUNDARY, DICOM, MARKED, Case, form, form_body, part, post

TYPE = b"multipart/form-data; boundary="
LINE = b"--" + BOUNDARY
BODY = form_body(part())
BROKEN = "400 multipart_broken"
EITHER = "200 | 400 multipart_broken"


def typed(content_type: bytes) -> bytes:
    """Post an ordinary form's body under a Content-Type."""
    return post(BODY, content_type)


def written(body: bytes) -> bytes:
    """Post a body under an ordinary form's Content-Type."""
    return post(body, TYPE + BOUNDARY)


def bounded(boundary: bytes) -> bytes:
    """Post a form with a boundary."""
    return form(part(), boundary=boundary)


def quoted(boundary: bytes) -> bytes:
    """Post a form whose boundary stands in quotes."""
    return post(form_body(part(), boundary=boundary), TYPE + b'"' + boundary + b'"')


NAMED = [
    Case("no boundary", typed(b"multipart/form-data"), BROKEN),
    Case("an empty boundary", typed(TYPE), BROKEN),
    Case("an empty quoted boundary", typed(TYPE + b'""'), BROKEN),
    Case("a boundary of 70 characters", bounded(b"b" * 70), "200"),
    Case("a boundary of 71 characters", bounded(b"b" * 71), BROKEN),
    Case("a boundary of 7000 characters", bounded(b"b" * 7000), BROKEN),
    Case("a quoted boundary", quoted(BOUNDARY), "200"),
    Case("a boundary of all the odd characters it may have", quoted(b"'()+_,-./:=?"), "200"),
    Case("a boundary with a blank", quoted(b"a b"), "200"),
    Case("a boundary with a semicolon", quoted(b"a;b"), EITHER),
    Case("a boundary with a quote", quoted(b'a\\"b'), EITHER),
    Case("a boundary of bytes above 127", bounded(b"b\xff\xfe"), EITHER),
    Case("a boundary named twice", typed(TYPE + BOUNDARY + b"; boundary=other"), EITHER),
    Case("a boundary in another case", typed(TYPE + BOUNDARY.upper()), BROKEN),
    Case("a boundary that the body does not hold", typed(TYPE + b"other"), BROKEN),
    Case("a boundary with a marker", bounded(b"Zqmarker"), "200"),
    Case("other parameters around it", typed(TYPE + BOUNDARY + b"; charset=utf-8; a=b"), "200"),
    Case("a boundary that another begins with", bounded(BOUNDARY[:3]), "200"),
]

WRITTEN = [
    Case("a boundary inside a line", form(part(DICOM + LINE)), "200"),
    Case("a line that begins with it", form(part(DICOM + b"\r\n" + LINE + b"-or-not")), EITHER),
    Case("line ends of LF", written(form_body(part(b"x")).replace(b"\r\n", b"\n")), BROKEN),
    Case("line ends of CR", written(form_body(part(b"x")).replace(b"\r\n", b"\r")), BROKEN),
    Case("no closing boundary", written(BODY[: -len(LINE) - 4]), BROKEN),
    Case("a body cut in its content", written(BODY[:900]), BROKEN),
    Case("a body cut in a part's header", written(BODY[:40]), BROKEN),
    Case("an empty body", written(b""), BROKEN),
    Case("only a closing boundary", written(LINE + b"--\r\n"), f"400 file_missing | {BROKEN}"),
    Case("only an opening boundary", written(LINE), BROKEN),
    Case("only line ends", written(b"\r\n" * 5000), BROKEN),
    Case("a preamble", written(b"This is a form.\r\n" + BODY), "200"),
    Case("an epilogue", written(BODY + b"That was a form." + MARKED), "200"),
    Case("a second form after the end", written(BODY * 2), "200"),
    Case("blanks after a boundary", written(LINE + b" \t" + BODY.removeprefix(LINE)), "200"),
    Case("10 kB of blanks", written(LINE + b" " * 10_000 + BODY.removeprefix(LINE)), EITHER),
]

BOUNDARIES = [*NAMED, *WRITTEN]
