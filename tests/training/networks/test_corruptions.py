from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.spec import InspectorConfig
from training.networks.corruptions import GLOBAL_KINDS, corrupt_globally
from training.networks.local_changes import LOCAL_KINDS, change_place, corrupt_locally

FloatArray = NDArray[np.float32]
SIZE = 48


def anatomy() -> NDArray[np.uint8]:
    """Two bodies, a disc between them, a canal."""
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[8:18, 14:26] = labels[22:32, 14:26] = 1
    labels[18:22, 14:26] = 3
    labels[:, 30:34] = 2
    return labels


def pictures() -> dict[str, FloatArray]:
    """Slices with ever less in them; the rest is padding."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.2, 0.9, (SIZE, SIZE)).astype(np.float32)
    made = {"full": noise, "empty": np.zeros_like(noise), "ones": np.ones_like(noise)}
    for name, rows, columns in [
        ("narrow", slice(None), slice(6, 41)),
        ("flat", slice(9, 40), slice(None)),
        *((f"{n} rows", slice(20, 20 + n), slice(None)) for n in (1, 2, 3, 5, 12)),
        *((f"{n} columns", slice(None), slice(20, 20 + n)) for n in (1, 2, 3, 5, 12)),
        ("pixel", slice(0, 1), slice(47, 48)),
    ]:
        made[name] = np.zeros_like(noise)
        made[name][rows, columns] = noise[rows, columns]
    return made


PICTURES = pictures()


def assert_is_a_slice_with_the_same_padding(found: FloatArray, x: FloatArray) -> None:
    assert found.shape == x.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
    assert not found[~x.any(axis=1)].any()
    assert not found[:, ~x.any(axis=0)].any()


def test_the_kinds_are_what_the_network_names_and_a_hole_comes_last() -> None:
    assert (*GLOBAL_KINDS, "hole") == InspectorConfig().faults


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", sorted(GLOBAL_KINDS.keys() - {"turned"}))
def test_a_fault_of_the_whole_picture_leaves_a_slice_and_its_padding(kind: str, name: str) -> None:
    x = PICTURES[name]
    for seed in range(25):
        found = corrupt_globally(x, kind, np.random.default_rng(seed))
        assert_is_a_slice_with_the_same_padding(found, x)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", LOCAL_KINDS)
def test_a_local_change_leaves_a_slice_and_its_padding(kind: str, name: str) -> None:
    x, donor = PICTURES[name], PICTURES["full"].T.copy()
    for labels in (anatomy(), np.zeros((SIZE, SIZE), np.uint8)):
        for seed in range(8):
            found = change_place(x, labels, donor, kind, np.random.default_rng(seed))
            assert_is_a_slice_with_the_same_padding(found, x)


@pytest.mark.parametrize("name", PICTURES)
def test_a_turned_slice_has_the_same_values_in_the_middle(name: str) -> None:
    x = PICTURES[name]
    for seed in range(25):
        found = corrupt_globally(x, "turned", np.random.default_rng(seed))
        assert np.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1
        height, width = (
            np.ptp(np.flatnonzero(x.any(axis=a))) + 1 if x.any() else 0 for a in (1, 0)
        )
        rows, columns = (np.flatnonzero(found.any(axis=a)) for a in (1, 0))
        assert len(rows) <= max(height, width)
        assert len(columns) <= max(height, width)


@pytest.mark.parametrize("kind", GLOBAL_KINDS)
@pytest.mark.parametrize("name", ["full", "narrow", "flat"])
def test_every_fault_of_the_whole_picture_changes_it(kind: str, name: str) -> None:
    x = PICTURES[name]
    for seed in range(25):
        found = corrupt_globally(x, kind, np.random.default_rng(seed))
        assert np.abs(found - x).mean() > 1e-3


@pytest.mark.parametrize("kind", LOCAL_KINDS)
def test_every_local_change_changes_a_slice_with_anatomy(kind: str) -> None:
    x, donor = PICTURES["full"], PICTURES["full"].T.copy()
    for seed in range(25):
        found = change_place(x, anatomy(), donor, kind, np.random.default_rng(seed))
        assert np.abs(found - x).max() > 0.01


def test_the_marks_of_a_local_change_are_where_it_is() -> None:
    x, donor = PICTURES["full"], PICTURES["full"].T.copy()
    for seed in range(40):
        found = corrupt_locally(x, anatomy(), donor, np.random.default_rng(seed))
        assert 0 <= found.changed.min() <= found.changed.max() <= 1
        difference = np.abs(found.x - x)
        strong = difference > 0.4
        assert (found.changed[strong] > 0.4).all()
        far = np.lib.stride_tricks.sliding_window_view(np.pad(difference, 5), (11, 11))
        assert not found.changed[far.max(axis=(2, 3)) == 0].any()


def test_a_change_of_a_tissue_that_is_not_there_changes_nothing_and_marks_nothing() -> None:
    x, nothing = PICTURES["full"], np.zeros((SIZE, SIZE), np.uint8)
    found = change_place(x, nothing, x, "structure", np.random.default_rng(1))
    np.testing.assert_array_equal(found, x)


@pytest.mark.parametrize("kind", GLOBAL_KINDS)
def test_the_same_random_numbers_give_the_same_fault(kind: str) -> None:
    x = PICTURES["narrow"]
    first, again = (corrupt_globally(x, kind, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert any(
        not np.array_equal(first, corrupt_globally(x, kind, np.random.default_rng(seed)))
        for seed in range(8, 12)
    )


@pytest.mark.parametrize("kind", LOCAL_KINDS)
def test_the_same_random_numbers_give_the_same_local_change(kind: str) -> None:
    x, donor = PICTURES["full"], PICTURES["full"].T.copy()
    first, again = (
        change_place(x, anatomy(), donor, kind, np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_a_corruption_leaves_the_slice_it_is_given_alone() -> None:
    x, donor = PICTURES["full"].copy(), PICTURES["full"].T.copy()
    for kind in GLOBAL_KINDS:
        corrupt_globally(x, kind, np.random.default_rng(2))
    for kind in LOCAL_KINDS:
        change_place(x, anatomy(), donor, kind, np.random.default_rng(2))
    np.testing.assert_array_equal(x, PICTURES["full"])


def test_a_fault_is_scaled_to_the_window_of_preprocessing() -> None:
    # The 0.5th and 99.5th percentile become 0 and 1.
    found = corrupt_globally(PICTURES["full"], "noise", np.random.default_rng(3))
    low, high = np.percentile(found[::2, ::2], (0.5, 99.5))
    assert (low, high) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
