"""Whose turn it is: between clients, by what they sent, first slices and further frames."""

from collections import Counter

from serving.fairness import FULL_BYTES, Claim, FairQueue


def drain(queue: FairQueue[str]) -> list[str]:
    """Take everything out."""
    return [queue.get() for _ in range(len(queue))]


def test_a_client_waits_behind_its_own_slices_and_not_behind_those_of_others() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.put(f"a{number}", Claim("a"))
    queue.put("b0", Claim("b"))
    assert drain(queue) == ["a0", "b0", "a1", "a2"]


def test_equal_claims_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in "dcba":
        queue.put(name, Claim())
    assert drain(queue) == ["d", "c", "b", "a"]


def test_first_slices_and_further_frames_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(4):
        queue.put(f"frame {number}", Claim("a", is_first=False))
    for name in "xy":
        queue.put(name, Claim(name))
    assert drain(queue) == ["x", "frame 0", "y", "frame 1", "frame 2", "frame 3"]


def test_half_the_bytes_have_a_quarter_of_the_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for client, n_bytes in (("half", FULL_BYTES // 2), ("full", FULL_BYTES)):
        for _ in range(100):
            queue.put(client, Claim(client, n_bytes))
    first = Counter(queue.get() for _ in range(100))
    assert first == {"full": 80, "half": 20}


def test_bytes_beyond_an_ordinary_slice_buy_nothing() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("first", Claim("a", FULL_BYTES))
    queue.put("second", Claim("b", 100 * FULL_BYTES))
    assert drain(queue) == ["first", "second"]


def test_an_attacker_at_the_same_address_delays_no_ordinary_slice() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(60):
        queue.put(f"tiny {number}", Claim("proxy", 500))
    queue.put("slice", Claim("proxy", 500_000))
    assert queue.get() == "slice"


def test_many_clients_with_tiny_slices_have_together_less_than_one_with_ordinary_ones() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(60):
        queue.put("tiny", Claim(f"client {number}", 1000))
    served = Counter[str]()
    for _ in range(60):
        queue.put("slice", Claim("honest"))
        served[queue.get()] += 1
    assert served == {"slice": 60}


def test_a_tiny_slice_that_is_served_in_a_gap_brings_no_others_forward() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(60):
        queue.put("tiny", Claim(f"client {number}", 1000))
    for _ in range(30):
        assert queue.get() == "tiny"
        queue.put("slice", Claim("honest"))
        assert queue.get() == "slice"


def test_who_waited_longest_is_not_starved_by_more_expensive_newcomers() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("small", Claim("small", FULL_BYTES // 4))
    served = ""
    while not served.endswith("small"):
        queue.put("slice ", Claim("other"))
        served += queue.get()
    assert served.count("slice") == 15  # 16 times the cost


def test_clients_without_number_are_forgotten() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("stays", Claim("stays", 1))
    for number in range(10_000):
        queue.put("x", Claim(str(number), 1000 if number % 2 else FULL_BYTES))
    assert len(queue._first._last) <= 4097


def test_what_finds_no_place_is_not_charged_to_its_client() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("a0", Claim("a"))
    for _ in range(100):
        queue.put("refused", Claim("a"))
        assert queue.drop_last() == "refused"
    for name in ("a1", "b0", "b1", "b2"):
        queue.put(name, Claim(name[0]))
    assert drain(queue) == ["a0", "b0", "a1", "b1", "b2"]


def test_what_nobody_waits_for_is_discarded_and_the_last_one_is_found() -> None:
    queue: FairQueue[str] = FairQueue()
    for name in "abc":
        queue.put(name, Claim(name))
    queue.put("frame", Claim("d", is_first=False))
    assert queue.drop_last() == "frame"
    queue.discard(lambda name: name == "b")
    assert queue.drop_last() == "c"
    assert drain(queue) == ["a"]
