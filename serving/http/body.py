"""Collect a body piece by piece; join the pieces once, at its end."""

from __future__ import annotations

# Smaller pieces are joined as they arrive: a list of single bytes takes 40 times their size.
SMALL_BYTES = 16 * 1024


class BodyBuffer:
    """What has arrived of a body."""

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._n_bytes = 0

    def __len__(self) -> int:
        return self._n_bytes

    def __iadd__(self, piece: bytes) -> BodyBuffer:
        """Append a piece."""
        self._n_bytes += len(piece)
        last = self._pieces[-1] if self._pieces else None
        if len(piece) >= SMALL_BYTES:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))
        return self

    def __bytes__(self) -> bytes:
        if len(self._pieces) == 1 and isinstance(self._pieces[0], bytes):
            return self._pieces[0]
        return b"".join(self._pieces)
