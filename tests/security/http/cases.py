"""Describe one hostile exchange over HTTP, and write the requests that the cases are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.dicom_files import make_dicom, noise
from tests.security.http.raw_http import Connection

# In whatever a client sends; must come back nowhere. No hexadecimal number, which may be an id.
MARKER = "Zqmarker^Jane"
MARKED = MARKER.encode()
BOUNDARY = b"spine-test"
# An address that must never be called; the driver puts its listener's port in place of the zeros.
LISTENER_PORT = b":00000"
LISTENER = "127.0.0.1" + LISTENER_PORT.decode()
DICOM = make_dicom(noise((24, 24)), PatientName=MARKER, PatientComments=f"--spine-test {MARKER}")

LENGTH = f"Content-Length: {len(DICOM)}"

Send = Callable[[Connection], object]
Ending = Literal["open", "closed", "either"]


@dataclass(frozen=True)
class Case:
    """What a client sends, and what it may get.

    Args:
        name: what is wrong with it.
        send: the bytes, or what to do with a connection.
        answers: what is allowed, such as "200 | 400 bad_request"; a semicolon stands before the
            next answer, and "closed" for the end of the connection in place of an answer.
        then: the connection afterwards: "open" for the next request, "closed" by the server, or
            either. Whatever was promised, it is never reset, and nothing comes besides the answers.
    """

    name: str
    send: bytes | Send
    answers: str
    then: Ending = "open"


def head(line: str | bytes, *fields: str | bytes, host: bool = True) -> bytes:
    """Write a request's head; everything as it is given, but the ends of lines."""
    lines = [line, *(("Host: spine.test",) if host else ()), *fields]
    encoded = [text if isinstance(text, bytes) else text.encode("latin-1") for text in lines]
    return b"\r\n".join([*encoded, b"", b""])


def get(target: str, *fields: str | bytes) -> bytes:
    """Ask for a path."""
    return head(f"GET {target} HTTP/1.1", *fields)


def sized(*fields: str | bytes, body: bytes = DICOM) -> bytes:
    """Post a body of DICOM's type with these other header lines only."""
    return head("POST /predict HTTP/1.1", "Content-Type: application/dicom", *fields) + body


def post(
    body: bytes,
    content_type: str | bytes = "application/dicom",
    *fields: str | bytes,
    target: str = "/predict",
) -> bytes:
    """Post a body with its right length."""
    if isinstance(content_type, str):
        content_type = content_type.encode("latin-1")
    start = (b"Content-Type: " + content_type, f"Content-Length: {len(body)}")
    return head(f"POST {target} HTTP/1.1", *start, *fields) + body


def cut(request: bytes) -> Send:
    """Send a request, and an end in place of what is missing."""

    def send(connection: Connection) -> None:
        connection.send(request)
        connection.finish_sending()

    return send


def in_turn(*pieces: bytes, pause_s: float = 0.05) -> Send:
    """Send pieces one after the other."""
    return lambda connection: connection.send(*pieces, pause_s=pause_s)


def part(
    content: bytes = DICOM,
    disposition: str | bytes = 'form-data; name="file"; filename="slice.dcm"',
    *fields: bytes,
) -> bytes:
    """Write one part of a form, by default the file that it should have."""
    if isinstance(disposition, str):
        disposition = disposition.encode()
    lines = [b"Content-Disposition: " + disposition, *fields]
    return b"\r\n".join([*lines, b"", content])


def text_part(name: str, value: str | bytes) -> bytes:
    """Write a part that is not a file."""
    content = value if isinstance(value, bytes) else value.encode()
    return part(content, f'form-data; name="{name}"')


def form_body(*parts: bytes, boundary: bytes = BOUNDARY) -> bytes:
    """Join parts, headers included, to a form's body."""
    return b"".join(
        [
            *(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts),
            b"--",
            boundary,
            b"--\r\n",
        ]
    )


def form(*parts: bytes, boundary: bytes = BOUNDARY, target: str = "/predict") -> bytes:
    """Post a form."""
    content_type = b"multipart/form-data; boundary=" + boundary
    return post(form_body(*parts, boundary=boundary), content_type, target=target)


def chunked(*chunks: bytes) -> bytes:
    """Encode a body in chunks, its end included."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"


def post_chunked(encoded: bytes, *fields: str | bytes) -> bytes:
    """Post a DICOM body that is encoded in chunks already."""
    start = ("Content-Type: application/dicom", "Transfer-Encoding: chunked")
    return head("POST /predict HTTP/1.1", *start, *fields) + encoded


ORDINARY = post(DICOM)
