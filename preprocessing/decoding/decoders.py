"""Decode one compressed frame with the one decoder that is trusted for its transfer syntax.

JPEG-LS goes to CharLS alone, because GDCM aborts the process on a damaged JPEG-LS frame; GDCM reads
the JPEG family only. None of the decoders has a GPL licence.
"""

from __future__ import annotations

from typing import cast

from preprocessing.transfer_syntaxes import JPEG_2000, JPEG_LS, RLE

# As the decoder hands it over: a copy of a large frame is expensive.
Decoded = bytes | bytearray


class DecodeError(Exception):
    """The frame cannot be decoded."""


def decode(transfer_syntax: str, frame: bytes, rows: int, columns: int, bits: int) -> Decoded:
    """Decode one grayscale frame to little-endian samples.

    Args:
        transfer_syntax: a compressed one.
        frame: the encoded frame, all fragments joined.
        rows: height in pixels.
        columns: width in pixels.
        bits: of a decoded sample: BitsAllocated for RLE, else what holds the precision.

    Raises:
        DecodeError: the decoder failed in any way.
    """
    try:
        if transfer_syntax == RLE:
            return _decode_rle(frame, rows * columns, bits)
        if transfer_syntax in JPEG_LS:
            return _decode_jpeg_ls(frame)
        if transfer_syntax in JPEG_2000:
            return _decode_jpeg_2000(frame)
        return _decode_jpeg(transfer_syntax, frame, rows, columns, bits)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a Rust panic is a BaseException
        raise DecodeError from error


def _decode_rle(frame: bytes, n_pixels: int, bits: int) -> Decoded:
    import rle

    decoded: bytearray = rle.rle.decode_frame(frame, n_pixels, bits, "<")
    return decoded


def _decode_jpeg_ls(frame: bytes) -> Decoded:
    import jpeg_ls

    decoded: bytearray = jpeg_ls.decode_pixel_data(frame)[0]
    return decoded


def _decode_jpeg_2000(frame: bytes) -> Decoded:
    from openjpeg.utils import decode_pixel_data

    return cast(bytearray, decode_pixel_data(frame, version=2))


def _decode_jpeg(transfer_syntax: str, frame: bytes, rows: int, columns: int, bits: int) -> bytes:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(transfer_syntax)))
    # All bits of the container count as stored: GDCM then reads 12-bit JPEG Extended too.
    image.SetPixelFormat(gdcm.PixelFormat(1, bits, bits, bits - 1, 0))
    # GDCM hands its bytes over as text with surrogates.
    decoded: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return decoded
