from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from serving.http.body import SMALL_BYTES, BodyBuffer


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30), st.integers(0, 255).map(lambda i: bytes([i]) * SMALL_BYTES)
        ),
        max_size=20,
    )
)
def test_pieces_are_what_bytes_joined_are(parts: list[bytes]) -> None:
    pieces = BodyBuffer()
    for part in parts:
        pieces += part
    assert bytes(pieces) == b"".join(parts)
    assert len(pieces) == len(b"".join(parts))


def test_a_large_piece_alone_is_not_copied() -> None:
    piece = bytes(SMALL_BYTES)
    pieces = BodyBuffer()
    pieces += piece
    assert bytes(pieces) is piece


def test_single_bytes_are_not_kept_as_so_many_objects() -> None:
    pieces = BodyBuffer()
    for _ in range(1000):
        pieces += b"x"
    assert len(pieces._pieces) == 1
    pieces += bytes(SMALL_BYTES)
    pieces += b"y"
    kinds = [type(piece) for piece in pieces._pieces]
    assert not any(a is b is bytearray for a, b in pairwise(kinds))
    assert bytes(pieces) == b"x" * 1000 + bytes(SMALL_BYTES) + b"y"
