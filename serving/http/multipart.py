"""Parse a multipart/form-data body in memory (RFC 7578)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from serving.errors import BrokenMultipart

# A form has two fields; a body of a million empty parts is an attack.
MAX_PARTS = 32
MAX_PART_HEADER_BYTES = 8192
# The options' parser needs 8 ms for the worst 8 kB.
MAX_HEADER_BYTES = 16_384
# RFC 2046, 5.1.1.
MAX_BOUNDARY_BYTES = 70
# RFC 7578, 4.2 forbids filename*, urllib3 sent it for years, and the options' parser drops it.
_EXTENDED_FILENAME = re.compile(rb";\s*filename\*\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One field of a form.

    Args:
        name: of the field.
        is_file: the part came with a file name; the name itself is not kept.
        content: a view into the body; nothing is copied.
    """

    name: str
    is_file: bool
    content: memoryview


def parse_multipart(body: bytes | bytearray, boundary: bytes) -> list[Part]:
    """Split a complete body at its boundary.

    Searching a body that is in memory anyway runs at the speed of memchr and copies nothing; a
    streaming parser calls back into Python for each piece and keeps files on disk.

    Args:
        body: everything that was received.
        boundary: as the Content-Type names it.

    Raises:
        BrokenMultipart: the body does not follow the standard, or has too many or too long headers.
    """
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise BrokenMultipart("the Content-Type needs a boundary of 1 to 70 characters")
    delimiter = b"--" + boundary
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start == 1:  # not found: -1 + 2
        raise BrokenMultipart("the body does not hold the boundary that the Content-Type names")
    view = memoryview(body).toreadonly()
    parts: list[Part] = []
    n_left = MAX_HEADER_BYTES
    while True:
        start += len(delimiter)
        if body[start : start + 2] == b"--":
            return parts
        # Transport padding: blanks may follow a boundary (RFC 2046, 5.1.1).
        line_end = body.find(b"\r\n", start, start + 128)
        if line_end < 0 or body[start:line_end].strip(b" \t"):
            raise BrokenMultipart("a boundary must end its line")
        if len(parts) == MAX_PARTS:
            raise BrokenMultipart(f"the form has more than {MAX_PARTS} fields")
        end = body.find(b"\r\n" + delimiter, line_end)
        if end < 0:
            raise BrokenMultipart("the closing boundary is missing; was the upload cut short?")
        part, n_header_bytes = _part(body, view, line_end + 2, end)
        parts.append(part)
        n_left -= n_header_bytes
        if n_left < 0:
            raise BrokenMultipart(f"the fields' headers have more than {MAX_HEADER_BYTES} bytes")
        start = end + 2


def _part(body: bytes | bytearray, view: memoryview, start: int, end: int) -> tuple[Part, int]:
    """Read the header of the part in body[start:end]; return it with the header's length."""
    header_end = body.find(b"\r\n\r\n", start, min(end + 2, start + MAX_PART_HEADER_BYTES))
    if header_end < 0:
        raise BrokenMultipart("a field has no header, or one above 8 kB")
    dispositions = [
        value.strip()
        for key, colon, value in (
            line.partition(b":") for line in bytes(body[start:header_end]).split(b"\r\n")
        )
        if colon and key.strip().lower() == b"content-disposition"
    ]
    if len(dispositions) == 1:
        kind, options = parse_options_header(dispositions[0])
        name = options.get(b"name")
        if kind.lower() == b"form-data" and name is not None:
            is_file = (
                b"filename" in options or _EXTENDED_FILENAME.search(dispositions[0]) is not None
            )
            part = Part(name.decode("utf-8", "replace"), is_file, view[header_end + 4 : end])
            return part, header_end - start
    raise BrokenMultipart("a field needs one Content-Disposition: form-data with a name")
