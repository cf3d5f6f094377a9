"""A stopping container answers what it has and ends by itself."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from tests.dicom_files import make_dicom, noise
from tests.image.conftest import Start
from tests.image.containers import TWO_WORKERS, container
from tests.measured import Report
from tests.security.load.load import Lost, get, post, statuses, under_load

pytestmark = pytest.mark.image

CLIENTS = 8
# Docker kills after its grace with exit code 137, so this is asserted without a clock.
GRACE_S = 25
FRAMES = 300  # as many as an object may have


async def test_docker_stop_lets_it_answer_what_is_in_flight_and_exit_with_0(
    start: Start, phantom: bytes, report: Report
) -> None:
    made = await asyncio.to_thread(start, TWO_WORKERS, SPINE_DEADLINE_S="20")
    pixels = noise((32, 32))
    long_file = make_dicom(np.broadcast_to(pixels, (FRAMES, *pixels.shape)))
    async with under_load(made.port, lambda _: post(phantom), CLIENTS) as load:
        in_the_middle = asyncio.create_task(made.ask(post(long_file)))
        await asyncio.sleep(0.5)
        assert not in_the_middle.done()
        asked_at = time.monotonic()
        await asyncio.to_thread(made.stop, GRACE_S)
        took_s = time.monotonic() - asked_at
        long_one = await in_the_middle
    state = made.state()
    report(
        f"docker stop with {CLIENTS} clients and {FRAMES} frames in flight: exit"
        f" {state['ExitCode']} after {took_s:.1f} s, {dict(statuses(load.exchanges))}"
    )
    assert (state["Running"], state["ExitCode"], state["OOMKilled"]) == (False, 0, False)
    assert long_one.status == 200
    assert long_one.ended_at > asked_at
    assert set(statuses(e for e in load.exchanges if e.sent_at < asked_at)) == {200}
    # Later ones too, on a connection that the server had kept; a new one may come too late.
    kept = [e for e in load.since(asked_at) if not e.is_first]
    assert set(statuses(kept)) <= {200}
    assert set(statuses(load.since(asked_at))) <= {200, 503, "closed", "reset"}
    assert isinstance((await made.ask(get("/readyz"))).outcome, Lost)
    assert "Traceback" not in made.logs()


@pytest.mark.parametrize("after_s", [0.1, 0.5, 1.0])
def test_docker_stop_ends_one_that_is_not_ready_yet(after_s: float) -> None:
    # Process 1 gets no SIGTERM that it has no handler for.
    with container(TWO_WORKERS) as made:
        made.start()
        time.sleep(after_s)
        made.stop(GRACE_S)
        assert made.state()["ExitCode"] == 0
