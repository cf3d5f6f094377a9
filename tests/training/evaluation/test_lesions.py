from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing import Slice
from training.evaluation.foreign import as_slice
from training.evaluation.lesions import (
    CANAL,
    DISC,
    LESION_KINDS,
    VERTEBRA,
    Anatomy,
    plant_lesion,
    read_anatomy,
)
from training.phantoms.phantom import phantom_labels, phantom_slice
from training.phantoms.spine import TISSUES

SEED = 21


def labelled(index: int) -> tuple[Slice, NDArray[np.uint8]]:
    return phantom_slice(SEED, index), phantom_labels(SEED, index)


def of_contrast(contrast: str) -> tuple[Slice, NDArray[np.uint8], Anatomy]:
    """The first phantom of a contrast, with what was found in it."""
    for index in range(20):
        image, labels = labelled(index)
        anatomy = read_anatomy(image, labels)
        if anatomy.contrast == contrast:
            return image, labels, anatomy
    raise AssertionError(contrast)


def test_the_contrast_follows_from_the_canal() -> None:
    for index in range(4):
        image, labels = labelled(index)
        expected = "T2" if image.facts.echo_time and image.facts.echo_time > 60 else "T1"
        assert read_anatomy(image, labels).contrast == expected


def test_vertebral_bodies_border_on_a_disc_and_spinous_processes_do_not() -> None:
    image, labels = labelled(0)
    n_bodies = len(read_anatomy(image, labels).parts[VERTEBRA])
    labels[100:130, 230:256] = VERTEBRA  # a piece of the same label, far from any disc
    anatomy = read_anatomy(image, labels)
    assert n_bodies >= 4
    assert len(anatomy.parts[VERTEBRA]) == n_bodies


@pytest.mark.parametrize("contrast", ["T1", "T2"])
@pytest.mark.parametrize("kind", LESION_KINDS)
def test_a_lesion_changes_its_structure_and_nothing_far_from_it(kind: str, contrast: str) -> None:
    image, _, anatomy = of_contrast(contrast)
    planted = plant_lesion(image, anatomy, kind, np.random.default_rng(3))
    again = plant_lesion(image, anatomy, kind, np.random.default_rng(3))
    assert planted is not None
    assert again is not None
    np.testing.assert_array_equal(planted.image.pixels, again.image.pixels)
    change = np.abs(planted.image.pixels - image.pixels)
    assert planted.mask is not None
    assert change[planted.mask].mean() > 0
    rows, columns = np.nonzero(planted.mask)
    y, x = np.ogrid[: change.shape[0], : change.shape[1]]
    reach = np.hypot(y - rows.mean(), x - columns.mean()) * image.spacing_mm[0]
    assert change[reach > 45].max() < 0.01 * np.ptp(image.pixels)


def test_a_focal_lesion_is_five_to_ten_millimetres_wide_and_inside_a_body() -> None:
    image, labels, anatomy = of_contrast("T2")
    pixel_mm2 = image.spacing_mm[0] * image.spacing_mm[1]
    for seed in range(8):
        planted = plant_lesion(image, anatomy, "vertebral lesion", np.random.default_rng(seed))
        assert planted is not None
        assert planted.mask is not None
        # A circle of 10 mm, 15 % larger at most along one axis and 1 / 0.8 along the other.
        assert planted.mask.sum() * pixel_mm2 <= np.pi * 100 / 0.8 * 1.02
        assert (labels[planted.mask] == VERTEBRA).mean() > 0.95


def test_oedema_adds_its_share_of_the_brightest_signal_at_that_place() -> None:
    image, _, anatomy = of_contrast("T2")
    planted = plant_lesion(image, anatomy, "vertebral oedema", np.random.default_rng(1))
    assert planted is not None
    assert planted.mask is not None
    where = planted.mask
    body = max(anatomy.parts[VERTEBRA], key=lambda part: int((part & where).sum()))
    # The phantom gives marrow 0.42 of the brightest signal: 0.15 to 0.35 of that is added.
    brightest = np.median(anatomy.signal[body]) / TISSUES["T2"]["vertebra"]
    share = (planted.image.pixels - image.pixels)[where].mean() / brightest
    assert 0.12 <= share <= 0.36


def test_fluid_is_bright_on_t2_and_dark_on_t1() -> None:
    for contrast, sign in (("T1", -1), ("T2", 1)):
        image, _, anatomy = of_contrast(contrast)
        planted = plant_lesion(image, anatomy, "vertebral oedema", np.random.default_rng(2))
        assert planted is not None
        change = (planted.image.pixels - image.pixels)[planted.mask].mean()
        assert np.sign(change) == sign


def test_a_worn_disc_is_darker_and_lower() -> None:
    image, labels, anatomy = of_contrast("T2")
    planted = plant_lesion(image, anatomy, "disc degeneration", np.random.default_rng(4))
    assert planted is not None
    assert planted.mask is not None
    pixels = planted.image.pixels - planted.image.pixels.min()
    inside = planted.mask & (labels == DISC)
    middle = np.abs(np.nonzero(inside)[0] - np.nonzero(inside)[0].mean()) < 2
    before = (image.pixels - image.pixels.min())[inside][middle].mean()
    assert 0.3 < pixels[inside][middle].mean() / before < 0.85


def test_a_herniation_lies_in_the_canal() -> None:
    image, labels, anatomy = of_contrast("T2")
    planted = plant_lesion(image, anatomy, "herniation", np.random.default_rng(5))
    assert planted is not None
    assert planted.mask is not None
    assert (labels[planted.mask] == CANAL).mean() > 0.5
    assert not (labels[planted.mask] == VERTEBRA).any()


def test_a_slice_without_the_structure_gets_no_lesion() -> None:
    image = as_slice(np.random.default_rng(0).random((64, 64)))
    anatomy = read_anatomy(image, np.zeros((64, 64), np.uint8))
    for kind in LESION_KINDS:
        assert plant_lesion(image, anatomy, kind, np.random.default_rng(0)) is None


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="8 x 8 pixels, its slice 64 x 64"):
        read_anatomy(as_slice(np.zeros((64, 64))), np.zeros((8, 8), np.uint8))
