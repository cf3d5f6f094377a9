"""Bound what one file may cost, with the cheap checks that come before any decoder."""

import math
import re
from dataclasses import dataclass

from preprocessing.errors import EmptyFile, ExecutablePreamble, LimitExceeded, NotDicom

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one file may ask for; beyond it `LimitExceeded`."""

    max_bytes: int = 32 * MIB  # just below a 4096 x 4096 slice of 16 bit
    max_inflated_bytes: int = 64 * MIB  # a deflated file after inflating: twice an ordinary one
    max_pixels: int = 4096 * 4096  # per frame; the largest MR matrices are 1024 x 1024
    max_frames: int = 2048  # the largest enhanced MR series in practice hold about a thousand
    max_header_bytes: int = 16 * MIB  # everything before the pixel data, private data included
    max_depth: int = 16  # nested sequences; enhanced MR needs 4
    max_elements: int = 200_000  # 2048 frames with about 60 elements each, with a margin
    max_items: int = 50_000  # sequence items and pixel fragments together
    decode_seconds: float = 8.0  # for the largest compressed frame; a small one computes 0.15 s
    object_decode_seconds: float = math.inf  # of computing, for all compressed frames together


DEFAULT = Limits()

# What people send by mistake, by its first bytes.
_FOREIGN_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\xff\x4f\xff\x51": "a bare JPEG 2000 codestream",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 image",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF document",
    b"GIF8": "a GIF image",
    b"BM": "a bitmap image",
    b"RIFF": "a RIFF file",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"MZ": "a program",
    b"\x7fELF": "a program",
    b"#!": "a script",
}
PREAMBLE_BYTES = 128
PREFIX = b"DICM"
# A preamble is for other readers of the file (PS3.10 7.1), so what may stand there is listed, not
# what may not. Writers fill it with one byte; some leave numbers of their own after the first 16
# bytes, which stay zero; a whole-slide image is a TIFF or BigTIFF too.
_FILLED = frozenset(bytes((byte,)) * PREAMBLE_BYTES for byte in b"\0 \xff")
_HARMLESS_BYTES = 16
_HARMLESS = (bytes(_HARMLESS_BYTES), b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# A script is found anywhere in a file by some interpreters (PHP).
_TEXT = re.compile(rb"[\t\r\n -~]{4}")
_SHORTEST_ELEMENT = 8
_ADVICE = "send one DICOM file (.dcm) as it left the scanner or the archive"


def check_transport(data: bytes, limits: Limits) -> None:
    """Refuse an empty file, too many bytes and a preamble that may be a program.

    Raises:
        EmptyFile, LimitExceeded, ExecutablePreamble: see their names.
    """
    if not data:
        raise EmptyFile(f"The file has no bytes; {_ADVICE}.")
    if len(data) > limits.max_bytes:
        raise LimitExceeded(f"The file has {len(data)} bytes; at most {limits.max_bytes} are read.")
    if has_prefix(data) and not _is_harmless(data[:PREAMBLE_BYTES]):
        raise ExecutablePreamble(
            "The preamble is neither empty nor a TIFF header and may start a program; "
            "export the image again with 128 zero bytes as preamble."
        )


def has_prefix(data: bytes) -> bool:
    """Return whether the DICOM prefix follows a preamble (PS3.10 7.1)."""
    return data[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX


def _is_harmless(preamble: bytes) -> bool:
    return preamble in _FILLED or (
        preamble.startswith(_HARMLESS) and not _TEXT.search(preamble, _HARMLESS_BYTES)
    )


def not_dicom(data: bytes) -> NotDicom:
    """Make the error that names what bytes without a DICOM beginning seem to be."""
    seems = next((word for magic, word in _FOREIGN_MAGIC.items() if data.startswith(magic)), None)
    if seems is None:
        seems = _textual(data[:512])
    if seems is None:
        seems = "a truncated or unknown file" if len(data) >= _SHORTEST_ELEMENT else "too short"
    return NotDicom(f"Expected a DICOM file, but this seems to be {seems}; {_ADVICE}.")


def _textual(start: bytes) -> str | None:
    if not all(byte >= 0x20 or byte in b"\t\n\r\f\x1b" for byte in start):
        return None
    opening = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return {b"<": "XML or HTML", b"{": "JSON", b"[": "JSON"}.get(opening, "text")
