"""Saving, loading, moving and damaging a model in a real BentoML store."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DamagedModel, ModelError, ModelNotFound, OtherFormat, WrongAnswer
from model.runtime import _load_arrays, load_model
from model.scoring import COLUMNS
from model.spec import (
    CALIBRATION_FILE,
    GOLDEN_FILE,
    HASHED_FILES,
    REFERENCE_FILE,
    SPEC_FILE,
    STORE_HASH_FILE,
    Decision,
    ModelSpec,
    hash_file,
)
from model.store.find import find_directory
from model.store.save import save_model
from model.store.transfer import export_model, import_model
from preprocessing import InputSpec
from tests.small_model import N_PATIENTS, small_model

SIZE = 64


def _save(name: str, version: str | None = None) -> Path:
    """Save an untrained model in the store of this test session; return its folder."""
    trained = replace(small_model(SIZE, seed=3), decision=Decision(0.25, 95, 10, 5))
    return find_directory(str(save_model(trained, name=name, version=version)))


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


def test_both_runtimes_give_the_same_scores_and_maps(stored: Path) -> None:
    x = np.random.default_rng(9).random((5, 1, SIZE, SIZE), dtype=np.float32)
    x[1:3] = [[[[0.0]]], [[[1.0]]]]
    onnx, reference = load_model(stored, "onnx"), load_model(stored, "torch")
    ours, theirs = onnx.score(x), reference.score(x)
    assert ours.shape == (5, len(COLUMNS))
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(onnx.anomaly_map(x), reference.anomaly_map(x), atol=1e-4)


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
    trained = small_model(SIZE, seed=3)
    assert spec.network == trained.detector.autoencoder.config
    assert spec.inspector == trained.detector.inspector.config
    assert spec.input == InputSpec(size=SIZE)
    assert spec.provenance == trained.provenance
    assert spec.columns == COLUMNS


def test_bentoml_shows_labels_and_metadata(stored: Path) -> None:
    shown = bentoml.models.get("stored:v1").info
    assert shown.labels["task"] == "anomaly-detection"
    assert shown.metadata["threshold"] == 0.25
    assert shown.metadata["training_patients"] == 10
    assert shown.metadata["calibration_patients"] == N_PATIENTS


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
    arrays = read(copied / GOLDEN_FILE)
    arrays["scores"][1, 0] *= 1.0001
    write(copied / GOLDEN_FILE, arrays)
    save_on_purpose(copied)
    with pytest.raises(WrongAnswer, match=r"does not reproduce the golden scores"):
        load_model(copied)


@pytest.mark.parametrize("column", range(len(COLUMNS)))
def test_every_column_of_the_golden_scores_is_checked(copied: Path, column: int) -> None:
    arrays = read(copied / GOLDEN_FILE)
    arrays["scores"][0, column] = arrays["scores"][0, column] * 1.01 + 0.01
    write(copied / GOLDEN_FILE, arrays)
    save_on_purpose(copied)
    with pytest.raises(WrongAnswer):
        load_model(copied)


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz file, which may be changed."""
    with np.load(path) as arrays:
        return {name: array.copy() for name, array in arrays.items()}


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Replace an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes any keyword for allow_pickle


def save_on_purpose(directory: Path, **changes: Any) -> None:
    """Write the hashes again, as somebody would who saved these files on purpose."""
    old = hash_file(directory / SPEC_FILE)
    spec = ModelSpec.from_json((directory / SPEC_FILE).read_text())
    hashes = {name: hash_file(directory / name) for name in HASHED_FILES}
    (directory / SPEC_FILE).write_text(replace(spec, sha256=hashes, **changes).to_json())
    record = (directory / "model.yaml").read_text()
    new = hash_file(directory / SPEC_FILE)
    (directory / "model.yaml").write_text(record.replace(old, new))
    (directory / STORE_HASH_FILE).write_text(hash_file(directory / "model.yaml"))


def test_a_model_of_other_scores_than_the_program_s_is_refused(copied: Path) -> None:
    save_on_purpose(copied, columns=(*COLUMNS[:-1], "another"))
    with pytest.raises(DamagedModel, match="has other scores than this program; train it again"):
        load_model(copied)


UNFIT: dict[str, tuple[str, str, Any]] = {
    "a reference of NaN": (REFERENCE_FILE, "whitening", lambda a: a * np.nan),
    "a reference without spread": (REFERENCE_FILE, "scale", lambda a: a * 0),
    "a centre too short": (REFERENCE_FILE, "centres", lambda a: a[:, 1:]),
    "another golden size": (GOLDEN_FILE, "x", lambda a: a[:, :, ::2, ::2]),
    "golden bytes": (GOLDEN_FILE, "x", lambda a: a.astype(np.uint8)),
    "no golden slices": (GOLDEN_FILE, "x", lambda a: a[:0]),
    "a golden score for one": (GOLDEN_FILE, "scores", lambda a: a[:1]),
    "a golden column less": (GOLDEN_FILE, "scores", lambda a: a[:, 1:]),
    "a golden number": (GOLDEN_FILE, "x", lambda a: a[0, 0, 0, 0]),
    "calibration scores of NaN": (CALIBRATION_FILE, "scores", lambda a: a * np.nan),
    "other channels": (CALIBRATION_FILE, "channels", lambda a: np.roll(a, 1)),
    "an alarm rate of 2": (CALIBRATION_FILE, "alarm_rate", lambda a: a * 0 + 2),
    "patients of fewer slices": (CALIBRATION_FILE, "patients", lambda a: a[1:]),
    "a kind that is not listed": (CALIBRATION_FILE, "kind", lambda a: a + 1),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_arrays_that_do_not_fit_are_damage_even_with_their_own_hash(
    copied: Path, unfit: str
) -> None:
    name, key, change = UNFIT[unfit]
    arrays = read(copied / name)
    arrays[key] = change(arrays[key])
    write(copied / name, arrays)
    save_on_purpose(copied)
    with pytest.raises(DamagedModel, match="import the model again"):
        load_model(copied)


def test_a_reference_of_another_network_is_damage(copied: Path) -> None:
    arrays = read(copied / REFERENCE_FILE)
    arrays["centres"], arrays["scale"] = arrays["centres"][:, 1:], arrays["scale"][1:]
    arrays["whitening"] = arrays["whitening"][1:, 1:]
    write(copied / REFERENCE_FILE, arrays)
    save_on_purpose(copied)
    with pytest.raises(DamagedModel, match="do not fit"):
        load_model(copied)


@pytest.mark.parametrize("name", [REFERENCE_FILE, CALIBRATION_FILE, GOLDEN_FILE])
def test_arrays_that_cannot_be_read_are_damage_even_with_their_own_hash(
    copied: Path, name: str
) -> None:
    whole, arrays = (copied / name).read_bytes(), read(copied / name)
    lacking = dict(list(arrays.items())[1:])
    pickled = arrays | {next(iter(arrays)): np.array([{}], object)}
    for damage in (b"", b"not an archive", whole[: len(whole) // 2], lacking, pickled):
        if isinstance(damage, bytes):
            (copied / name).write_bytes(damage)
        else:
            write(copied / name, damage)
        save_on_purpose(copied)
        with pytest.raises(DamagedModel, match="import the model again"):
            load_model(copied)


def test_one_flipped_bit_of_an_array_s_file_is_an_error_of_ours_or_none(tmp_path: Path) -> None:
    # What is listed and shown is read without its hash.
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, a=np.arange(9.0), b=np.array(["T2", "T1"]))
    content = path.read_bytes()
    refused = 0
    for offset in range(len(content)):
        changed = bytearray(content)
        changed[offset] ^= 1 << offset % 8
        path.write_bytes(changed)
        try:
            _load_arrays(path)
        except DamagedModel:
            refused += 1
    assert refused > len(content) / 4


def test_a_model_of_another_format_is_refused_with_what_to_do(stored: Path) -> None:
    whole = (stored / SPEC_FILE).read_text()
    for version in (1, 3, None, "2"):
        text = whole.replace('"format_version": 2', f'"format_version": {json.dumps(version)}')
        with pytest.raises(OtherFormat, match=f"format {version!r}, this program reads 2; train"):
            ModelSpec.from_json(text)


def test_a_model_of_format_1_is_refused_as_what_it_is_and_not_as_damaged(copied: Path) -> None:
    # As the first version wrote it: one network, no columns, no arrays beside the golden ones.
    network = {"size": 128, "channels": [8, 16, 32, 64, 128], "latent": 64}
    text = json.dumps({"name": "old", "network": network, "sha256": {}, "format_version": 1})
    record = (copied / "model.yaml").read_text()
    record = record.replace(
        hash_file(copied / SPEC_FILE), hashlib.sha256(text.encode()).hexdigest()
    )
    (copied / SPEC_FILE).write_text(text)
    (copied / "model.yaml").write_text(record)
    (copied / STORE_HASH_FILE).write_text(hash_file(copied / "model.yaml"))
    with pytest.raises(OtherFormat, match="train the model again, or import the released one"):
        load_model(copied)


def test_a_reading_network_of_another_size_than_its_input_is_damage(stored: Path) -> None:
    text = (stored / SPEC_FILE).read_text()
    for size in (32, 128):
        changed = text.replace(
            f'"input": {{\n    "size": {SIZE}', f'"input": {{\n    "size": {size}'
        )
        assert changed != text
        with pytest.raises(DamagedModel):
            ModelSpec.from_json(changed)


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
    trained = replace(small_model(SIZE), input_spec=InputSpec(size=2 * SIZE))
    with pytest.raises(ModelError, match="the networks take 64 px"):
        save_model(trained, name="half_done")
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
