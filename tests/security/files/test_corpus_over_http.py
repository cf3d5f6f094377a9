"""The whole corpus, posted to a real server one by one and by four clients at once."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from model.judge import judge_slices
from model.runtime import LoadedModel, load_model
from preprocessing import ImageError, Slice, read_frames
from tests.measured import Report
from tests.security import process_tree
from tests.security.files.corpus import OK, Case, cases
from tests.security.files.corpus_files import MARKER
from tests.security.load.load import Answer, Client, get, post
from tests.security.servers import Server

pytestmark = pytest.mark.heavy

CLIENTS = 4
MB = 1_000_000
MEMORY_BYTES = 400 * MB
LARGEST_BODY = 32 * MB
LARGEST_PROBLEM = 8000
# Large bodies take turns: a client that came too early asks again.
MOST_TRIES = 60
ANSWER_WITHIN_S = 30.0
PROBLEM_FIELDS = {"type", "title", "status", "detail", "instance", "code", "request_id", "error"}


@dataclass(frozen=True)
class Answered:
    """A file of the corpus and the server's answer."""

    case: Case
    answer: Answer

    def __str__(self) -> str:
        return f"{self.case.kind} {self.case.name}: {self.answer.status} {self.answer.body[:300]!r}"


@dataclass(frozen=True)
class Run:
    """The corpus went through a server twice.

    Args:
        answers: to all files in sequence, then to all files side by side.
        scores: those of the library for each file that it reads.
        growth: of the server's memory at its peak, bytes.
        workers: before and after.
        files: below its home and its temporary folder, before and after.
        traces: the log, and /metrics.
    """

    answers: list[Answered]
    scores: dict[str, list[tuple[float, float]]]
    growth: int
    workers: tuple[list[int], list[int]]
    files: tuple[set[Path], set[Path]]
    traces: str


@pytest.fixture(scope="module")
def run(server: Server, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    listed, folder = cases(), tmp_path_factory.mktemp("corpus")
    files = [folder / f"{number:04}" for number in range(len(listed))]
    for case, file in zip(listed, files, strict=True):
        file.write_bytes(case.build())
    # What a process makes once, such as the files of its metrics, is there before it is watched.
    asyncio.run(server.warm_up(*(file.read_bytes() for file in files[:14])))
    workers, before = server.workers(), _files(server)
    work = list(zip(listed, files, strict=True))
    with process_tree.watch_memory(server.pid) as memory, ThreadPoolExecutor(1) as pool:
        # One client and the server leave a core for this.
        scoring = pool.submit(lambda: dict(_scores(_model(store), listed, files)))
        answers = asyncio.run(_post_all(server, [work]))
        scores = scoring.result()
        answers += asyncio.run(_post_all(server, [work[n::CLIENTS] for n in range(CLIENTS)]))
    metrics = asyncio.run(server.ask(get("/metrics"))).outcome
    assert isinstance(metrics, Answer)
    assert asyncio.run(server.is_ready_within(1.0))
    yield Run(
        answers=answers,
        scores=scores,
        growth=memory.growth(server.at_start),
        workers=(workers, server.workers()),
        files=(before, _files(server)),
        traces=server.log.read_text() + metrics.body.decode(),
    )
    for file in files:
        file.unlink()


def _model(store: Path) -> LoadedModel:
    folders = [each for each in (store / "models" / "spine_autoencoder").iterdir() if each.is_dir()]
    assert len(folders) == 1
    return load_model(folders[0])


def _scores(
    model: LoadedModel, listed: Iterable[Case], files: Iterable[Path]
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Score each file that can be read as training does: (name, (MSE, p-value) of each frame)."""
    for case, file in zip(listed, files, strict=True):
        try:
            scores = [_score(model, image) for image in read_frames(file.read_bytes())]
        except ImageError:
            continue
        yield case.name, scores


def _score(model: LoadedModel, image: Slice) -> tuple[float, float]:
    judged = judge_slices(model, [image])[0]
    return judged.reconstruction_mse, judged.verdict.p_value


def _files(server: Server) -> set[Path]:
    return {path for top in (server.home, server.temp) for path in top.rglob("*")}


async def _post_all(server: Server, shares: list[list[tuple[Case, Path]]]) -> list[Answered]:
    """Post the files of each share in sequence, the shares side by side."""

    async def one_client(share: list[tuple[Case, Path]]) -> list[Answered]:
        client = Client(server.port, timeout_s=ANSWER_WITHIN_S)
        try:
            return [Answered(case, await _post(client, case, file)) for case, file in share]
        finally:
            await client.close()

    return [each for done in await asyncio.gather(*map(one_client, shares)) for each in done]


async def _post(client: Client, case: Case, file: Path) -> Answer:
    request = post(file.read_bytes())
    # The largest frames compute for seconds, which are more than the deadline on a busy machine.
    n_again = 3 if case.is_expensive and case.must_pass else 0
    for _ in range(MOST_TRIES):
        answer = (await client.send(request)).outcome
        assert isinstance(answer, Answer), f"{file.name}: {answer}"
        if answer.status in (413, 429):
            await client.close()  # the answer may have come before the whole body was sent
        if answer.status in (413, 504) and n_again:
            n_again -= 1
        elif answer.status != 429:
            return answer
        await asyncio.sleep(int(answer.headers.get("retry-after", "1")))
    raise AssertionError(f"{file.name} was never taken")


def test_each_file_gets_the_answer_of_its_class(run: Run) -> None:
    wrong = []
    for each in run.answers:
        body = json.loads(each.answer.body)
        code = OK if each.answer.status == 200 else body["code"]
        is_right = code in each.case.codes and each.answer.status in each.case.statuses
        if not is_right and code != "body_too_large":
            wrong.append(str(each))
    assert not wrong


def test_only_bodies_above_the_limit_are_refused_for_their_size(run: Run) -> None:
    refused = {each.case.name for each in run.answers if b"body_too_large" in each.answer.body}
    assert refused == {"a file of 33 MiB"}


def test_both_runs_give_the_same_answers(run: Run) -> None:
    half = len(run.answers) // 2
    first = {each.case.name: each for each in run.answers[:half]}
    for each in run.answers[half:]:
        # What computes up to its limit may differ by chance from what fails at once.
        assert (each.answer.status == 200) == (first[each.case.name].answer.status == 200), each


def test_each_answer_has_the_headers_and_the_shape_of_the_contract(run: Run) -> None:
    for each in run.answers:
        headers, body = each.answer.headers, json.loads(each.answer.body)
        assert headers["x-content-type-options"] == "nosniff", each
        assert headers["cache-control"] == "no-store", each
        assert headers["x-request-id"] == body["request_id"], each
        assert "server" not in headers, each
        if each.answer.status == 200:
            assert headers["content-type"] == "application/json", each
            continue
        assert headers["content-type"] == "application/problem+json", each
        assert set(body) == PROBLEM_FIELDS, each
        assert body["status"] == each.answer.status, each
        assert len(each.answer.body) < LARGEST_PROBLEM, each


def test_each_score_is_finite_and_that_of_the_library(run: Run) -> None:
    n_scored = 0
    for each in run.answers:
        if each.answer.status == 200:
            body = json.loads(each.answer.body)
            frames = run.scores[each.case.name]
            assert math.isfinite(body["reconstruction_mse"]), each
            assert math.isfinite(body["anomaly_score"]), each
            mse, p_value = frames[body["frame"] - 1]
            np.testing.assert_allclose(
                body["reconstruction_mse"], mse, atol=1e-6, err_msg=str(each)
            )
            # The last bit of a score may move it past one calibration slice.
            assert body["p_value"] == pytest.approx(p_value, abs=0.04), each
            assert p_value <= min(p for _, p in frames) + 0.04, each
            assert body["frames"] == len(frames), each
            n_scored += 1
    assert n_scored > len(run.answers) / 5


def test_the_same_pixels_have_the_same_score_whatever_they_are_stored_as(run: Run) -> None:
    groups: dict[str, list[float]] = {}
    for each in run.answers:
        if each.case.same_as and each.answer.status == 200:
            mse = json.loads(each.answer.body)["reconstruction_mse"]
            groups.setdefault(each.case.same_as, []).append(mse)
    assert len(groups["ramp"]) >= 2 * 14
    for name, found in groups.items():
        assert max(found) - min(found) < 1e-6, name


def test_nothing_of_a_file_is_logged_or_counted_by_name(run: Run) -> None:
    for each in run.answers:
        assert MARKER.encode() not in each.answer.body, each
        assert MARKER not in str(each.answer.headers), each
    assert MARKER not in run.traces
    assert "Traceback" not in run.traces


def test_the_server_is_as_it_was(run: Run, report: Report) -> None:
    before, after = run.workers
    assert before
    assert after == before
    report(f"memory +{run.growth / MB:.0f} MB")
    assert run.growth < MEMORY_BYTES
    assert run.files[1] - run.files[0] == set()
