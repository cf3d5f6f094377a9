"""Keep the masks that people drew next to the decoded inputs: uint8, one .npy file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from preprocessing import Slice
from preprocessing.transforms import fitted_shape
from training.data.collection import Collection, iterate_slices
from training.data.headers import Source
from training.data.training_set import NO_LABEL
from training.errors import WrongMasks
from training.writing import aside

ByteArray = NDArray[np.uint8]

_TISSUES = 4  # background, vertebra, canal, disc
_FORMAT = 1
_ROWS_AT_ONCE = 256


def label_by_masks(images: Collection, data: Sequence[Path], masks: Path, folder: Path) -> Path:
    """Bring every mask onto the grid of its model input.

    Args:
        images: what `load_images` returned for the data.
        data: files and folders.
        masks: folder of PNG files, each with the file name of its slice; values are 0 background,
            1 vertebra, 2 canal, 3 disc.
        folder: of the cache.

    Returns:
        A .npy file, uint8 [N, S, S], filled with NO_LABEL for a slice without a mask. It is named
        by a hash of its content; if it exists already, it is used as it is.

    Raises:
        WrongMasks: the folder has no mask for these slices, or one that does not fit.
    """
    found = find_masks(masks, images.sources)
    state = hashlib.sha256(f"{_FORMAT}/{images.sha256}".encode())
    for name, mask in found.items():
        state.update(f"{name}/{hashlib.sha256(mask.read_bytes()).hexdigest()}".encode())
    path = folder / f"{state.hexdigest()[:32]}.labels.npy"
    if path.exists():
        return path
    rows = {(s.path, s.frame): row for row, s in enumerate(images.sources)}
    wanted = [source for source in images.sources if source.path in found]
    with writing_labels(path, images) as labels:
        n, size, _ = labels.shape
        for start in range(0, n, _ROWS_AT_ONCE):
            labels[start : start + _ROWS_AT_ONCE] = NO_LABEL
        for source, image in iterate_slices(data, wanted):
            labels[rows[source.path, source.frame]] = _fit(found[source.path], image, size)
    return path


@contextmanager
def writing_labels(path: Path, images: Collection) -> Iterator[ByteArray]:
    """Map a new file of labels, uint8 [N, S, S], under another name until it is complete."""
    n, _, size, _ = images.x.shape
    with aside(path) as part:
        labels = np.lib.format.open_memmap(part, "w+", np.uint8, (n, size, size))
        yield labels
        labels.flush()


def fit_mask(mask: ByteArray, spacing_mm: tuple[float, float], size: int) -> ByteArray:
    """Resize and pad a mask as `to_input` does its slice, by nearest label: [H, W] -> [S, S]."""
    height, width = fitted_shape(mask.shape, spacing_mm, size)
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.int64)
    fitted = np.zeros((size, size), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    fitted[top : top + height, left : left + width] = mask[rows][:, columns]
    return fitted


def read_mask(path: Path) -> ByteArray:
    """Read a PNG of labels, [H, W].

    Raises:
        WrongMasks: it cannot be read, has colours, or values other than 0 to 3.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            mask = np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise WrongMasks(f"{path.name} cannot be read; a PNG of labels is expected") from error
    if mask.ndim != 2 or mask.max(initial=0) >= _TISSUES:
        raise WrongMasks(
            f"{path.name} is not a mask: one channel is expected, 0 background, 1 vertebra,"
            " 2 canal, 3 disc"
        )
    return mask.astype(np.uint8)


def _fit(path: Path, image: Slice, size: int) -> ByteArray:
    mask = image.orientation.apply(read_mask(path))
    if mask.shape != image.pixels.shape:
        raise WrongMasks(
            f"{path.name} has {mask.shape[0]} x {mask.shape[1]} pixels, its slice"
            f" {image.pixels.shape[0]} x {image.pixels.shape[1]}"
        )
    return fit_mask(mask, image.spacing_mm, size)


def find_masks(folder: Path, sources: Sequence[Source]) -> dict[str, Path]:
    """Find the masks of single-frame files by name, without the extension: path -> mask."""
    masks = {path.stem: path for path in sorted(folder.rglob("*.png"))}
    several = {source.path for source in sources if source.frame > 1}
    stems = {path: PurePosixPath(path).stem for path in sorted({s.path for s in sources} - several)}
    found = {path: masks[stem] for path, stem in stems.items() if stem in masks}
    if not found:
        raise WrongMasks(
            f"{folder} has no mask of these {len(sources)} slices: a mask is a PNG with the file"
            " name of its slice"
        )
    return found
