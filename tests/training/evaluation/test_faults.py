from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preprocessing import Slice
from training.evaluation.faults import (
    FAULT_KINDS,
    bias,
    black_box,
    orientation,
    plant_fault,
    void,
)
from training.evaluation.foreign import as_slice
from training.evaluation.kspace import blur, ghosting, noise, spikes, wrap
from training.phantoms.phantom import phantom_slice

SQUARE = (1.0, 1.0)


@pytest.fixture(scope="module")
def image() -> Slice:
    return phantom_slice(11, 0)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_the_same_seed_plants_the_same_fault_and_another_seed_another(
    image: Slice, kind: str
) -> None:
    planted = [plant_fault(image, kind, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    first, again, other = (one.image.pixels for one in planted)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert not np.array_equal(first, image.pixels)
    assert np.isfinite(first).all()
    assert first.dtype == np.float32


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_fault_copes_with_a_constant_image_and_an_odd_matrix(kind: str) -> None:
    for shape in ((33, 47), (200, 30)):
        flat = as_slice(np.full(shape, 7.0))
        assert np.isfinite(plant_fault(flat, kind, np.random.default_rng(0)).image.pixels).all()


def test_a_mask_marks_where_a_void_or_a_box_is(image: Slice) -> None:
    for kind in ("void", "black box"):
        planted = plant_fault(image, kind, np.random.default_rng(5))
        assert planted.mask is not None
        changed = np.abs(planted.image.pixels - image.pixels) > 0.06 * np.ptp(image.pixels)
        assert (changed & planted.mask).sum() > 0.9 * changed.sum() > 0
    assert plant_fault(image, "ghosting", np.random.default_rng(5)).mask is None


def test_a_ghost_of_period_n_lies_a_field_divided_by_n_away() -> None:
    point = np.zeros((48, 48))
    point[10, 20] = 1.0
    for seed in range(6):
        found = ghosting(point, SQUARE, np.random.default_rng(seed))
        assert found[10, 20] == pytest.approx(1.0)
        rows, columns = np.nonzero(found > 1e-6)
        offsets = {(int(r - 10) % 48, int(c - 20) % 48) for r, c in zip(rows, columns, strict=True)}
        period = {24: {24}, 16: {16, 32}, 12: {12, 36}}
        moved = {max(offset) for offset in offsets} - {0}
        assert moved in period.values()
        assert all(min(offset) == 0 for offset in offsets)  # along one axis alone
        ghosts = found[found > 1e-6]
        assert all(0.12 <= ghost <= 0.30 for ghost in ghosts if ghost < 0.9)


def test_a_spike_is_a_stripe_of_three_to_nine_percent_of_the_brightest_signal() -> None:
    for seed in range(4):
        stripes = spikes(np.full((64, 64), 0.5), SQUARE, np.random.default_rng(seed)) - 0.5
        # Magnitude of 0.5 plus one or two complex waves of 0.03 to 0.09.
        assert 0.02 < np.abs(stripes).max() < 0.19


def test_what_a_small_field_of_view_cuts_off_is_added_at_the_other_side() -> None:
    signal = np.outer(np.ones(40), np.ones(40))
    folded = wrap(signal, SQUARE, np.random.default_rng(0))
    cut = 40 - min(folded.shape)
    assert 4 <= cut <= 10  # 10 to 25 % of a body of 40
    assert folded.sum() == pytest.approx(signal.sum())
    assert (folded == 2.0).sum() == cut * 40


def test_noise_is_rician_and_given_for_a_pixel_of_two_millimetres() -> None:
    air = np.zeros((400, 400))
    # In air the magnitude is Rayleigh: its mean is sigma sqrt(pi / 2). At 1 mm sigma is
    # 0.03 to 0.06 times 250 / 128.
    sigma = noise(air, SQUARE, np.random.default_rng(1)).mean() / np.sqrt(np.pi / 2)
    assert 0.03 <= sigma * 128 / 250 <= 0.06
    finer = noise(air, (0.5, 0.5), np.random.default_rng(1)).mean() / np.sqrt(np.pi / 2)
    assert finer == pytest.approx(2 * sigma, rel=1e-6)


def test_blur_is_as_wide_in_millimetres_on_every_matrix() -> None:
    for spacing in (0.5, 1.0):
        point = np.zeros((128, 128))
        point[64, 64] = 1.0
        spread = blur(point, (spacing, spacing), np.random.default_rng(2))
        # A Gaussian's standard deviation is its width at half height / 2.3548.
        offset = (np.arange(128) - 64) * spacing
        sigma = np.sqrt((spread.sum(axis=1) * offset**2).sum())
        assert 3.5 <= sigma * 2.3548 <= 6.0
        assert spread.sum() == pytest.approx(1.0)


def test_a_bias_field_is_four_to_eight_times_as_bright_at_one_place_as_at_another() -> None:
    field = bias(np.ones((50, 60)), SQUARE, np.random.default_rng(3))
    assert 4 <= field.max() / field.min() <= 8


def test_a_void_is_dark_inside_and_leaves_the_far_tissue_alone() -> None:
    signal = np.full((120, 120), 0.6)
    changed, mask = void(signal, SQUARE, np.random.default_rng(4))
    rows, columns = np.nonzero(mask)
    assert changed[round(rows.mean()), round(columns.mean())] < 0.01
    far = np.hypot(
        *np.ogrid[-rows.mean() : 120 - rows.mean(), -columns.mean() : 120 - columns.mean()]
    )
    np.testing.assert_allclose(changed[far > 45], 0.6, atol=1e-3)


def test_a_box_is_blank_and_fifteen_to_thirty_five_percent_of_a_side() -> None:
    changed, mask = black_box(np.ones((200, 100)), SQUARE, np.random.default_rng(6))
    assert (changed[mask] == 0).all()
    assert (changed[~mask] == 1).all()
    assert 30 <= mask.any(axis=1).sum() <= 70
    assert 15 <= mask.any(axis=0).sum() <= 35


def test_a_quarter_turn_exchanges_the_spacing_of_rows_and_columns() -> None:
    image = replace(as_slice(np.arange(12.0).reshape(3, 4)), spacing_mm=(0.5, 0.8))
    seen = set()
    for seed in range(30):
        turned = orientation(image, np.random.default_rng(seed))
        assert sorted(turned.pixels.ravel()) == list(range(12))
        assert (turned.spacing_mm == (0.8, 0.5)) == (turned.pixels.shape == (4, 3))
        assert not np.array_equal(turned.pixels, image.pixels)
        seen.add(turned.pixels.tobytes())
    assert len(seen) == 5
