"""Both networks as one module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from model.networks.detector import Reduce
from model.scoring import normalised_residual
from preprocessing.resizing import resize
from tests.small_model import small_model


def test_reducing_four_pixels_to_two_weighs_them_by_a_triangle() -> None:
    # Centres at 1 and 3, support 2: weights (3, 3, 1, 0) / 7 and their mirror image.
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1
    expected = np.array([[9 / 49, 0], [0, 0]])
    np.testing.assert_allclose(Reduce(4, 2)(x)[0, 0], expected, atol=1e-7)


def test_reducing_equals_what_preprocessing_does() -> None:
    x = np.random.default_rng(0).random((192, 192), dtype=np.float32)
    reduced = Reduce(192, 128)(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(reduced, resize(x, 128, 128), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_reducing_keeps_the_range(value: float) -> None:
    reduced = Reduce(192, 128)(torch.full((1, 1, 192, 192), value))
    torch.testing.assert_close(reduced, torch.full((1, 1, 128, 128), value))
    assert 0 <= float(reduced.min()) <= float(reduced.max()) <= 1


def test_the_outputs_are_those_of_the_two_networks() -> None:
    detector = small_model(64).detector
    x = torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        outputs = detector(x)
        x_small, seen = detector.reduce(x), detector.inspector(x)
        code = detector.autoencoder.encode(x_small)
        rebuilt = detector.autoencoder(x_small)
    torch.testing.assert_close(outputs.x_small, x_small)
    torch.testing.assert_close(outputs.x_hat, rebuilt)
    assert outputs.tissues.shape == (3, 4, 32, 32)
    residual = normalised_residual(x_small.numpy(), rebuilt.numpy())
    np.testing.assert_allclose(outputs.residual[:, 0], residual, rtol=1e-4, atol=1e-6)
    marks = np.pad(seen.marks[:, 0].sigmoid(), [(0, 0), (1, 1), (1, 1)])
    averaged = sliding_window_view(marks, (3, 3), (1, 2)).mean(axis=(3, 4))
    np.testing.assert_allclose(outputs.marks[:, 0], averaged, rtol=1e-5)
    torch.testing.assert_close(outputs.features, torch.cat([seen.features, code], dim=1))
    torch.testing.assert_close(outputs.faults, seen.faults)


def test_its_parameters_are_those_of_both() -> None:
    detector = small_model(64).detector
    counted = sum(p.numel() for p in detector.parameters())
    assert detector.n_parameters == counted


def test_the_reducing_matrix_is_not_among_the_saved_weights() -> None:
    assert not [name for name in small_model(64).detector.state_dict() if "reduce" in name]
