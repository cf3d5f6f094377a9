"""Places for which files wait, and the threads behind them."""

import asyncio
import threading

import pytest

from serving.fairness import ANYBODY, Claim
from serving.reading import Decoders, Turns


async def test_a_place_that_becomes_free_goes_to_whose_turn_it_is() -> None:
    turns, order = Turns(1), list[str]()

    async def wait(name: str, claim: Claim) -> None:
        async with turns.held(claim):
            order.append(name)

    async with turns.held(ANYBODY):
        waiting = [
            asyncio.create_task(wait(name, claim))
            for name, claim in (
                ("cheap", Claim("a", 500)),
                ("first", Claim("b")),
                ("second", Claim("b")),
                ("other", Claim("c")),
            )
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == ["first", "other", "second", "cheap"]


async def test_who_gives_up_leaves_the_place_to_the_next() -> None:
    turns = Turns(1)
    await turns.take(ANYBODY)
    gone, given, stays = (asyncio.create_task(turns.take(ANYBODY)) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    turns.leave()
    given.cancel()  # in the moment in which its turn came
    await asyncio.wait_for(stays, 10)
    assert given.cancelled()
    turns.leave()
    await asyncio.wait_for(turns.take(ANYBODY), 10)


async def test_a_thread_that_still_works_for_somebody_who_left_is_not_given_away() -> None:
    decoders, gate, started = Decoders(1), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait(10)

    gone = asyncio.create_task(decoders.run("native", work, ANYBODY))
    await asyncio.to_thread(started.wait, 10)
    gone.cancel()
    cheap = asyncio.create_task(decoders.run("native", lambda: 1, Claim("a", 500)))
    await asyncio.sleep(0)
    ordinary = asyncio.create_task(decoders.run("native", lambda: 2, Claim("b")))
    await asyncio.sleep(0)
    gate.set()
    done, _ = await asyncio.wait([cheap, ordinary], return_when=asyncio.FIRST_COMPLETED)
    assert ordinary in done
    assert await asyncio.wait_for(cheap, 10) == 1
    with pytest.raises(asyncio.CancelledError):
        await gone
    decoders.close()
