"""Saving, loading, moving and damaging a model in a real BentoML store."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bentoml
import numpy as np
import pytest
import torch

from model.autoencoder import Autoencoder
from model.errors import DamagedModel, ModelError, ModelNotFound, OtherFormat, WrongAnswer
from model.runtime import load_model
from model.spec import (
    HASHED_FILES,
    SPEC_FILE,
    STORE_HASH_FILE,
    AutoencoderConfig,
    Decision,
    ModelSpec,
    Provenance,
    hash_file,
)
from model.store import export_model, find_directory, import_model, save_model
from preprocessing import InputSpec

CONFIG = AutoencoderConfig(size=32, channels=(4, 8), latent=5)
PROVENANCE = Provenance(
    data="noise",
    command="pytest",
    seed=3,
    n_images=4,
    n_patients=2,
    n_removed=1,
    epochs=0,
    metrics={"holdout_mse": 0.5},
    versions={"torch": torch.__version__},
)


def _save(name: str, version: str | None = None) -> Path:
    """Save an untrained network in the store of this test session; return its folder."""
    torch.manual_seed(3)
    golden = np.random.default_rng(3).random((3, 1, 32, 32), dtype=np.float32)
    tag = save_model(
        Autoencoder(CONFIG),
        name=name,
        version=version,
        input_spec=InputSpec(size=32),
        decision=Decision(0.25, 95, 10, 5),
        provenance=PROVENANCE,
        golden=golden,
    )
    return find_directory(str(tag))


@pytest.fixture(scope="module")
def stored(model_store: Path) -> Path:
    """The folder of a model that every test of this file may read, and none may change."""
    return _save("stored", "v1")


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Path:
    """A copy of its files, to damage."""
    return shutil.copytree(stored, tmp_path / "copied")


@pytest.fixture
def exported(stored: Path, tmp_path: Path) -> Iterator[Path]:
    """The same model as a .bentomodel file; the store holds it again, whole, after the test."""
    file = export_model("stored:v1", tmp_path / "out" / "model.bentomodel")
    whole = file.read_bytes()
    yield file
    file.write_bytes(whole)
    import_model(file)


def test_both_runtimes_give_the_same_mse_within_1e_5(stored: Path) -> None:
    x = np.random.default_rng(9).random((5, 1, 32, 32), dtype=np.float32)
    onnx, reference = load_model(stored, "onnx"), load_model(stored, "torch")
    np.testing.assert_allclose(onnx.score(x), reference.score(x), rtol=1e-5)


def test_spine_runtime_chooses_the_runtime(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINE_RUNTIME", "torch")
    assert load_model(stored).runtime == "torch"
    monkeypatch.delenv("SPINE_RUNTIME")
    assert load_model(stored).runtime == "onnx"
    with pytest.raises(ModelError, match="use 'onnx' or 'torch'"):
        load_model(stored, "tensorrt")


def test_model_json_rebuilds_the_spec_that_wrote_it(stored: Path) -> None:
    spec = load_model(stored).spec
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.network == CONFIG
    assert spec.input == InputSpec(size=32)
    assert spec.provenance == PROVENANCE


def test_bentoml_shows_labels_and_metadata(stored: Path) -> None:
    shown = bentoml.models.get("stored:v1").info
    assert shown.labels["task"] == "anomaly-detection"
    assert shown.metadata["threshold"] == 0.25
    assert shown.metadata["training_patients"] == 2


@pytest.mark.parametrize("name", [*HASHED_FILES, SPEC_FILE, "model.yaml"])
def test_one_flipped_byte_in_any_file_is_damage(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[0] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(DamagedModel):
        load_model(copied)


@pytest.mark.parametrize("name", [*HASHED_FILES, SPEC_FILE])
def test_a_missing_or_truncated_file_is_damage(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedModel):
        load_model(copied)
    (copied / name).unlink()
    with pytest.raises(DamagedModel):
        load_model(copied)


def test_a_changed_threshold_in_model_json_is_damage(copied: Path) -> None:
    text = (copied / SPEC_FILE).read_text()
    (copied / SPEC_FILE).write_text(text.replace('"threshold": 0.25', '"threshold": 0.95'))
    with pytest.raises(DamagedModel, match=r"model\.json is not the file that was saved"):
        load_model(copied)


def test_whole_files_with_another_golden_output_are_a_wrong_answer(copied: Path) -> None:
    with np.load(copied / "golden.npz") as golden:
        np.savez(copied / "golden.npz", x=golden["x"], mse=golden["mse"] * 1.001)
    save_on_purpose(copied)
    with pytest.raises(WrongAnswer, match=r"relative error 1\.0e-03"):
        load_model(copied)


def save_on_purpose(directory: Path) -> None:
    """Write the hashes anew, as somebody would who saved these files on purpose."""
    old = hash_file(directory / SPEC_FILE)
    spec = ModelSpec.from_json((directory / SPEC_FILE).read_text())
    hashes = {name: hash_file(directory / name) for name in HASHED_FILES}
    (directory / SPEC_FILE).write_text(dataclasses.replace(spec, sha256=hashes).to_json())
    record = (directory / "model.yaml").read_text()
    new = hash_file(directory / SPEC_FILE)
    (directory / "model.yaml").write_text(record.replace(old, new))
    (directory / STORE_HASH_FILE).write_text(hash_file(directory / "model.yaml"))


def test_a_model_of_a_later_format_is_refused_by_name(stored: Path) -> None:
    text = (stored / SPEC_FILE).read_text().replace('"format_version": 1', '"format_version": 2')
    with pytest.raises(OtherFormat, match="format 2, this program reads 1"):
        ModelSpec.from_json(text)


def test_export_delete_import_brings_back_the_same_model(stored: Path, exported: Path) -> None:
    before = load_model(stored)
    bentoml.models.delete("stored:v1")
    with pytest.raises(ModelNotFound):
        find_directory("stored:v1")
    assert str(import_model(exported)) == "stored:v1"
    assert load_model(find_directory("stored:v1")).spec == before.spec
    assert str(import_model(exported)) == "stored:v1", "a second import changes nothing"
    assert [p.name for p in exported.parent.iterdir()] == ["model.bentomodel"]


def test_a_relative_path_is_one_from_the_current_folder(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export_model("stored:v1", Path("out/m.bentomodel"))
    bentoml.models.delete("stored:v1")
    assert str(import_model(Path("out/m.bentomodel"))) == "stored:v1"
    assert (tmp_path / "out" / "m.bentomodel").is_file()


def test_import_replaces_a_damaged_copy_in_the_store(stored: Path, exported: Path) -> None:
    (stored / "model.onnx").write_bytes(b"")
    import_model(exported)
    load_model(stored)


def test_import_refuses_another_model_under_a_tag_that_is_taken(
    stored: Path, exported: Path
) -> None:
    shutil.copytree(stored, before := exported.parent / "before")
    (stored / "golden.npz").write_bytes(b"of another model")
    save_on_purpose(stored)
    with pytest.raises(ModelError, match="the store holds another model as stored:v1"):
        import_model(exported)
    shutil.rmtree(stored)
    shutil.move(before, stored)


def test_a_truncated_archive_is_refused_and_the_store_is_unchanged(exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:5000])
    bentoml.models.delete("stored:v1")
    with pytest.raises(DamagedModel, match="not a whole"):
        import_model(exported)
    with pytest.raises(ModelNotFound):
        find_directory("stored:v1")


def test_a_failed_save_leaves_nothing_in_the_store(model_store: Path) -> None:
    with pytest.raises(ModelError, match="the network takes 32 px"):
        save_model(
            Autoencoder(CONFIG),
            name="half_done",
            input_spec=InputSpec(size=64),
            decision=Decision(0.25, 95, 10, 5),
            provenance=PROVENANCE,
            golden=np.zeros((1, 1, 32, 32), np.float32),
        )
    assert not list((model_store / "models").glob("half_done/*"))


def test_the_command_line_says_what_is_wrong_in_one_line(model_store: Path, tmp_path: Path) -> None:
    run = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "model.store", "import", str(tmp_path / "none.bentomodel")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert "is not a file" in run.stderr
