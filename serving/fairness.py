"""Order what waits: fair between clients by what they sent, first slices before further frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Above this each frame weighs the same: a compressed slice of 512 x 512 pixels has as much. Smaller
# ones weigh less, by the square: 1 MB/s carries 1,000 slices of 1 kB each second, three times what
# two cores can score, but only 30 of this size.
FULL_BYTES = 32_768
# Flows that are remembered; above this, those that are little ahead of the clock are forgotten.
_MANY_FLOWS = 4096


@dataclass(frozen=True)
class Claim:
    """Who waits, and what they sent for it.

    Args:
        client: the digest of a key, or an address.
        n_bytes: that were sent for each frame.
        is_first: the first frame of a file; the further ones wait in a lane of their own.
    """

    client: bytes | str = ""
    n_bytes: int = FULL_BYTES
    is_first: bool = True

    def of_further(self) -> Claim:
        """Return the claim of the same file's further frames."""
        return replace(self, is_first=False)


ANYBODY = Claim()
# A client, and the number of bits of what it sent for each frame.
_Flow = tuple[bytes | str, int]


class FairQueue(Generic[Item]):
    """A queue with a lane for first slices and one for further frames, served in turn.

    Without the second lane one object of 200 frames would be 200 slices in everybody's way; if the
    first one always went first, such an object would never end on a busy server.
    """

    def __init__(self) -> None:
        self._first: _Lane[Item] = _Lane()
        self._further: _Lane[Item] = _Lane()
        self._first_had_its_turn = False

    def __len__(self) -> int:
        return len(self._first) + len(self._further)

    def put(self, item: Item, claim: Claim) -> None:
        """Let an item wait."""
        (self._first if claim.is_first else self._further).put(item, claim)

    def get(self) -> Item:
        """Take the item whose turn it is."""
        is_first = bool(self._first) and not (self._first_had_its_turn and self._further)
        self._first_had_its_turn = is_first
        return (self._first if is_first else self._further).get()

    def drop_last(self) -> Item:
        """Take out the item that would be served last."""
        return (self._further if self._further else self._first).drop_last()

    def discard(self, is_gone: Callable[[Item], bool]) -> None:
        """Forget the items that nobody waits for."""
        self._first.discard(is_gone)
        self._further.discard(is_gone)


class _Lane(Generic[Item]):
    """Fair queueing (Demers, Keshav, Shenker 1989): the smallest tag is served first.

    An item begins at the tag of the last one of its flow, or where the clock is if that is later;
    its tag is the cost more. The clock is where the item that is served began: were it at its tag,
    one tiny slice that is served in a gap would bring all others before the next ordinary one.

    A flow is a client's items of about one size: who shares an address with an attacker does not
    wait for what the attacker got for little.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, float, _Flow, Item]] = []
        self._clock = 0.0
        self._last: dict[_Flow, float] = {}
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, item: Item, claim: Claim) -> None:
        n_bytes = min(max(claim.n_bytes, 1), FULL_BYTES)
        flow = claim.client, n_bytes.bit_length()
        start = max(self._clock, self._last.get(flow, 0.0))
        tag = start + (FULL_BYTES / n_bytes) ** 2
        if len(self._last) >= _MANY_FLOWS:
            self._forget()
        self._last[flow] = tag
        heappush(self._heap, (tag, next(self._order), start, flow, item))

    def _forget(self) -> None:
        """Keep the flows that are ahead by more than one ordinary slice, unless too many are."""
        ahead = {flow: tag for flow, tag in self._last.items() if tag > self._clock + 1}
        self._last = ahead if len(ahead) < _MANY_FLOWS // 2 else {}

    def get(self) -> Item:
        _, _, start, _, item = heappop(self._heap)
        self._clock = max(self._clock, start)
        if not self._heap:
            self._clock = 0.0
            self._last.clear()
        return item

    def drop_last(self) -> Item:
        last = max(self._heap, key=lambda entry: entry[:2])
        self._heap.remove(last)
        heapify(self._heap)
        tag, _, start, flow, item = last
        if self._last.get(flow) == tag:
            self._last[flow] = start  # what was not served costs nothing
        return item

    def discard(self, is_gone: Callable[[Item], bool]) -> None:
        self._heap = [entry for entry in self._heap if not is_gone(entry[-1])]
        heapify(self._heap)
