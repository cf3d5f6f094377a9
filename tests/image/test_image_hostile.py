"""Hostile files get their answers from the container, and it stays what it was."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.image.conftest import Start
from tests.image.containers import MIB, ONE_WORKER, Container
from tests.measured import Report
from tests.security.files.corpus import OK, Case, Kind, cases
from tests.security.load.load import Answer, Client, post

pytestmark = pytest.mark.image

N_OF_A_KIND = 16


def _chosen() -> list[Case]:
    """Some cheap files of each kind but the valid, evenly spread, and all costly attacks."""
    listed = cases()

    def spread(kind: Kind) -> list[Case]:
        of_kind = [case for case in listed if case.kind == kind and not case.is_expensive]
        return of_kind[:: len(of_kind) // N_OF_A_KIND]

    costly = [case for case in listed if case.kind == "malformed" and case.is_expensive]
    return [*spread("tolerated"), *spread("refused"), *spread("malformed"), *costly]


async def test_hostile_files_are_answered_as_they_should_be_and_leave_no_trace(
    start: Start, phantom: bytes, report: Report
) -> None:
    made = await asyncio.to_thread(start, ONE_WORKER)
    workers, before = made.workers(), made.memory()
    score = await _mse(made, phantom)
    chosen = _chosen()
    assert len(chosen) > 3 * N_OF_A_KIND
    wrong = []
    for case in chosen:
        client = Client(made.port)
        answer = (await client.send(post(case.build()))).outcome
        await client.close()
        assert isinstance(answer, Answer), f"{case}: {answer}"
        code = OK if answer.status == 200 else json.loads(answer.body)["code"]
        is_right = code in case.codes and answer.status in case.statuses
        # The one file above the largest body.
        if not is_right and (code, answer.status) != ("body_too_large", 413):
            wrong.append(f"{case}: {answer.status} {answer.body[:300]!r}")
    assert not wrong
    assert await _mse(made, phantom) == score
    after, state = made.memory(), made.inspect()
    report(
        f"{len(chosen)} hostile files, one worker: {before.used / MIB:.0f} ->"
        f" {after.used / MIB:.0f} MiB, peak with page cache {after.peak / MIB:.0f} MiB"
    )
    assert made.workers() == workers
    assert after.n_killed == 0
    assert (state["RestartCount"], state["State"]["OOMKilled"]) == (0, False)
    assert after.used < made.limits.memory_mb * MIB


async def _mse(made: Container, file: bytes) -> float:
    answer = (await made.ask(post(file))).outcome
    assert isinstance(answer, Answer)
    mse: float = json.loads(answer.body)["reconstruction_mse"]
    return mse
