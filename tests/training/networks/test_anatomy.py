"""A network learns the anatomy from masks of one contrast, then from its own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.small import INSPECTOR, weights
from tests.training.usual_slices import SIZE, usual_set
from training.data.training_set import NO_LABEL, TrainingSet
from training.errors import TooFewImages
from training.networks.anatomy import (
    ROUNDS,
    fit_anatomy,
    label_by_itself,
    segmentation_loss,
)
from training.networks.augmentation import disturb, vary_labelled
from training.steps import StretchMetrics

SEED = (0, 1)


def one_contrast() -> TrainingSet:
    """Only slices of the first contrast have masks; both are trained on."""
    data = usual_set(24, n_labelled=24)
    labels = data.labels.copy()
    labels[data.kinds == 1] = NO_LABEL
    return TrainingSet(data.x, labels, data.train, data.series, data.kinds)


def test_its_own_labels_of_a_contrast_without_masks_are_right_where_it_is_certain() -> None:
    data, truth = one_contrast(), usual_set(24, n_labelled=24).labels
    stretches = list[StretchMetrics]()
    network = fit_anatomy(data, INSPECTOR, seed=SEED, steps=60, on_stretch=stretches.append)
    assert len(stretches) == ROUNDS
    other = np.flatnonzero(data.kinds == 1)
    found = label_by_itself(network, data, other)
    known = found != NO_LABEL
    assert known.mean() > 0.3  # of 180 steps of a tiny network; without any, it is certain nowhere
    assert np.mean(found[known] == truth[other][known]) > 0.95


def test_the_same_seed_gives_the_same_weights() -> None:
    data = one_contrast()
    first, again = (fit_anatomy(data, INSPECTOR, seed=SEED, steps=2) for _ in range(2))
    assert weights(first) == weights(again)
    assert weights(fit_anatomy(data, INSPECTOR, seed=(0, 2), steps=2)) != weights(first)


def test_with_masks_of_all_slices_one_round_is_enough() -> None:
    stretches = list[StretchMetrics]()
    data = usual_set(12, n_labelled=12)
    fit_anatomy(data, INSPECTOR, seed=SEED, steps=2, on_stretch=stretches.append)
    assert len(stretches) == 1


def test_without_a_mask_the_training_names_what_is_missing() -> None:
    with pytest.raises(TooFewImages, match="none of 24 slices"):
        fit_anatomy(usual_set(24, n_labelled=0), INSPECTOR, seed=SEED)


def test_pixels_without_a_label_do_not_count() -> None:
    labels = np.full((1, 4, 4), NO_LABEL, np.uint8)
    labels[:, ::4] = 1
    logits = torch.zeros(1, 4, 2, 2)
    # ln 4 for each of the two known pixels; Dice of vertebra (2 x 2 x 1/4 + 1) / (2/4 + 2 + 1), of
    # the others 1 / (2/4 + 1).
    expected = np.log(4) + 1 - (2 / 3.5 + 1 / 1.5 + 1 / 1.5) / 3
    assert float(segmentation_loss(logits, labels)) == pytest.approx(expected, rel=1e-5)
    logits[:, 0, 1] = 9.0  # where nothing is known
    assert float(segmentation_loss(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_varied_slices_keep_their_labels_on_their_tissues() -> None:
    data = usual_set(24, n_labelled=24)
    x = np.where(data.labels == 2, 0.8, 0.3).astype(np.float32)
    moved, labels = vary_labelled(x, data.labels, np.random.default_rng(1))
    assert moved.dtype == np.float32
    assert labels.shape == (24, SIZE, SIZE)
    assert 0 <= moved.min() <= moved.max() <= 1
    for picture, label in zip(moved, labels, strict=True):
        if (label == 2).any():
            assert np.median(picture[label == 2]) > 1.5 * np.median(picture[label == 3])


def test_disturbed_slices_keep_their_place() -> None:
    x = np.zeros((32, SIZE, SIZE), np.float32)
    x[:, 20:40, 20:40] = 0.5
    changed = disturb(x, np.random.default_rng(2))
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    inside, outside = changed[:, 22:38, 22:38].mean(axis=(1, 2)), changed[:, :16].mean(axis=(1, 2))
    assert (inside > outside + 0.1).all()
    assert not np.array_equal(changed, x)
