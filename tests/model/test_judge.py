"""The one path: a slice's scores and its verdict, one by one or in a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.calibration.strata import StratumKey
from model.judge import judge_scores, judge_slices, usual_slices
from model.runtime import LoadedModel, load_model
from model.scoring import COLUMNS
from model.store.find import find_directory
from preprocessing import Slice, SliceFacts, to_input
from training.phantoms.phantom import phantom_slice

# A header that says nothing.
SILENT = SliceFacts(None, None, None, None, None, None, None, None, None, None, None, None)


@pytest.fixture(scope="module")
def model(model_store: Path) -> LoadedModel:
    return load_model(find_directory("spine_autoencoder"))


@pytest.fixture(scope="module")
def slices() -> list[Slice]:
    return [phantom_slice(3, number, kind) for number, kind in enumerate(("none", "lesion"))]


def test_a_batch_gives_each_slice_its_scores_and_its_verdict(
    model: LoadedModel, slices: list[Slice]
) -> None:
    judged = judge_slices(model, slices)
    assert len(judged) == 2
    for one, image in zip(judged, slices, strict=True):
        scores = model.score(to_input(image, model.spec.input)[None])[0]
        np.testing.assert_allclose(one.scores, scores, rtol=1e-5)
        assert one.reconstruction_mse == one.scores[0]
        assert one.verdict == judge_scores(model.calibration, one.scores, image.facts)


def test_nothing_to_judge_gives_no_verdict(model: LoadedModel) -> None:
    assert judge_slices(model, []) == []


def test_a_score_that_is_not_finite_gets_no_verdict(model: LoadedModel) -> None:
    with pytest.raises(ValueError, match="finite"):
        judge_scores(model.calibration, np.full(len(COLUMNS), np.nan), SILENT)


def test_the_kind_comes_from_the_header_else_from_what_was_measured(model: LoadedModel) -> None:
    scores = np.ones(len(COLUMNS))
    scores[COLUMNS.index("canal_contrast")] = -0.5
    scores[COLUMNS.index("vertebra_share")] = 0.08
    seen = judge_scores(model.calibration, scores, SILENT)
    assert seen.stratum == StratumKey("T1", "sagittal", subject="patient")
    named = replace(SILENT, echo_time=90.0, mr_acquisition_type="3D")
    told = judge_scores(model.calibration, scores, named)
    assert told.stratum == StratumKey("T2", "sagittal", None, "3D", "patient")


def test_another_kind_of_image_is_out_of_scope_for_the_reason_of_its_header(
    model: LoadedModel, slices: list[Slice]
) -> None:
    reason = "ImageType says that this is a map (ADC)"
    usual = judge_slices(model, slices[:1])[0]
    facts = replace(slices[0].facts, other_kind=reason)
    other = judge_slices(model, [replace(slices[0], facts=facts)])[0]
    assert usual.verdict.scope_reason is None
    assert other.verdict == replace(usual.verdict, scope_reason=reason)


def test_a_region_out_of_scope_names_the_element_that_states_it(
    model: LoadedModel, slices: list[Slice]
) -> None:
    facts = replace(
        slices[0].facts,
        body_part_examined="LSPINE",
        anatomic_region=("122494005", "FrameAnatomySequence"),
    )
    judged = judge_slices(model, [replace(slices[0], facts=facts)])[0]
    assert judged.verdict.scope_reason == (
        "the region is cervical; the calibration has only lumbar (FrameAnatomySequence)"
    )


def test_usual_slices_keep_the_calibrated_channels_in_their_order() -> None:
    rows = np.arange(3.0 * len(COLUMNS)).reshape(3, -1)
    usual = usual_slices(rows, [SILENT] * 3, ["a", "a", "b"], ("disc", "fault"))
    assert usual.scores.tolist() == [[row[6], row[1]] for row in rows]
