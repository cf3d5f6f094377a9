"""Find a frame's values in the functional groups of an enhanced object (PS3.3 C.7.6.16)."""

from __future__ import annotations

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.dicom.values import Item


def functional_groups(header: Header, frame: int) -> list[Item]:
    """List the data sets that hold a frame's values: its own group, the shared one, the top one."""
    own = values.items(header.values, tags.PER_FRAME_FUNCTIONAL_GROUPS)[frame - 1 : frame]
    shared = values.items(header.values, tags.SHARED_FUNCTIONAL_GROUPS)[:1]
    return [*own, *shared, header.values]


def find_item(groups: list[Item], sequence: int, tag: int) -> Item:
    """Return the first data set that holds a value, inside the sequence or next to it.

    Each of these sequences has one item (PS3.3 C.7.6.16.2); looking through thousands for each of
    thousands of frames would take a minute.
    """
    for group in groups:
        for candidate in (*values.items(group, sequence)[:1], group):
            if values.raw(candidate, tag) is not None:
                return candidate
    return {}
