"""The released model: whole, small, free of patient images, and as its card says."""

import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from model.runtime import LoadedModel, load_model
from model.spec import ModelSpec, load_spec

PRETRAINED = Path(__file__).parent.parent / "pretrained"
ARCHIVE = PRETRAINED / "spine_autoencoder.bentomodel"
CARD = (PRETRAINED / "MODEL_CARD.md").read_text("utf-8")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the archive."""
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def spec(released: Path) -> ModelSpec:
    return load_spec(released)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_the_released_model_gives_its_golden_output(released: Path, runtime: str) -> None:
    load_model(released, runtime)


def test_the_archive_is_a_few_megabytes() -> None:
    assert ARCHIVE.stat().st_size < 8_000_000


def test_its_golden_slices_are_phantoms_and_not_patients(released: Path) -> None:
    model: LoadedModel = load_model(released)
    from training.run import golden_inputs

    np.testing.assert_array_equal(model.golden_x, golden_inputs(model.spec.input))


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


def test_the_card_names_the_command_that_made_it(spec: ModelSpec) -> None:
    assert spec.provenance.command in CARD
