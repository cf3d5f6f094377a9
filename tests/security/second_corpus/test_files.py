"""Each file of the second corpus, posted to a real server, is answered as it should be."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from typing import Any

import pytest

from tests.measured import Report
from tests.security import process_tree
from tests.security.files.corpus import OK, STATUS
from tests.security.load.load import Answer, post
from tests.security.second_corpus import (
    inputs_costly,
    inputs_geometry,
    inputs_kinds,
    inputs_preambles,
    inputs_precision,
    inputs_regions,
    inputs_values,
)
from tests.security.second_corpus.inputs import Build, Input, mr
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

_MODULES = (
    *(inputs_costly, inputs_preambles, inputs_geometry, inputs_kinds, inputs_regions),
    *(inputs_values, inputs_precision),
)
INPUTS = [each for module in _MODULES for each in module.cases()]
CHEAP = [each for each in INPUTS if each.cpu_s is not None]
ANSWERED = [each for each in INPUTS if each.cpu_s is None]
# Of equal inputs of the networks; a share of the error.
SAME = 1e-4
# What a machine that is busy with other things adds to a measured time.
MARGIN = 1.25
TICKS = os.sysconf("SC_CLK_TCK")
_scores: dict[tuple[int, str], float] = {}


def params(inputs: list[Input]) -> list[Any]:
    return [pytest.param(each, id=f"{each.line}-{ascii(each.name)[1:-1]}") for each in inputs]


async def answer_to(server: Server, data: bytes) -> Answer:
    """Post a file, again if the server asks for that."""
    for _ in range(10):
        outcome = (await server.ask(post(data))).outcome
        assert isinstance(outcome, Answer), outcome
        if outcome.status != 429:
            return outcome
        await asyncio.sleep(int(outcome.headers["retry-after"]))
    raise AssertionError("429 ten times")


async def score_of(server: Server, build: Build) -> float:
    """The reconstruction error of a file that is known to be answered."""
    key = server.port, repr(build)
    if key not in _scores:
        answer = await answer_to(server, build())
        assert answer.status == 200, answer.body
        _scores[key] = json.loads(answer.body)["reconstruction_mse"]
    return _scores[key]


def assert_allowed(each: Input, answer: Answer) -> dict[str, Any]:
    """Check status and code; return the body."""
    body: dict[str, Any] = json.loads(answer.body)
    code = OK if answer.status == 200 else body["code"]
    is_refusal = 400 <= answer.status < 500 and code in STATUS
    assert code in each.codes or ("error" in each.codes and is_refusal), body
    assert b"Traceback" not in answer.body
    return body


def assert_scope(each: Input, body: dict[str, Any]) -> None:
    reason = body["scope_reason"] or ""
    if each.in_scope is not None:
        assert body["in_scope"] is each.in_scope, reason
    if each.names and not each.in_scope:
        assert any(name.lower() in reason.lower() for name in each.names), reason
    if each.secret:
        assert each.secret not in reason


def assert_frames(each: Input, body: dict[str, Any]) -> None:
    if each.line == 17 and each.n_in_scope is not None:
        assert body["frames"] == each.n_in_scope
        return
    if each.frame is not None:
        assert body["frame"] == each.frame
    counts = [v for k, v in body.items() if "scope" in k and type(v) is int]
    if each.n_in_scope is not None and counts:
        assert each.n_in_scope in counts


def assert_noted(each: Input, body: dict[str, Any]) -> None:
    """Check the notes; an answer without such a field has said nothing."""
    if each.is_noted is not None:
        assert bool(body.get("notes")) is each.is_noted, body.get("notes")


@pytest.mark.parametrize("each", params(ANSWERED))
async def test_a_file_is_answered_as_its_kind_demands(server: Server, each: Input) -> None:
    answer = await answer_to(server, each.build())
    body = assert_allowed(each, answer)
    if answer.status != 200:
        return
    assert_scope(each, body)
    assert_frames(each, body)
    if each.same_as is not None:
        expected = await score_of(server, each.same_as)
        assert body["reconstruction_mse"] == pytest.approx(expected, rel=SAME, abs=1e-7)
    assert_noted(each, body)


def cpu_s(server: Server) -> float:
    """CPU time of a server's processes, those that ended included."""
    total = 0
    for pid in server.pids():
        try:
            stat = (process_tree.PROC / str(pid) / "stat").read_text()
        except OSError:
            continue  # a decoder that ended: its parent's children's time has it
        total += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return total / TICKS


@pytest.mark.parametrize("each", params(CHEAP))
async def test_a_file_costs_no_more_than_it_may(
    server: Server, report: Report, each: Input
) -> None:
    data, costs = each.build(), []
    await answer_to(server, mr())
    for _ in range(3):
        before = cpu_s(server)
        assert_allowed(each, await answer_to(server, data))
        await asyncio.sleep(0.05)
        costs.append(cpu_s(server) - before)
    report(f"{len(data)} bytes, CPU-s {min(costs):.2f} to {max(costs):.2f}")
    assert each.cpu_s is not None
    assert min(costs) <= each.cpu_s * MARGIN
    assert await server.is_ready_within(5)


def test_the_corpus_has_inputs_of_each_line_and_honest_ones_beside_them() -> None:
    names = Counter(each.name for each in INPUTS)
    assert max(names.values()) == 1, names.most_common(3)
    lines = Counter(each.line for each in INPUTS)
    assert set(lines) == {1, 3, 5, 10, 12, 13, 14, 15, 16, 17, 18}
    assert min(lines.values()) >= 8
    for line in lines:
        assert any(
            each.codes == {OK} and each.in_scope is not False
            for each in INPUTS
            if each.line == line
        )
