"""The container gives the scores of the released model, however the pixels are stored."""

from __future__ import annotations

import json

import pytest

from model.judge import judge_slices
from model.runtime import LoadedModel
from preprocessing import read_frames
from preprocessing.transfer_syntaxes import COMPRESSED, NATIVE
from tests.image.containers import Container
from tests.security.files.corpus import Case, cases
from tests.security.load.load import Answer, Client, post

pytestmark = pytest.mark.image

TOLERANCE = 1e-6


def _scores(model: LoadedModel, file: bytes) -> list[tuple[float, float]]:
    """MSE and p-value of each frame, from the library."""
    judged = [judge_slices(model, [image])[0] for image in read_frames(file)]
    return [(one.reconstruction_mse, one.verdict.p_value) for one in judged]


async def test_the_released_model_gives_its_answer_for_a_phantom(
    two_workers: Container, released: LoadedModel, phantom: bytes
) -> None:
    outcome = (await two_workers.ask(post(phantom))).outcome
    assert isinstance(outcome, Answer)
    answer = json.loads(outcome.body)
    [(mse, p_value)] = _scores(released, phantom)
    assert answer["reconstruction_mse"] == pytest.approx(mse, abs=TOLERANCE)
    assert answer["p_value"] == pytest.approx(p_value, abs=TOLERANCE)


@pytest.fixture(scope="module")
def valid() -> list[tuple[Case, bytes]]:
    """Sound files: one picture in each transfer syntax, and all that are compressed."""
    sound = [case for case in cases() if case.kind == "valid" and not case.is_expensive]
    files = [(case, case.build()) for case in sound]
    return [each for each in files if each[0].same_as == "ramp" or _syntax(each[1]) in COMPRESSED]


def _syntax(file: bytes) -> str:
    """The transfer syntax that a file names (PS3.10 7.1)."""
    value = file.partition(b"\2\0\x10\0UI")[2]
    return value[2 : 2 + value[0]].rstrip(b"\0").decode()


async def test_each_sound_file_has_the_scores_of_the_library(
    two_workers: Container, released: LoadedModel, valid: list[tuple[Case, bytes]]
) -> None:
    alike: dict[str, list[float]] = {}
    client = Client(two_workers.port)
    for case, file in valid:
        outcome = (await client.send(post(file))).outcome
        assert isinstance(outcome, Answer), f"{case}: {outcome}"
        answer = json.loads(outcome.body)
        assert outcome.status == 200, f"{case}: {answer}"
        scores = _scores(released, file)
        mse, p_value = scores[answer["frame"] - 1]
        assert answer["reconstruction_mse"] == pytest.approx(mse, abs=TOLERANCE), case
        # The last bit of a score may move it past one calibration slice.
        assert answer["p_value"] == pytest.approx(p_value, abs=0.04), case
        assert answer["frames"] == len(scores), case
        if case.same_as:
            alike.setdefault(case.same_as, []).append(answer["reconstruction_mse"])
    await client.close()
    assert len(alike["ramp"]) == 14
    for name, found in alike.items():
        assert max(found) - min(found) < TOLERANCE, name


def test_these_files_go_through_each_decoder(valid: list[tuple[Case, bytes]]) -> None:
    assert {_syntax(file) for _, file in valid} == COMPRESSED | NATIVE
