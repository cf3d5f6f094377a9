"""A container answers what it cannot take with 429, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.image.conftest import Start
from tests.image.containers import NOBODY, ONE_WORKER
from tests.measured import Report
from tests.security.load.load import Answer, post, statuses

pytestmark = pytest.mark.image

CLIENTS = 64


async def test_small_limits_answer_some_and_tell_the_others_to_come_again(
    start: Start, phantom: bytes, report: Report
) -> None:
    limits = replace(ONE_WORKER, user=NOBODY)
    made = await asyncio.to_thread(start, limits, SPINE_QUEUE="1", SPINE_CONCURRENCY="2")
    workers = made.workers()
    exchanges = await made.ask_all([post(phantom)] * CLIENTS)
    counts = statuses(exchanges)
    report(f"{CLIENTS} clients at once, two at a time taken: {dict(counts)}")
    assert set(counts) == {200, 429}
    for exchange in exchanges:
        answer = exchange.outcome
        assert isinstance(answer, Answer)
        if answer.status == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert json.loads(answer.body)["code"] == "overloaded"
    assert set(statuses([await made.ask(post(phantom)) for _ in range(10)])) == {200}
    assert made.workers() == workers
