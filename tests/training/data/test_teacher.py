from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.errors import DamagedModel, ModelNotFound
from model.runtime import LoadedModel, load_model
from model.store.find import find_directory
from model.store.transfer import export_model
from preprocessing import InputSpec
from preprocessing.resizing import resize
from training.data.collection import Collection, load_images
from training.data.teacher import label_by_model, load_teacher


@pytest.fixture(scope="module")
def teacher(model_store: Path) -> LoadedModel:
    return load_teacher("spine_autoencoder")


def test_a_teacher_is_a_model_of_the_store_or_a_file(model_store: Path, tmp_path: Path) -> None:
    file = export_model("spine_autoencoder", tmp_path / "teacher.bentomodel")
    stored = load_model(find_directory())
    assert load_teacher(str(file)).spec == stored.spec == load_teacher("spine_autoencoder").spec


def test_a_teacher_that_is_not_there_is_one_clear_error(model_store: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no_such_model"):
        load_teacher("no_such_model")
    with pytest.raises(DamagedModel, match=r"none\.bentomodel is not a whole"):
        load_teacher(str(tmp_path / "none.bentomodel"))


@pytest.mark.parametrize("size", [64, 96])
def test_every_pixel_gets_the_tissue_that_the_teacher_finds_most_probable(
    phantom_folder: Path, teacher: LoadedModel, tmp_path: Path, size: int
) -> None:
    images = load_images([phantom_folder], InputSpec(size=size))
    labels = np.load(label_by_model(images, teacher, tmp_path))
    assert labels.shape == (len(images.x), size, size)
    assert labels.dtype == np.uint8
    x = images.x[17, 0].astype(np.float32)
    side = teacher.spec.input.size
    seen = teacher.compute(np.clip(resize(x, side, side), 0, 1)[None, None]).tissues[0]
    fine = np.stack([resize(np.ascontiguousarray(share), size, size) for share in seen])
    # Batches of other sizes round differently: a tie may fall either way.
    assert (labels[17] == fine.argmax(axis=0)).mean() > 0.999


def test_labels_are_made_once(phantoms: Collection, teacher: LoadedModel, tmp_path: Path) -> None:
    path = label_by_model(phantoms, teacher, tmp_path)
    path.write_bytes(b"as it was")
    assert label_by_model(phantoms, teacher, tmp_path) == path
    assert path.read_bytes() == b"as it was"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
