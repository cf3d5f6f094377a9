"""Whole suites, judged by a detector simple enough to be written down here."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.anatomy import halve
from model.calibration.strata import StratumKey
from model.calibration.usual import calibrate
from model.judge import judge_slices
from model.runtime import LoadedModel, load_model
from model.scoring import Outputs
from model.store.find import find_directory
from preprocessing import InputSpec, read_image
from training.data.collection import load_images
from training.data.headers import Source
from training.errors import WrongMasks
from training.evaluation import cases as cases_of
from training.evaluation.cases import LESIONS, USUAL, Case, read_truth
from training.evaluation.evaluate import (
    HELD_OUT,
    LABELLED,
    PHANTOMS,
    Evaluation,
    Request,
    Suite,
    held_out_suite,
    run_suite,
)
from training.evaluation.faults import FAULT_KINDS
from training.evaluation.foreign import FOREIGN_KINDS, as_slice
from training.evaluation.judged import judge_cases, mask_on_map
from training.evaluation.lesions import LESION_KINDS
from training.evaluation.page import as_json, write_evaluation
from training.phantoms.kinds import KINDS
from training.phantoms.phantom import write_phantoms

SPEC = InputSpec(size=64)


def silent(done: int, total: int) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def model(model_store: Path) -> LoadedModel:
    """Reconstruct mid-grey everywhere; take for a fault how much neighbouring rows differ."""
    stored = load_model(find_directory("spine_autoencoder"))
    n_faults = len(stored.spec.inspector.faults)
    n_features = len(stored.reference.scale) - n_faults - 2

    def compute(x: NDArray[np.float32]) -> Outputs:
        half = halve(x)
        roughness = np.abs(np.diff(x, axis=2)).mean(axis=(1, 2, 3))
        nothing = np.zeros_like(half)
        return Outputs(
            x_small=x,
            x_hat=np.full_like(x, 0.5),
            residual=nothing[:, None],
            tissues=np.stack([nothing + 1, nothing, nothing, nothing], axis=1),
            marks=np.abs(half - 0.5)[:, None],
            faults=np.repeat(roughness[:, None], n_faults, axis=1),
            features=np.zeros((len(x), n_features), np.float32),
        )

    # ln(1 + 11 exp r) for a roughness r of .01 to .05.
    roughness = np.random.default_rng(0).uniform(0.01, 0.05, (40, 1))
    calibration = calibrate(
        np.log1p(n_faults * np.exp(roughness)),
        [str(i) for i in range(40)],
        [StratumKey("T2", "sagittal", "lumbar", "2D")] * 40,
        channels=("fault",),
        alarm_rate=0.05,
    )
    return replace(stored, compute=compute, calibration=calibration)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantoms with masks, the last two without."""
    out = tmp_path_factory.mktemp("evaluated")
    list(write_phantoms(out / "dicom", 6, seed=4, size=128, masks=out / "masks"))
    for name in ("phantom_00004.png", "phantom_00005.png"):
        (out / "masks" / name).unlink()
    return out


@pytest.fixture(scope="module")
def sources(folder: Path) -> tuple[Source, ...]:
    return load_images([folder / "dicom"], SPEC).sources


@pytest.fixture(scope="module")
def held_out(model: LoadedModel, folder: Path, sources: tuple[Source, ...]) -> Evaluation:
    request = Request(data=(folder / "dicom",), masks=folder / "masks", n_foreign=2)
    return run_suite("test:1", model, held_out_suite(request, sources, SPEC), silent)


def test_faults_go_into_every_slice_and_lesions_into_those_with_a_mask(
    held_out: Evaluation,
) -> None:
    kinds = {kind.kind: kind for kind in held_out.kinds}
    assert held_out.suite == HELD_OUT
    assert (held_out.n_usual, held_out.n_patients, held_out.n_masked) == (6, 6, 4)
    assert all(kinds[kind].n_images == 6 for kind in FAULT_KINDS)
    assert all(kinds[kind].n_images == kinds[kind].n_usual == 4 for kind in LESION_KINDS)
    assert set(kinds) == {*FAULT_KINDS, *LESION_KINDS, *FOREIGN_KINDS, cases_of.INVERTED}
    assert [macro.name for macro in held_out.macros] == [
        "acquisition faults",
        "lesions",
        "out-of-distribution",
    ]
    assert kinds["noise"].scores["fault"].paired_win == 1.0
    assert kinds["black box"].pixel_precision is not None
    assert kinds["ghosting"].pixel_precision is None


def test_the_page_needs_nothing_from_the_network_and_shows_no_patient(
    held_out: Evaluation, tmp_path: Path
) -> None:
    write_evaluation(tmp_path / "out", held_out)
    page = (tmp_path / "out" / "evaluation.html").read_text("utf-8")
    assert set(re.findall(r'src="([^"]{0,22})', page)) == {"data:image/png;base64,"}
    assert "http" not in page.replace("http-equiv", "")
    assert "PHANTOM-" not in page
    assert "lesions (macro)" in page
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "evaluation.html",
        "evaluation.json",
        "auroc.png",
        "channels.png",
        "alarms.png",
        "examples.png",
    }
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == as_json(held_out)


def test_masks_of_other_slices_or_sizes_are_refused(
    sources: tuple[Source, ...], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WrongMasks, match="no mask of these 6 slices"):
        next(cases_of.held_out_cases([folder / "dicom"], sources, tmp_path))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "phantom_00000.png")
    with pytest.raises(WrongMasks, match=r"phantom_00000.png: the mask has 8 x 8 pixels"):
        list(cases_of.held_out_cases([folder / "dicom"], sources, tmp_path))
    (tmp_path / "phantom_00000.png").write_text("no picture")
    with pytest.raises(WrongMasks, match="cannot be read"):
        list(cases_of.held_out_cases([folder / "dicom"], sources, tmp_path))


def test_every_phantom_has_its_normal_twin(model: LoadedModel) -> None:
    suite = Suite(PHANTOMS, cases_of.phantom_cases(3), 0, {"all": KINDS})
    found = run_suite("test:1", model, suite, silent)
    assert found.n_usual == 3
    assert {kind.kind for kind in found.kinds} == set(KINDS)
    assert all(kind.n_images == 3 for kind in found.kinds)
    assert found.macros[0].scores["fault"].paired_win is not None


def test_a_labelled_folder_is_judged_by_its_table(model: LoadedModel, tmp_path: Path) -> None:
    list(write_phantoms(tmp_path / "in", 8, seed=9, anomaly="mixed", size=96))
    images = load_images([tmp_path / "in"], SPEC)
    labels = read_truth(tmp_path / "in" / "truth.csv", images.sources)
    suite = Suite(LABELLED, cases_of.labelled_cases([tmp_path / "in"], labels), 8, {})
    found = run_suite("test:1", model, suite, silent)
    assert found.n_usual == 4
    assert [kind.kind for kind in found.kinds] == sorted(KINDS[:4])
    assert all(kind.scores["fault"].paired_win is None for kind in found.kinds)


def test_a_table_that_does_not_fit_is_refused(sources: tuple[Source, ...], tmp_path: Path) -> None:
    def refused(rows: list[tuple[str, str]], message: str) -> None:
        with (tmp_path / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "anomaly"), *rows])
        with pytest.raises(ValueError, match=message):
            read_truth(tmp_path / "t.csv", sources)

    first, second = ("phantom_00000.dcm", "none"), ("phantom_00001.dcm", "lesion")
    refused([first, second, ("nobody.dcm", "none")], "names 1 files that are not among.*nobody")
    refused([first, second, first], "'phantom_00000.dcm' more than once")
    refused([first], "no unusual images")
    refused([second], r"no usual \(none\) images")
    refused([], "columns path and anomaly")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ValueError, match="not a text file"):
        read_truth(tmp_path / "t.csv", sources)


def test_the_anomaly_score_is_that_of_the_calibration(model: LoadedModel, folder: Path) -> None:
    image = read_image((folder / "dicom" / "phantom_00000.dcm").read_bytes())
    case = Case(image, USUAL, "", "p", 0)
    rows = judge_cases(model, [case]).rows
    assert rows.columns == ("anomaly_score", "fault", "reconstruction_mse")
    judged = judge_slices(model, [image])[0]
    mse, fault = judged.scores[:2]
    assert rows.scores[0].tolist() == [judged.verdict.anomaly_score, fault, mse]
    assert rows.p_values[0] == judged.verdict.p_value


def test_a_mask_follows_its_slice_onto_the_grid_of_the_map() -> None:
    # 40 x 20 pixels in a square of 64: 64 x 32, padded by 16 at each side. Rows 20 to 29 become
    # rows 32 to 47, columns 0 to 9 become columns 16 to 31; a map of half the size halves them.
    mask = np.zeros((40, 20), dtype=bool)
    mask[20:30, 0:10] = True
    found = mask_on_map(as_slice(np.zeros((40, 20))), mask, SPEC, (32, 32))
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 23, 8, 15)
    assert found.sum() == 64


def test_a_mask_smaller_than_a_pixel_of_the_map_is_still_somewhere() -> None:
    mask = np.zeros((256, 256), dtype=bool)
    mask[100, 60] = True
    found = mask_on_map(as_slice(np.zeros((256, 256))), mask, SPEC, (32, 32))
    assert found.sum() == 1
    assert found[100 // 8, 60 // 8]


def test_lesions_are_averaged_apart_from_faults(held_out: Evaluation) -> None:
    groups = {kind.group for kind in held_out.kinds}
    assert LESIONS in groups
    assert {"acquisition faults", "other anatomy", "other plane", "other modality"} <= groups
