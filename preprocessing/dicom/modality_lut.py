"""Read the modality LUT: a table in place of slope and intercept (PS3.3 C.11.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.errors import DamagedImage


@dataclass(frozen=True)
class ModalityLut:
    """A table of modality units; the first one is that of the stored value `first` and below."""

    first: int
    table: npt.NDArray[np.float32] = field(repr=False)

    def look_up(
        self, samples: npt.NDArray[np.integer[Any] | np.floating[Any]]
    ) -> npt.NDArray[np.float32]:
        """Return the modality units of stored values; those beyond the table have its ends."""
        at = samples.astype(np.int64) - self.first
        return self.table[np.clip(at, 0, len(self.table) - 1, out=at)]


def read_modality_lut(header: Header, *, is_signed: bool) -> ModalityLut | None:
    """Read the first item of ModalityLUTSequence, None where there is none.

    Args:
        header: of the object.
        is_signed: its stored values are, and so is the first of them in LUTDescriptor.

    Raises:
        DamagedImage: the table is incomplete.
    """
    items = values.items(header.values, tags.MODALITY_LUT_SEQUENCE)
    if not items:
        return None
    order = ">" if header.big_endian else "<"
    descriptor = values.raw(items[0], tags.LUT_DESCRIPTOR) or b""
    data = values.raw(items[0], tags.LUT_DATA) or b""
    if len(descriptor) != 6:
        raise _incomplete()
    n_entries, first, bits = struct.unpack(f"{order}H{'h' if is_signed else 'H'}H", descriptor)
    n_entries = n_entries or 1 << 16  # which does not fit into 16 bits
    # Entries of 8 bits may lie in bytes or in words (PS3.3 C.11.1.1.1).
    kind = f"{order}u2" if len(data) >= 2 * n_entries else "u1"
    if kind == "u1" and (bits > 8 or len(data) < n_entries):
        raise _incomplete()
    return ModalityLut(first, np.frombuffer(data, kind, n_entries).astype(np.float32))


def _incomplete() -> DamagedImage:
    return DamagedImage(
        "ModalityLUTSequence holds fewer entries than LUTDescriptor declares; export it again."
    )
