"""Collect a frame's values from the functional groups of an enhanced object (PS3.3 C.7.6.16)."""

from __future__ import annotations

from preprocessing.dicom import tags, values
from preprocessing.dicom.header import Header
from preprocessing.dicom.values import Item


def frame_values(header: Header, frame: int) -> Item:
    """Collect what holds for one frame: of its own group, else the shared one, else the object.

    Each sequence of a group has one item (PS3.3 C.7.6.16.2), whose values stand next to the others
    here. Empty values are left out.

    Args:
        header: of the object.
        frame: counted from 1.
    """
    own = values.items(header.values, tags.PER_FRAME_FUNCTIONAL_GROUPS)[frame - 1 : frame]
    shared = values.items(header.values, tags.SHARED_FUNCTIONAL_GROUPS)[:1]
    found: Item = {}
    for group in (header.values, *shared, *own):
        _add(group, found)
        for macro in group.keys() & tags.FUNCTIONAL_GROUPS.keys():
            for item in values.items(group, macro)[:1]:
                _add(item, found)
    return found


def _add(item: Item, found: Item) -> None:
    found.update({tag: value for tag, value in item.items() if value})
