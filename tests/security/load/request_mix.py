"""Requests of every kind, valid and hostile, each with the status of its answer."""

from __future__ import annotations

import numpy as np

from tests.dicom_files import encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import JPEG, RAMP, RLE, encode_jpeg_ls, encode_rle
from tests.security.load.load import DICOM, get, head, post

BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
OVERSIZED = 33_000_000


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    """Write a form's body; a part is (the rest of its Content-Disposition, content)."""
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for disposition, content in parts
    )
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


FILE = 'name="file"; filename="slice.dcm"'


def valid(slice_file: bytes, compressed_file: bytes) -> list[tuple[bytes, int]]:
    """Requests that are answered with 200."""
    many = make_dicom(noise((12, 64, 64)))
    deflated = make_dicom(noise((64, 64)), transfer_syntax="1.2.840.10008.1.2.1.99")
    frame = encode_jpeg_ls(RAMP)
    files = [slice_file, compressed_file, many, deflated]
    files.append(encapsulated(RAMP, JPEG + "80", [frame], BitsStored=12, HighBit=11))
    forms = [
        form((FILE, slice_file)),
        form(('name="file"; filename="../../etc/passwd"', slice_file), ('name="threshold"', b"1")),
        form((f'name="file"; filename="{"long" * 100}.dcm"', compressed_file)),
    ]
    posts = [post(file) for file in files] + [post(body, FORM) for body in forms]
    return [(request, 200) for request in [*posts, get("/readyz"), get("/livez")]]


def refused(slice_file: bytes) -> list[tuple[bytes, int]]:
    """Requests that are answered with 4xx."""
    ct = make_dicom(noise((64, 64)), Modality="CT")
    huge = make_dicom(noise((64, 64)), Rows=65535, Columns=65535)
    frame = encode_rle(RAMP)
    large = form((FILE, slice_file * 3 + bytes(OVERSIZED - 3 * len(slice_file))))
    return [
        (post(b"\x89PNG\r\n\x1a\n" + bytes(1000)), 415),
        (post(np.random.default_rng(1).bytes(5000)), 415),
        (post(b""), 400),
        (post(slice_file[: len(slice_file) // 2]), 422),
        (post(slice_file[:140]), 422),
        (post(ct), 422),
        (post(huge), 413),
        (post(encapsulated(RAMP, RLE, [frame[: len(frame) // 2]])), 422),
        (post(b"MZ" + slice_file[2:]), 422),
        (post(form((FILE, slice_file), end=False), FORM), 400),
        (post(form((FILE, slice_file), (FILE, slice_file)), FORM), 400),
        (post(form(('name="file"', b"http://127.0.0.1:9/slice.dcm")), FORM), 400),
        (post(form(('name="file"', b"/etc/passwd")), FORM), 400),
        (post(form(('name="other"; filename="x"', b"x")), FORM), 400),
        (post(slice_file, path="/predict?threshold=nan"), 400),
        (post(slice_file, "application/vnd.bentoml+pickle"), 415),
        (post(large, FORM), 413),
        (head("POST", "/predict", Content_Type=DICOM, Content_Length=OVERSIZED) + slice_file, 413),
        (get("/no/such/path"), 404),
        (get("/predict"), 405),
    ]
