"""Hold decoded samples to the bits that the header stores."""

from __future__ import annotations

import numpy as np

from preprocessing.errors import DamagedImage

# A lossy codec may leave the range of what it was given by its error.
_OVERSHOOT = 1 / 16


def check_stored(
    samples: bytearray, *, precision: int, bits_stored: int, is_signed: bool, is_lossy: bool
) -> None:
    """Check samples of a codestream whose precision exceeds BitsStored, as some writers have it.

    Bits beyond BitsStored are cut off afterwards: of other values another picture would be left.
    The little overshoot of a lossy codec is clipped, in place.

    Args:
        samples: little-endian, of 8, 16 or 32 bits, whichever holds the precision.
        precision: of the codestream.
        bits_stored: of the header, less than the precision.
        is_signed: by PixelRepresentation.
        is_lossy: by the transfer syntax.

    Raises:
        DamagedImage: a sample does not fit into BitsStored.
    """
    width = 1 if precision <= 8 else 2 if precision <= 16 else 4
    cells = np.frombuffer(samples, f"<i{width}" if is_signed else f"<u{width}")
    if is_signed:  # the sign is in the highest bit of the precision
        unused = width * 8 - precision
        cells = cells << unused >> unused
    low, high = 0, (1 << bits_stored) - 1
    if is_signed and cells.min() < 0:
        low, high = -(1 << bits_stored - 1), high >> 1
    # Without a negative sample, the sign may lie in the highest stored bit.
    slack = int((high - low) * _OVERSHOOT) if is_lossy else 0
    lowest, highest = int(cells.min()), int(cells.max())
    if lowest < low - slack or highest > high + slack:
        raise DamagedImage(
            f"A compressed frame holds samples of {precision} bits that do not fit into the"
            f" {bits_stored} of BitsStored; export the image again."
        )
    if lowest < low or highest > high:
        np.frombuffer(samples, cells.dtype)[:] = cells.clip(low, high)
