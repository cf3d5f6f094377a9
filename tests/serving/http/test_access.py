import pytest

from serving.errors import RateLimited, Unauthorized
from serving.http.access import MAX_BUCKETS, KeyRing, RateLimit

KEYS = KeyRing(("first-key", "second-key"))


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer first-key"),
        (b"authorization", b"bearer   second-key "),
        (b"x-api-key", b"second-key"),
    ],
)
def test_any_key_opens_in_either_header(header: tuple[bytes, bytes]) -> None:
    assert KEYS.check([(b"host", b"spine.test"), header])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Basic first-key")],
        [(b"authorization", b"Bearer first-ke")],
        [(b"authorization", b"Bearer first-key,second-key")],
        [(b"x-api-key", b"first-key\xff")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"first-key"), (b"x-api-key", b"second-key")],
        [(b"x-api-key", b"first-key"), (b"authorization", b"Bearer wrong")],
        [
            *((b"x-api-key", b"guess-%d" % number) for number in range(89)),
            (b"x-api-key", b"first-key"),
        ],
    ],
)
def test_nothing_else_opens(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthorized):
        KEYS.check(headers)


def test_one_client_has_one_name_however_it_shows_its_key() -> None:
    one = KEYS.check([(b"authorization", b"Bearer first-key")])
    assert one == KEYS.check([(b"x-api-key", b"first-key")])
    assert one != KEYS.check([(b"x-api-key", b"second-key")])


def test_a_key_that_is_shown_twice_is_one_key() -> None:
    one = (b"authorization", b"Bearer first-key"), (b"x-api-key", b"first-key")
    assert KEYS.check([*one, (b"authorization", b"Basic d3Jvbmc=")])


def test_without_keys_everybody_may_ask() -> None:
    assert KeyRing(()).check([]) is None


class Clock:
    """Seconds that pass when the test lets them."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_holds_its_burst_and_fills_at_its_rate() -> None:
    clock = Clock()
    rate = RateLimit(per_s=2, burst=3, clock=clock)
    for _ in range(3):
        rate.take("a")
    with pytest.raises(RateLimited) as caught:
        rate.take("a")
    assert caught.value.retry_after_s == 1  # half a second, in whole ones
    rate.take("b")  # another client has its own
    clock.now += 0.5  # one token at 2 a second
    rate.take("a")
    with pytest.raises(RateLimited):
        rate.take("a")
    clock.now += 1000
    for _ in range(3):  # never more than the burst
        rate.take("a")
    with pytest.raises(RateLimited):
        rate.take("a")


def test_a_slow_rate_says_how_long_to_wait() -> None:
    rate = RateLimit(per_s=0.1, burst=1, clock=Clock())
    rate.take("a")
    with pytest.raises(RateLimited) as caught:
        rate.take("a")
    assert caught.value.retry_after_s == 10


def test_a_rate_of_zero_limits_nothing() -> None:
    rate = RateLimit(per_s=0, burst=1)
    for _ in range(100):
        rate.take("a")


def test_the_clients_that_are_remembered_are_bounded() -> None:
    rate = RateLimit(per_s=1, burst=1, clock=Clock())
    for number in range(MAX_BUCKETS + 100):
        rate.take(str(number))
    assert len(rate._buckets) == MAX_BUCKETS
