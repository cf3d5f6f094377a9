"""Refuse a file whose frames and pixels cost more than its bytes pay for, before any is touched.

Frames that say nothing take next to no bytes, and each takes milliseconds to score.
"""

from __future__ import annotations

from preprocessing.dicom.geometry import PixelLayout
from preprocessing.dicom.header import Header
from preprocessing.errors import LimitExceeded
from preprocessing.transfer_syntaxes import COMPRESSED, DEFLATED

# A frame of 32 x 32 pixels of 8 bit has 1 kB, and one of 512 x 512 no less than 20 kB however well
# it is compressed. The first few cost no more than a few requests do.
FREE_FRAMES = 16
BYTES_A_FRAME = 1000
# Reading and resizing take 5 ns for each pixel that was compressed to almost nothing.
FREE_PIXELS = 2048 * 2048
PIXELS_A_BYTE = 500


def check_cost(header: Header, layout: PixelLayout, n_bytes: int) -> None:
    """Compare the declared frames and pixels with the size of the file.

    Args:
        header: of the file.
        layout: that it declares.
        n_bytes: of the file as it was sent.

    Raises:
        LimitExceeded: see above.
    """
    frames = FREE_FRAMES + n_bytes // BYTES_A_FRAME
    if layout.frames > frames:
        raise LimitExceeded(
            f"The object declares {layout.frames} frames in {n_bytes} bytes; at most {frames} are"
            f" read from so few: {FREE_FRAMES}, and one for each {BYTES_A_FRAME} bytes."
        )
    if header.transfer_syntax not in COMPRESSED and header.transfer_syntax != DEFLATED:
        return
    n_pixels = layout.frames * layout.rows * layout.columns
    pixels = FREE_PIXELS + PIXELS_A_BYTE * n_bytes
    if n_pixels > pixels:
        raise LimitExceeded(
            f"The object declares {n_pixels} pixels in {n_bytes} bytes; at most {pixels} are"
            f" decompressed from so few: {FREE_PIXELS}, and {PIXELS_A_BYTE} for each byte."
        )
