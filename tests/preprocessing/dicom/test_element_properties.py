"""Data elements, sequences and fragments put together at random give slices or a known error."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.preprocessing.properties import assert_slices_or_error, ordinary
from tests.security.files.corpus_files import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    PIXEL_DATA,
    UNDEFINED,
    Element,
    Encoding,
    encode,
    fragment,
    mr_elements,
    part10,
    sequence,
)

ELEMENTS = {
    "explicit": list(mr_elements(RAMP, NumberOfFrames="1", RescaleSlope="2").values()),
    "implicit": list(mr_elements(RAMP, "implicit", PixelPaddingValue=0).values()),
    "big": list(mr_elements(RAMP, "big", PixelAspectRatio=["1", "2"]).values()),
    "floats": list(mr_elements(RAMP.astype(np.float32), RescaleIntercept="1").values()),
    "frames": list(mr_elements(np.stack([RAMP, RAMP])).values()),
}
TAGS = sorted({each.tag for elements in ELEMENTS.values() for each in elements})
VRS = b"AE AT CS DS FD IS LO OB OW PN SQ SS UI UL UN US UT ZZ".split()
VRS += [b"\0\0", b"  ", b"??"]

numbers = st.sampled_from([0, 1, 2, 3, 8, 11, 12, 15, 16, 24, 32, 255, 4096, 32768, 65535])
texts = st.sampled_from(
    [
        b"",
        b"0",
        b"1 ",
        b"-1",
        b"2",
        b"1.5",
        b"nan",
        b"inf",
        b"1e308",
        b"1\\2",
        b"MR",
        b"MONOCHROME1 ",
    ]
)
values = st.one_of(
    st.binary(max_size=12),
    texts,
    numbers.map(lambda number: number.to_bytes(2, "little")),
    numbers.map(lambda number: number.to_bytes(4, "big")),
    st.floats(allow_nan=True).map(lambda number: str(number).encode()[:16]),
)
lengths = st.none() | st.sampled_from(
    [0, 1, 7, 8, 100, 0xFFFE, 0x7FFFFFFF, UNDEFINED - 1, UNDEFINED]
)
elements = st.builds(Element, st.sampled_from(TAGS), st.sampled_from(VRS), values, lengths)
nested = st.recursive(
    st.lists(elements, max_size=3).map(encode),
    lambda inner: st.builds(
        lambda tag, items, has_lengths: sequence(tag, items, has_lengths=has_lengths).encode(),
        st.sampled_from([0x00081140, 0x00091002, 0x52009229, 0x52009230, 0x00289110, 0x00289145]),
        st.lists(inner, max_size=3),
        st.booleans(),
    ),
    max_leaves=8,
)
encodings: st.SearchStrategy[Encoding] = st.sampled_from(["explicit", "implicit", "big"])


@st.composite
def data_sets(draw: st.DrawFn) -> bytes:
    """A file whose elements were changed, left out, repeated, moved or put in."""
    made = list(draw(st.sampled_from(list(ELEMENTS.values()))))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(made) - 1))
        change = draw(st.sampled_from(["value", "vr", "length", "drop", "twice", "move", "put in"]))
        if change == "value":
            made[at] = replace(made[at], value=draw(values))
        elif change == "vr":
            made[at] = replace(made[at], vr=draw(st.sampled_from(VRS)))
        elif change == "length":
            made[at] = replace(made[at], length=draw(lengths))
        elif change == "drop" and len(made) > 1:
            del made[at]
        elif change == "twice":
            made.insert(at, made[at])
        elif change == "move":
            made.insert(draw(st.integers(0, len(made) - 1)), made.pop(at))
        else:
            made.insert(at, draw(elements))
    encoding = draw(encodings)
    before = draw(st.just(b"") | nested)
    syntax = draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG, DEFLATED, None]))
    return part10(encode(made[:3], encoding) + before + encode(made[3:], encoding), syntax)


@st.composite
def encapsulations(draw: st.DrawFn) -> bytes:
    """A compressed file whose fragments were cut, changed and shuffled."""
    syntax, frame = draw(st.sampled_from(list(LOSSLESS.values())))
    cuts = sorted(draw(st.lists(st.integers(0, len(frame)), max_size=4)))
    ends = [0, *cuts, len(frame)]
    parts = [frame[a:b] for a, b in pairwise(ends)]
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    value = fragment(draw(st.binary(max_size=12)), draw(lengths) if draw(st.booleans()) else None)
    for part in parts:
        is_lie = draw(st.integers(0, 9)) == 0
        value += fragment(part, draw(lengths) if is_lie else None)
    value += draw(st.sampled_from([b"", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\0" * 12]))
    declared = draw(st.sampled_from(["1", "2", "3", ""]))
    made = mr_elements(RAMP, NumberOfFrames=declared)
    made[PIXEL_DATA] = Element(PIXEL_DATA, b"OB", value, UNDEFINED)
    return part10(encode(made), syntax)


@settings(ordinary, max_examples=300)
@given(data_sets())
def test_elements_changed_at_random_are_a_slice_or_a_known_error(data: bytes) -> None:
    assert_slices_or_error(data)


@settings(ordinary, max_examples=80)
@given(encapsulations())
def test_fragments_changed_at_random_are_a_slice_or_a_known_error(data: bytes) -> None:
    assert_slices_or_error(data)


@pytest.mark.heavy
@settings(ordinary, max_examples=10_000)
@given(data_sets() | encapsulations())
def test_thousands_of_changed_structures_are_slices_or_known_errors(data: bytes) -> None:
    assert_slices_or_error(data)
