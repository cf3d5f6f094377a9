from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from preprocessing import InputSpec
from training.data.collection import load_images
from training.data.labels import fit_mask, label_by_masks, read_mask
from training.data.training_set import NO_LABEL
from training.errors import WrongMasks

SPEC = InputSpec(size=64)


@pytest.fixture
def folders(phantom_folder: Path, phantom_masks: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Three slices, two of which have masks."""
    data, masks = tmp_path / "data", tmp_path / "masks"
    data.mkdir()
    masks.mkdir()
    for number in range(3):
        shutil.copy(phantom_folder / f"phantom_{number:05}.dcm", data)
    for number in range(2):
        shutil.copy(phantom_masks / f"phantom_{number:05}.png", masks)
    return data, masks


def test_labels_lie_where_the_tissue_lies_in_the_input(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    data, masks = folders
    images = load_images([data], SPEC, cache=tmp_path / "cache")
    path = label_by_masks(images, [data], masks, tmp_path / "cache")
    labels = np.load(path, mmap_mode="r")
    assert labels.shape == (3, 64, 64)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels[:2]).tolist()) == {0, 1, 2, 3}
    assert (labels[2] == NO_LABEL).all()
    # 96 pixels to 64, aspect 1: the mask's share of the picture stays.
    mask = read_mask(masks / "phantom_00000.png")
    assert (labels[0] == 1).mean() == pytest.approx((mask == 1).mean(), rel=0.05)
    assert path == label_by_masks(images, [data], masks, tmp_path / "cache")


def test_the_mask_of_a_slice_that_is_stored_mirrored_is_turned_with_it(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    data, masks = folders
    upright = load_images([data], SPEC, cache=tmp_path / "cache")
    expected = np.load(label_by_masks(upright, [data], masks, tmp_path / "cache"))
    ds = pydicom.dcmread(data / "phantom_00000.dcm")
    ds.PixelData = ds.pixel_array[:, ::-1].tobytes()
    ds.ImageOrientationPatient = [0, -1, 0, 0, 0, -1]
    ds.save_as(data / "phantom_00000.dcm")
    mask = read_mask(masks / "phantom_00000.png")
    Image.fromarray(mask[:, ::-1].copy()).save(masks / "phantom_00000.png")
    mirrored = load_images([data], SPEC, cache=tmp_path / "cache")
    np.testing.assert_array_equal(mirrored.x, upright.x)
    found = np.load(label_by_masks(mirrored, [data], masks, tmp_path / "cache"))
    np.testing.assert_array_equal(found, expected)


def test_a_changed_mask_is_read_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    data, masks = folders
    images = load_images([data], SPEC, cache=tmp_path / "cache")
    before = label_by_masks(images, [data], masks, tmp_path / "cache")
    shutil.copy(masks / "phantom_00001.png", masks / "phantom_00000.png")
    assert label_by_masks(images, [data], masks, tmp_path / "cache") != before


def test_a_mask_is_padded_as_its_slice_is() -> None:
    mask = np.ones((2, 4), np.uint8)
    mask[0, 0] = 3
    # 2 x 4 pixels of 1 mm fill 4 x 8 of a square of 8; each pixel becomes 2 x 2.
    fitted = fit_mask(mask, (1.0, 1.0), 8)
    assert fitted[[0, 1, 6, 7]].sum() == 0
    assert fitted[2:6].tolist() == [[3, 3, 1, 1, 1, 1, 1, 1]] * 2 + [[1] * 8] * 2


@pytest.mark.parametrize("wrong", ["size", "labels", "colours", "damaged"])
def test_a_mask_that_cannot_be_meant_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, wrong: str
) -> None:
    data, masks = folders
    path = masks / "phantom_00001.png"
    match wrong:
        case "size":
            Image.fromarray(np.zeros((5, 6), np.uint8)).save(path)
        case "labels":
            Image.fromarray(np.full((96, 96), 7, np.uint8)).save(path)
        case "colours":
            Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save(path)
        case "damaged":
            path.write_bytes(b"\x89PNG cut short")
    images = load_images([data], SPEC, cache=tmp_path / "cache")
    with pytest.raises(WrongMasks, match=r"phantom_00001\.png"):
        label_by_masks(images, [data], masks, tmp_path / "cache")


def test_a_folder_of_other_masks_says_what_it_looked_for(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    data, _ = folders
    images = load_images([data], SPEC, cache=tmp_path / "cache")
    with pytest.raises(WrongMasks, match="has no mask of these 3 slices"):
        label_by_masks(images, [data], tmp_path / "nothing", tmp_path / "cache")
