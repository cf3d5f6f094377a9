"""What the most expensive requests cost: no more than their bytes pay for, and 3 s in all."""

from __future__ import annotations

import asyncio
import json
from math import ceil

import pytest

from tests.measured import Report
from tests.security import process_tree
from tests.security.load.costly import STAGES, requests
from tests.security.load.load import Answer
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

# Computing, for each 100 kB that are begun, and for one request.
CPU_S_FOR_100_KB = 1.0
CPU_S = 3.0
LARGE = 200_000


@pytest.mark.parametrize("stage", STAGES)
async def test_a_request_computes_no_more_than_its_bytes_pay_for(
    stage: str, server: Server, slice_file: bytes, compressed_file: bytes, report: Report
) -> None:
    await server.warm_up(slice_file, compressed_file)
    too_expensive = []
    for name, request in requests(stage):
        times = 1 if len(request) > LARGE else 5  # the kernel counts in steps of 10 ms
        before = process_tree.cpu_seconds(server.pid)
        outcomes = [(await server.ask(request)).outcome for _ in range(times)]
        await asyncio.sleep(0.1)
        cpu_s = (process_tree.cpu_seconds(server.pid) - before) / times
        answer = outcomes[0]
        assert isinstance(answer, Answer), (name, outcomes)
        code = "" if answer.status == 200 else json.loads(answer.body)["code"]
        kilobytes = len(request) / 1e3
        spent = f"{kilobytes:.1f} kB, {cpu_s * 1e3:.0f} CPU-ms, {cpu_s * 1e3 / kilobytes:.2f} a kB"
        report(f"{name}: {spent}, {answer.status} {code}")
        assert answer.status not in (500, 504), (name, answer)
        if cpu_s > min(CPU_S, CPU_S_FOR_100_KB * ceil(kilobytes / 100)):
            too_expensive.append(name)
    assert too_expensive == []
