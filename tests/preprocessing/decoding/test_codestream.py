"""The headers of codestreams are read in a bounded number of steps."""

from __future__ import annotations

from typing import Any

import pytest

from preprocessing.decoding.codestream import check_codestream
from preprocessing.errors import DamagedImage
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP

SOUND = LOSSLESS["JPEG lossless SV1"][1]
START, END = b"\xff\xd8", b"\xff\xd9"


class Counted(bytes):
    """Bytes that count how often they are looked at."""

    n_looks = 0

    def __getitem__(self, key: Any) -> Any:
        self.n_looks += 1
        return super().__getitem__(key)


def looks_at(frame: bytes) -> int:
    counted = Counted(frame)
    with pytest.raises(DamagedImage):
        check_codestream(counted, 16, 24)
    return counted.n_looks


@pytest.mark.parametrize(
    "piece",
    [
        b"\xff\xe0\0\2",
        b"\xff\xef\0\3Q",
        b"\xff\xfe\0\0",
        b"\xff",
        b"\xff\xd0",
        b"\xff\x01",
        b"\xff\xc4\0\2",
        b"\xff\xdb\0\1",
        b"\xff\xc3\0\2",
        b"\xff\xf7\0\7\0\0\0\0\0",
    ],
    ids=lambda piece: piece.hex(),
)
def test_no_number_of_markers_takes_more_than_some_looks(piece: bytes) -> None:
    # A frame header further behind is not reached either.
    few, many = (looks_at(START + piece * n + SOUND[2:]) for n in (1_000, 100_000))
    assert few == many < 2_000


@pytest.mark.parametrize(
    "piece",
    [b"\xff\xe2\xff\xff" + b"Q" * 65_533, b"\xff\xfe\0\2", b"\xff"],
    ids=["a profile of 6 MB", "comments", "fill bytes"],
)
def test_headers_as_long_as_sound_files_have_are_read(piece: bytes) -> None:
    found = check_codestream(START + piece * 100 + SOUND[2:], *RAMP.shape)
    assert (found.rows, found.columns, found.precision) == (16, 24, 12)


@pytest.mark.parametrize(
    ("after", "is_whole"),
    [
        (END, True),
        (END + bytes(100_000), True),
        (END + b"Q" * 16, True),
        (END + b"Q" * 17, False),
        (END + bytes(20) + b"Q", False),
        (b"", False),
        (bytes(100_000), False),
    ],
    ids=["end", "zeros", "16 bytes", "17 bytes", "zeros and a byte", "nothing", "zeros alone"],
)
def test_an_end_is_found_where_a_frame_is_filled_up(after: bytes, is_whole: bool) -> None:
    frame = SOUND[: SOUND.rindex(END)] + after
    if is_whole:
        assert check_codestream(frame, *RAMP.shape).precision == 12
    else:
        with pytest.raises(DamagedImage, match="cut short"):
            check_codestream(frame, *RAMP.shape)
