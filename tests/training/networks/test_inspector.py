from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.networks.inspector import Inspection
from model.spec import InspectorConfig
from tests.training.small import INSPECTOR, weights
from tests.training.usual_slices import SIZE, usual_set
from training.config import FitConfig
from training.data.training_set import NO_LABEL, TrainingSet
from training.errors import Diverged, NotResumable, TooFewImages
from training.networks.augmentation import augment_labelled, remap, shift
from training.networks.inspector import (
    anatomy_loss,
    fit_inspector,
    learning_rate,
    mark_loss,
)
from training.networks.planting import plant
from training.steps import StretchMetrics

SEED = (0, 1, 2)
CONFIG = FitConfig(anatomy_steps=105, inspector_steps=5, batch_size=8)
SHORT = replace(CONFIG, anatomy_steps=2, inspector_steps=3)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return usual_set()


def test_the_same_seed_gives_the_same_weights(data: TrainingSet) -> None:
    first, again = (fit_inspector(data, INSPECTOR, SHORT, seed=SEED) for _ in range(2))
    assert weights(first) == weights(again)
    other = fit_inspector(data, INSPECTOR, SHORT, seed=(0, 1, 3))
    assert weights(other) != weights(first)


@pytest.mark.parametrize("anatomy_steps", [95, 105])
def test_a_resumed_training_equals_an_uninterrupted_one(
    data: TrainingSet, tmp_path: Path, anatomy_steps: int
) -> None:
    # Killed in its last step, it goes on from step 100: after the network has made its labels, or
    # before, and then the labels are already there.
    config = replace(CONFIG, anatomy_steps=anatomy_steps, inspector_steps=110 - anatomy_steps)

    def kill(metrics: StretchMetrics) -> None:
        if metrics.step == 110:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_inspector(data, INSPECTOR, config, seed=SEED, folder=tmp_path, on_stretch=kill)
    seen: list[StretchMetrics] = []
    resumed = fit_inspector(
        data, INSPECTOR, config, seed=SEED, folder=tmp_path, on_stretch=seen.append
    )
    whole = fit_inspector(data, INSPECTOR, config, seed=SEED)
    assert weights(resumed) == weights(whole)
    assert [metrics.step for metrics in seen] == [110]
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["inspector.safetensors", "labels.npy"]


def test_the_network_s_own_labels_are_kept_for_a_resumed_training(
    data: TrainingSet, tmp_path: Path
) -> None:
    fit_inspector(data, INSPECTOR, SHORT, seed=SEED, folder=tmp_path)
    own = np.load(tmp_path / "labels.npy")
    assert own.shape == (12, SIZE, SIZE)  # of the 24 slices, 12 had none
    assert own.dtype == np.uint8
    assert own.max() <= 3


@pytest.mark.parametrize("content", [None, b"", b"not an array"])
def test_kept_labels_that_are_gone_or_damaged_are_refused_and_not_made_again(
    data: TrainingSet, tmp_path: Path, content: bytes | None
) -> None:
    longer = replace(SHORT, inspector_steps=5)
    fit_inspector(data, INSPECTOR, SHORT, seed=SEED, folder=tmp_path)
    if content is None:
        (tmp_path / "labels.npy").unlink()
    else:
        (tmp_path / "labels.npy").write_bytes(content)
    with pytest.raises(NotResumable, match="delete its folder"):
        fit_inspector(data, INSPECTOR, longer, seed=SEED, folder=tmp_path)


def test_kept_labels_of_other_slices_are_refused(data: TrainingSet, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros((11, SIZE, SIZE), np.uint8))
    with pytest.raises(NotResumable):
        fit_inspector(data, INSPECTOR, SHORT, seed=SEED, folder=tmp_path)


def test_a_damaged_checkpoint_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    (tmp_path / "inspector.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(NotResumable, match="delete it"):
        fit_inspector(data, INSPECTOR, SHORT, seed=SEED, folder=tmp_path)


def test_without_a_labelled_slice_the_training_names_what_is_missing() -> None:
    with pytest.raises(TooFewImages, match=r"none of 24 slices .* give masks of more patients"):
        fit_inspector(usual_set(24, n_labelled=0), INSPECTOR, SHORT, seed=SEED)


def test_with_labels_for_every_slice_none_are_made(tmp_path: Path) -> None:
    fit_inspector(usual_set(6, n_labelled=6), INSPECTOR, SHORT, seed=SEED, folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["inspector.safetensors"]


def test_a_loss_that_is_not_a_number_stops_the_training(data: TrainingSet) -> None:
    wild = replace(SHORT, inspector_learning_rate=1e35)
    with pytest.raises(Diverged, match=r"the inspector's loss is \w+ in step [2345]"):
        fit_inspector(data, INSPECTOR, wild, seed=SEED)


def test_the_loss_falls_and_the_anatomy_is_learned(data: TrainingSet) -> None:
    seen: list[StretchMetrics] = []
    config = replace(CONFIG, anatomy_steps=199, inspector_steps=1, batch_size=4)
    network = fit_inspector(data, INSPECTOR, config, seed=SEED, on_stretch=seen.append)
    assert [(metrics.network, metrics.step) for metrics in seen] == [
        ("inspector", 100),
        ("inspector", 200),
    ]
    assert seen[1].loss < 0.8 * seen[0].loss
    assert not network.training
    with torch.inference_mode():
        found = network(torch.from_numpy(data.slices(data.train))[:, None]).anatomy.argmax(dim=1)
    truth = usual_set(24, n_labelled=24).labels[:, ::2, ::2]
    assert (found.numpy() == truth).mean() > 0.8


def test_the_learning_rate_is_constant_for_the_anatomy_then_half_a_cosine() -> None:
    config = FitConfig(anatomy_steps=250, inspector_steps=1000, inspector_learning_rate=1.0)
    assert learning_rate(0, config) == pytest.approx(1 / 20)
    assert learning_rate(19, config) == pytest.approx(1)
    assert learning_rate(250, config) == pytest.approx(1)
    assert learning_rate(750, config) == pytest.approx(0.5)
    assert learning_rate(1250, config) == pytest.approx(0)


def random_slices(n: int, n_labelled: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Slices whose values name the label: label / 4 + 0.1."""
    labels = np.repeat(np.repeat(np.random.default_rng(1).integers(0, 4, (n, 8, 8)), 4, 1), 4, 2)
    x = (labels / 4 + 0.1).astype(np.float32)
    labels[n_labelled:] = NO_LABEL
    return x, labels.astype(np.uint8)


def test_labels_move_with_the_picture() -> None:
    x, labels = random_slices(16, 16)
    moved, moved_labels = augment_labelled(x, labels, np.random.default_rng(2))
    assert moved.shape == x.shape
    assert moved.dtype == np.float32
    assert 0 <= moved.min() <= moved.max() <= 1
    # Each slice's brightness is changed by one curve: what has one label has one value, but for
    # the edges between labels, which turning blurs, and what was outside before.
    for picture, label in zip(moved, moved_labels, strict=True):
        middle = [np.median(picture[(label == tissue) & (picture > 0)]) for tissue in range(4)]
        assert middle == sorted(middle)
        for tissue in range(4):
            inside = picture[(label == tissue) & (picture > 0)]
            assert np.mean(np.abs(inside - middle[tissue]) < 0.05) > 0.6


def test_slices_without_labels_stay_without() -> None:
    x, labels = random_slices(16, 8)
    _, moved = augment_labelled(x, labels, np.random.default_rng(3))
    assert (moved[8:] == NO_LABEL).all()
    assert moved[:8].max() <= 3


def test_a_shift_by_whole_pixels_brings_in_zeros() -> None:
    picture = np.arange(1, 10).reshape(3, 3)
    np.testing.assert_array_equal(shift(picture, 1, 0), [[0, 0, 0], [1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(shift(picture, -1, 2), [[0, 0, 4], [0, 0, 7], [0, 0, 0]])
    np.testing.assert_array_equal(shift(picture, 0, 0), picture)


def test_a_new_contrast_is_one_continuous_curve_that_keeps_black() -> None:
    x = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (40, 3, 1))
    mapped = remap(x, np.random.default_rng(4))
    assert not mapped[:, :, 0].any()
    assert 0 <= mapped.min() <= mapped.max() <= 1.03
    np.testing.assert_array_equal(mapped[:, 0], mapped[:, 2])  # equal values stay equal
    assert np.abs(np.diff(mapped[:, 0], axis=1)).max() < 0.06  # no jumps: 5 segments
    rises = (np.diff(mapped[:, 0], axis=1) >= 0).all(axis=1)
    assert 0.3 < rises.mean() < 0.8  # every second one only rises
    np.testing.assert_allclose(mapped[rises, 0, -1], 1, atol=1e-6)


def test_six_of_eight_slices_get_something_and_say_what() -> None:
    data = usual_set(16, n_labelled=16)
    usual = data.slices(data.train)
    planted = plant(usual, data.labels, np.random.default_rng(5))
    n_faults = len(InspectorConfig().faults)
    assert planted.faults.shape == (16, n_faults)
    changed = (planted.x != usual).any(axis=(1, 2))
    assert changed.tolist() == ([True] * 6 + [False] * 2) * 2
    # A hole is a fault with a place; local changes have a place and no name; the rest a name.
    assert planted.faults.sum(axis=1).tolist() == [1, 0, 1, 1, 1, 1, 0, 0] * 2
    assert planted.faults[[0, 8], -1].tolist() == [1, 1]
    assert (planted.changed[[0, 1, 8, 9]].max(axis=(1, 2)) > 0).all()
    assert not planted.changed[[6, 7, 14, 15]].any()
    assert planted.x.min() >= 0
    assert planted.x.max() <= 1


def test_faults_are_named_in_the_order_of_the_network_s_outputs() -> None:
    names = InspectorConfig().faults
    usual = usual_set(16, n_labelled=16)
    x = usual.slices(usual.train)
    for seed in range(40):
        planted = plant(x, usual.labels, np.random.default_rng(seed))
        for i in np.flatnonzero(planted.faults.any(axis=1)):
            name = names[int(planted.faults[i].argmax())]
            assert bool(planted.is_marked[i]) is (name not in ("turned", "wrap"))
            assert bool(planted.keeps_anatomy[i]) is (name not in ("turned", "wrap", "blanked"))
            if name == "turned":
                values = sorted(x[i].ravel()), sorted(planted.x[i].ravel())
                assert np.corrcoef(*values)[0, 1] > 0.99
            elif name not in ("hole", "blanked"):
                assert not planted.changed[i].any()


def inspection(anatomy: torch.Tensor, marks: torch.Tensor) -> Inspection:
    return Inspection(anatomy, marks, torch.zeros(1, 2), torch.zeros(1, 2))


def test_the_anatomy_loss_is_cross_entropy_and_dice_of_labelled_slices() -> None:
    labels = np.zeros((2, 4, 4), np.uint8)
    labels[1] = NO_LABEL
    even = inspection(torch.zeros(2, 4, 2, 2), torch.zeros(2, 1, 2, 2))
    # All four tissues are equally probable: entropy ln 4. Of each of the three tissues, which are
    # not there, 4 quarters are found: Dice (0 + 1) / (1 + 0 + 1).
    loss = anatomy_loss(even, labels, np.ones(2))
    assert float(loss) == pytest.approx(np.log(4) + 1 - 0.5)
    labels[0] = NO_LABEL
    assert float(anatomy_loss(even, labels, np.ones(2))) == 0


def test_the_mark_loss_is_nearly_nothing_where_the_marks_are_right() -> None:
    changed = np.zeros((1, 4, 4), np.float32)
    changed[0, :2, :2] = 1
    logits = torch.full((1, 1, 2, 2), -30.0)
    logits[0, 0, 0, 0] = 30
    right = inspection(torch.zeros(1, 4, 2, 2), logits)
    assert float(mark_loss(right, changed, np.ones(1, np.float32))) == pytest.approx(0, abs=1e-6)
    undecided = inspection(torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2))
    # Entropy ln 2 everywhere, wrong by a half: 2 ln 2 + 8 * ln 2 / 2; Dice (1 + 4) / (2 + 1 + 4).
    expected = 6 * np.log(2) + 0.3 * (1 - 5 / 7)
    assert float(mark_loss(undecided, changed, np.ones(1, np.float32))) == pytest.approx(expected)
    assert float(mark_loss(undecided, changed, np.zeros(1, np.float32))) == 0
