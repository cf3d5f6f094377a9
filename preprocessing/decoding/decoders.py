"""Decode one compressed frame, with imagecodecs (BSD) or for RLE with pylibjpeg-rle (MIT).

Imported by decoder processes alone. imagecodecs bundles the current releases of libjpeg-turbo,
CharLS and OpenJPEG; no other part of it is loaded. High-throughput JPEG 2000 goes to OpenJPEG too:
what it wraps of OpenJPH passes over an error and returns memory that was never written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import rle
from imagecodecs import jpeg2k_decode, jpeg8_decode, jpegls_decode

from preprocessing.transfer_syntaxes import JPEG_2000, JPEG_LS, RLE

# Its first bit is set, unlike those that libjpeg-turbo adds.
_FILLER = b"\xaa" * 32
_END_OF_IMAGE = b"\xff\xd9"

# As the decoder hands it over: a copy of a large frame is expensive.
Decoded = bytes | bytearray | memoryview


class DecodeError(Exception):
    """The frame cannot be decoded."""


def decode(transfer_syntax: str, frame: bytearray, n_pixels: int, bits: int) -> Decoded:
    """Decode one grayscale frame to little-endian samples.

    Args:
        transfer_syntax: a compressed one.
        frame: the encoded frame, all fragments joined.
        n_pixels: that it should hold.
        bits: of a decoded sample: BitsAllocated for RLE, else what holds the precision.

    Raises:
        DecodeError: the decoder failed in any way.
    """
    try:
        if transfer_syntax == RLE:
            decoded: bytearray = rle.rle.decode_frame(bytes(frame), n_pixels, bits, "<")
            return decoded
        if transfer_syntax in JPEG_LS:
            samples = jpegls_decode(frame)
        elif transfer_syntax in JPEG_2000:
            samples = jpeg2k_decode(frame)
        else:
            samples = jpeg8_decode(frame)
            _check_complete(samples, frame)
        return samples.astype(samples.dtype.newbyteorder("<"), "C", copy=False).data.cast("B")
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a Rust panic is a BaseException
        raise DecodeError from error


def _check_complete(samples: npt.NDArray[Any], frame: bytearray) -> None:
    """Refuse a JPEG whose scan ends early.

    libjpeg-turbo goes on with zeros then and warns, and imagecodecs hides the warning. Only where
    the scan is short do other bytes after it make another picture.
    """
    end = frame.rfind(_END_OF_IMAGE)
    if not np.array_equal(samples, jpeg8_decode(frame[:end] + _FILLER + frame[end:])):
        raise DecodeError
