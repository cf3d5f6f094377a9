"""Scores, worked out by hand."""

import numpy as np
import pytest

from model.scoring import reconstruction_mse, residual_map


def test_residual_is_the_squared_difference_of_each_pixel() -> None:
    x = np.array([[[[0.0, 1.0], [0.5, 0.25]]]], np.float32)
    x_hat = np.array([[[[0.5, 1.0], [0.0, 0.75]]]], np.float32)
    np.testing.assert_array_equal(residual_map(x, x_hat), [[[[0.25, 0.0], [0.25, 0.25]]]])


def test_reconstruction_mse_is_the_mean_of_the_residual_of_each_slice() -> None:
    x = np.zeros((2, 1, 2, 2), np.float32)
    x_hat = np.zeros_like(x)
    x_hat[1, 0] = [[0.5, 0.0], [0.0, 1.0]]
    np.testing.assert_array_equal(reconstruction_mse(x, x_hat), [0.0, 0.3125])


def test_a_slice_scores_the_same_at_any_place_of_any_batch() -> None:
    rng = np.random.default_rng(0)
    x, x_hat = rng.random((2, 8, 1, 128, 128), dtype=np.float32)
    batch = reconstruction_mse(x, x_hat)
    alone = [reconstruction_mse(x[i : i + 1], x_hat[i : i + 1])[0] for i in range(8)]
    np.testing.assert_array_equal(batch, alone)


def test_shapes_that_differ_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        reconstruction_mse(np.zeros((2, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32))
