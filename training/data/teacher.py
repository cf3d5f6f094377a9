"""Label the tissues of data without masks by a model that has learned the anatomy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from model.runtime import LoadedModel, load_model
from model.store.archive import unpack_model
from model.store.find import find_directory
from preprocessing.resizing import resize
from training.data.collection import Collection
from training.data.labels import writing_labels

# The released model, which is part of every clone.
RELEASED = Path(__file__).parents[2] / "pretrained" / "spine_autoencoder.bentomodel"
_BATCH = 16


def load_teacher(name: str) -> LoadedModel:
    """Load a model by its tag in the store, or from a .bentomodel file.

    Raises:
        ModelError: it does not exist or is damaged.
    """
    if not name.endswith(".bentomodel"):
        return load_model(find_directory(name), "onnx")
    with tempfile.TemporaryDirectory(prefix="teacher-") as folder:
        unpack_model(Path(name), Path(folder))
        return load_model(Path(folder), "onnx")


def label_by_model(images: Collection, teacher: LoadedModel, folder: Path) -> Path:
    """Write the tissues that a model finds in every image.

    Args:
        images: of any input size; they are resized to the teacher's.
        teacher: whose inspector has learned the anatomy.
        folder: of the cache.

    Returns:
        A .npy file, uint8 [N, S, S], named after the images and the teacher; if it exists already,
        it is used as it is.
    """
    path = folder / f"{images.sha256[:16]}-{teacher.spec.sha256['model.onnx'][:16]}.labels.npy"
    if path.exists():
        return path
    side = teacher.spec.input.size
    with writing_labels(path, images) as labels:
        n, size, _ = labels.shape
        for start in range(0, n, _BATCH):
            part = np.asarray(images.x[start : start + _BATCH, 0], np.float32)
            x = np.stack([np.clip(resize(picture, side, side), 0, 1) for picture in part])[:, None]
            for row, logits in enumerate(teacher.compute(x).tissues, start):
                fine = [resize(np.ascontiguousarray(one), size, size) for one in logits]
                labels[row] = np.argmax(fine, axis=0)
    return path
