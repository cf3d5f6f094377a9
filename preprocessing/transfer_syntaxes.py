"""Name the transfer syntaxes that are read (PS3.6 table A-1)."""

from __future__ import annotations

from preprocessing.errors import UnsupportedTransferSyntax

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"

NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, EXPLICIT_BIG})
# Baseline and extended; then lossless, and lossless with the first predictor.
JPEG_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51))
JPEG = JPEG_LOSSY | {f"1.2.840.10008.1.2.4.{end}" for end in (57, 70)}
JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in (80, 81))
# The last three are high-throughput JPEG 2000.
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 201, 202, 203))
# Those that may lose something: JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000.
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 81, 91, 203))
COMPRESSED = JPEG | JPEG_LS | JPEG_2000 | {RLE}


def check_transfer_syntax(transfer_syntax: str | None) -> None:
    """Let the syntaxes above pass, and a missing one: the data set itself shows how it is encoded.

    Raises:
        UnsupportedTransferSyntax: no decoder here reads it.
    """
    if transfer_syntax is not None and transfer_syntax not in NATIVE | COMPRESSED:
        raise UnsupportedTransferSyntax(
            "Expected an uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000 transfer syntax; "
            "convert the file to Explicit VR Little Endian."
        )
