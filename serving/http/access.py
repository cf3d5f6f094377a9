"""Decide who may send requests, and how often: API keys, and a token bucket for each client."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from serving.errors import RateLimited, Unauthorized

Headers = Iterable[tuple[bytes, bytes]]
# Clients that are remembered; a forgotten one starts with a full bucket.
MAX_BUCKETS = 10_000


class KeyRing:
    """The keys that open the service; without one it is open.

    Args:
        keys: as the operator names them.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def check(self, headers: Headers) -> bytes | None:
        """Find a valid key, in `Authorization: Bearer KEY` or `X-API-Key: KEY`.

        All keys are compared by digests of one length, so that the time reveals nothing. A request
        may show one key, or else ninety guesses would count as one try; the same one in both
        headers is one.

        Returns:
            The digest of the key, which names the client; None where no key is needed.

        Raises:
            Unauthorized: there is none, or there are several.
        """
        if not self._digests:
            return None
        shown = _shown_keys(headers)
        if len(shown) == 1:
            digest = sha256(shown.pop()).digest()
            if sum([hmac.compare_digest(digest, known) for known in self._digests]):
                return digest
        raise Unauthorized(
            "send one key of this service as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
        )


def _shown_keys(headers: Headers) -> set[bytes]:
    shown = set()
    for name, value in headers:
        if name == b"x-api-key":
            shown.add(value.strip())
        elif name == b"authorization":
            scheme, _, credentials = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                shown.add(credentials.strip())
    return shown


@dataclass
class _Bucket:
    """The requests that one client may still send."""

    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket for each client (RFC 2697's idea, for requests in place of bytes).

    Args:
        per_s: tokens that a bucket gains in a second; 0 limits nothing.
        burst: tokens that a bucket holds.
        clock: seconds.
    """

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[bytes | str, _Bucket] = OrderedDict()

    def take(self, client: bytes | str) -> None:
        """Take a client's token for one request.

        Args:
            client: the digest of its key, or the network of its address.

        Raises:
            RateLimited: its bucket is empty.
        """
        if not self._per_s:
            return
        now = self._clock()
        bucket = self._buckets.setdefault(client, _Bucket(self._burst, now))
        self._buckets.move_to_end(client)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        gained = (now - bucket.filled_at) * self._per_s
        bucket.tokens = min(self._burst, bucket.tokens + gained)
        bucket.filled_at = now
        if bucket.tokens < 1:
            raise RateLimited(
                "slow down; the header Retry-After says when the next request is answered",
                retry_after_s=ceil((1 - bucket.tokens) / self._per_s),
            )
        bucket.tokens -= 1
