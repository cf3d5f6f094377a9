"""Share the memory for bodies between clients; where it is short, the slowest body gives way.

Most bodies share one limit, by what has come of them. Those that outgrow LARGE_BODY_BYTES leave it
and take one of LARGE_BODIES places, for which they wait unread.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from serving.errors import Overloaded, RequestError, RequestTooSlow

# A body that takes longer than SPINE_BODY_TIMEOUT_S must come this fast: 0.5 Mbit/s. Where room is
# short, one that has not kept up for SLOW_AFTER_S gives way.
SLOWEST_BYTES_PER_S = 64_000
SLOW_AFTER_S = 1.0
# The same of large ones, while another waits for a place: the largest takes a minute.
SLOWEST_LARGE_BYTES_PER_S = 500_000
LARGE_SLOW_AFTER_S = 2.0
# Four times the largest ordinary slice. LARGE_BODIES larger ones are handled at a time.
LARGE_BODY_BYTES = 4_000_000
LARGE_BODIES = 2
# Bytes that one client may hold for each free one (dynamic thresholds, Choudhury and Hahne 1998): a
# client alone takes up to four fifths of the room, two up to four ninths each; some stays free.
SHARE = 4

Client = bytes | str


class Room:
    """What all bodies hold.

    Args:
        n_bytes: the limit that all but the large ones share.
        timeout_s: for a body, and for waiting for a large one's place.
    """

    def __init__(self, n_bytes: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.free = n_bytes
        self._held: defaultdict[Client, int] = defaultdict(int)
        self._arriving: set[Place] = set()
        self._large: list[Place] = []
        self._waiting: list[Place] = []

    def enter(self, client: Client) -> Place:
        """Let a client's body begin."""
        place = Place(self, client)
        self._arriving.add(place)
        return place

    def take(self, place: Place, n_bytes: int) -> None:
        """Hold more of a body.

        Raises:
            Overloaded: there is no room, even without the slow ones.
            RequestTooSlow: this body is the slowest.
        """
        while n_bytes + self._held[place.client] > SHARE * (self.free - n_bytes):
            slowest = self._slowest(place.client, n_bytes)
            if slowest is None:
                raise Overloaded("too many bodies are held; try again in a second")
            error = RequestTooSlow("others came faster, and the room was short")
            if slowest is place:
                raise error  # were it to go on, its memory would be held without being counted
            slowest.give_way(error)
        self._held[place.client] += n_bytes
        self.free -= n_bytes
        place.n_bytes += n_bytes

    def _slowest(self, client: Client, n_bytes: int) -> Place | None:
        """Find the slowest body that gives way: to a client's only one, or to no larger share."""
        now, wanted = _now(), self._held[client] + n_bytes
        slow = [
            place
            for place in self._arriving
            if place.n_bytes
            and place.fast_until < now
            and (
                place.client == client or wanted <= max(self._held[place.client], LARGE_BODY_BYTES)
            )
        ]
        return min(slow, key=lambda place: place.fast_until, default=None)

    def give_back(self, place: Place) -> None:
        """Free what a body holds of the shared limit."""
        self.free += place.n_bytes
        self._held[place.client] -= place.n_bytes
        if not self._held[place.client]:
            del self._held[place.client]
        place.n_bytes = 0

    def stay(self, place: Place) -> None:
        """Let a complete body keep what it holds: it is slow no more."""
        self._arriving.discard(place)

    def leave(self, place: Place) -> None:
        """Free all that a body holds."""
        self.give_back(place)
        self._arriving.discard(place)
        if place in self._waiting:
            self._waiting.remove(place)
        if place in self._large:
            self._large.remove(place)
            self._fill_large()

    async def wait_for_large(self, place: Place, turn: asyncio.Future[None]) -> None:
        """Wait for a place of large bodies, with others, until the turn is a body's."""
        self._waiting.append(place)
        self._fill_large()
        while not place.is_large:
            await asyncio.wait([turn], timeout=SLOW_AFTER_S)
            self._end_slow_large()

    def _fill_large(self) -> None:
        """Give free places to clients that have none or fewer, and then to the fastest body."""
        while self._waiting and len(self._large) < LARGE_BODIES:
            n_before = Counter(place.client for place in self._large)
            turns = []
            for place in self._waiting:
                turns.append((n_before[place.client], place.took_s))
                n_before[place.client] += 1
            place = self._waiting.pop(turns.index(min(turns)))
            self._large.append(place)
            self.give_back(place)
            place.start_large()

    def _end_slow_large(self) -> None:
        """While others wait, end a large body that is slow, or that takes a second place."""
        if not self._waiting:
            return
        n_places = Counter(place.client for place in self._large)
        others_wait = any(place.client not in n_places for place in self._waiting)
        arriving = [place for place in self._large if place in self._arriving]
        place = min(arriving, key=lambda place: place.fast_until, default=None)
        if place is None:
            return
        if place.fast_until < _now():
            place.give_way(
                RequestTooSlow(
                    f"while others wait, a body above {LARGE_BODY_BYTES / 1e6:g} MB must come at"
                    f" {SLOWEST_LARGE_BYTES_PER_S} bytes a second"
                )
            )
        elif others_wait and n_places[place.client] > 1:
            place.give_way(Overloaded("others wait for a large body's place; send one at a time"))


class Place:
    """What one body holds; it is received within `timeout`, which expires when it is too slow.

    Args:
        room: of all.
        client: that sends it.
    """

    def __init__(self, room: Room, client: Client) -> None:
        self.client = client
        self.n_bytes = 0  # of the shared limit
        self.is_large = False
        self.turn: asyncio.Future[None] | None = None  # to be large
        self.error: RequestError | None = None  # why it ends at its timeout; None: it is slow
        self._gave_way: RequestError | None = None
        self.took_s = 0.0  # from its begin until it was large
        self._began = _now()
        self.fast_until = self._began + SLOW_AFTER_S
        self._late = self._began + room.timeout_s
        self.timeout = asyncio.timeout_at(self._late)
        self._room = room

    def _restart(self, slow_after_s: float) -> None:
        """Count the time from now on."""
        now = _now()
        self.fast_until = now + slow_after_s
        self._late = now + self._room.timeout_s
        if not self.timeout.expired():
            self.timeout.reschedule(self._late)

    async def grow(self, n_bytes: int, has_more: bool) -> None:
        """Take room for a piece of the body, and time for the next one.

        Raises:
            Overloaded: the bodies that share the limit exceed it.
            RequestError: this one has given way to another.
        """
        self._check()
        if not self.is_large:
            if self.n_bytes + n_bytes > LARGE_BODY_BYTES:
                await self._become_large()
            else:
                self._room.take(self, n_bytes)
        if not has_more:
            self._room.stay(self)
            return
        now = _now()
        # Bytes earn time, but none can be saved up for trickling later.
        self._late = min(self._late + n_bytes / SLOWEST_BYTES_PER_S, now + self._room.timeout_s)
        self.timeout.reschedule(self._late)
        slowest, slow_after_s = SLOWEST_BYTES_PER_S, SLOW_AFTER_S
        if self.is_large:
            slowest, slow_after_s = SLOWEST_LARGE_BYTES_PER_S, LARGE_SLOW_AFTER_S
        earned = max(self.fast_until, now) + n_bytes / slowest
        self.fast_until = min(earned, now + slow_after_s)

    async def _become_large(self) -> None:
        """Leave the shared limit for a place of large bodies, once there is one."""
        # The client is not to blame for this wait.
        self.error = Overloaded("too many large bodies are held; try again soon")
        self.took_s = _now() - self._began
        self.turn = asyncio.get_running_loop().create_future()
        self._restart(SLOW_AFTER_S)
        await self._room.wait_for_large(self, self.turn)
        self._check()  # it may have given way before it came here
        self.error = None

    def _check(self) -> None:
        if self._gave_way is not None:
            raise self._gave_way

    def start_large(self) -> None:
        """Take the place that it waits for."""
        self.is_large = True
        self._restart(LARGE_SLOW_AFTER_S)
        if self.turn is not None:
            self.turn.set_result(None)

    def give_way(self, error: RequestError) -> None:
        """Free everything and end the block that receives this body."""
        self.error = self._gave_way = self.error or error
        self._room.leave(self)
        if not self.timeout.expired():
            self.timeout.reschedule(_now())

    def leave(self) -> None:
        """Free everything, the error too: its traceback leads to the frame that holds the body."""
        self._room.leave(self)
        self.error = self._gave_way = None


def _now() -> float:
    return asyncio.get_running_loop().time()
