"""The released model: whole, small, free of patient images, and as its card describes it."""

import re
from pathlib import Path

import numpy as np
import pytest

from model.calibration.alarm_rates import rate_bound
from model.runtime import LoadedModel, load_calibration, load_model
from model.spec import CALIBRATION_FILE, ModelSpec, load_spec
from model.store.archive import unpack_model
from tests.root import ROOT

PRETRAINED = ROOT / "pretrained"
ARCHIVE = PRETRAINED / "spine_autoencoder.bentomodel"
CARD = (PRETRAINED / "MODEL_CARD.md").read_text("utf-8")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the archive."""
    folder = tmp_path_factory.mktemp("released")
    unpack_model(ARCHIVE, folder)
    return folder


@pytest.fixture(scope="module")
def spec(released: Path) -> ModelSpec:
    return load_spec(released)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_the_released_model_gives_its_golden_output(released: Path, runtime: str) -> None:
    load_model(released, runtime)


def test_the_archive_is_a_few_megabytes() -> None:
    assert ARCHIVE.stat().st_size < 10_000_000


def test_its_golden_slices_are_phantoms_and_not_patients(released: Path) -> None:
    model: LoadedModel = load_model(released)
    from training.release import golden_inputs

    # Processors round float32 differently (6e-8 without AVX-512); another slice differs by tenths.
    drawn = golden_inputs(model.spec.input)
    np.testing.assert_allclose(model.golden_x, drawn, rtol=0, atol=1e-6)


def test_the_card_names_threshold_counts_and_version(released: Path, spec: ModelSpec) -> None:
    assert f"{spec.decision.threshold:.4f}" in CARD
    for number in (
        spec.decision.n_patients,
        spec.provenance.n_images,
        spec.provenance.n_patients,
        spec.provenance.n_removed,
    ):
        assert re.search(rf"\b{number}\b", CARD)
    version = re.search(r"^version: (\S+)$", (released / "model.yaml").read_text(), re.MULTILINE)
    assert version
    assert f"spine_autoencoder:{version[1]}" in CARD


def test_the_card_names_the_alarm_rate_its_bound_and_the_patients_behind_it(released: Path) -> None:
    calibration = load_calibration(released)
    bound = rate_bound(calibration.alarm_rate, calibration.n_patients)
    assert re.search(rf"\b{calibration.n_patients} patients\b", CARD)
    assert f"{100 * calibration.alarm_rate:g} %" in CARD
    assert f"{100 * bound:.1f} %" in CARD


def test_its_calibration_holds_numbers_and_kinds_of_slices_and_nothing_of_patients(
    released: Path,
) -> None:
    with np.load(released / CALIBRATION_FILE, allow_pickle=False) as arrays:
        texts = {name for name, array in arrays.items() if array.dtype.kind in "USO"}
        assert texts == {"channels", "kinds"}
        assert arrays["studies"].dtype.kind == "i"


def test_it_scores_what_the_card_explains(spec: ModelSpec) -> None:
    for column in spec.columns:
        assert f"`{column}`" in CARD


def test_the_card_names_the_command_that_made_it(spec: ModelSpec) -> None:
    assert spec.provenance.command in CARD
