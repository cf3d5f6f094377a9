"""Both networks as one module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import uniform_filter

from model.networks.detector import NormalisedResidual, Reduce
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
    torch.testing.assert_close(outputs.residual, detector.residual(x_small, rebuilt))
    marks = np.pad(seen.marks[:, 0].sigmoid(), [(0, 0), (1, 1), (1, 1)])
    averaged = sliding_window_view(marks, (3, 3), (1, 2)).mean(axis=(3, 4))
    np.testing.assert_allclose(outputs.marks[:, 0], averaged, rtol=1e-5)
    torch.testing.assert_close(outputs.features, torch.cat([seen.features, code], dim=1))
    torch.testing.assert_close(outputs.faults, seen.faults)


def test_a_residual_is_divided_by_the_edges_around_it() -> None:
    # A ramp of 0.02 a pixel: its squared gradient is 0.0004 everywhere.
    ramp = (0.02 * torch.arange(24)).expand(1, 1, 24, 24)
    flat = torch.full((1, 1, 24, 24), 0.5)
    on_ramp, on_flat = (NormalisedResidual(24)(x, x + 0.2)[0, 0] for x in (ramp, flat))
    assert float(on_ramp[12, 12]) == pytest.approx(0.04 / (0.0004 + 0.002), rel=1e-4)
    assert float(on_flat[12, 12]) == pytest.approx(0.04 / 0.002, rel=1e-4)
    # Outside of the picture is nothing: 25 of the 81 pixels around a corner count.
    assert float(on_flat[0, 0]) == pytest.approx(25 / 81 * 0.04 / 0.002, rel=1e-4)


def test_the_normalised_residual_is_its_formula_in_numpy() -> None:
    x, x_hat = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    edges = np.zeros((3, 32, 32))
    edges[:, 1:-1] += np.square(x[:, 2:] - x[:, :-2]) / 4
    edges[:, :, 1:-1] += np.square(x[:, :, 2:] - x[:, :, :-2]) / 4
    around, residual = (
        uniform_filter(values, (0, 9, 9), mode="constant")
        for values in (edges, np.square(x - x_hat))
    )
    found = NormalisedResidual(32)(*(torch.from_numpy(part)[:, None] for part in (x, x_hat)))
    np.testing.assert_allclose(found[:, 0], residual / (around + 0.002), rtol=1e-4, atol=1e-6)


def test_its_parameters_are_those_of_both() -> None:
    detector = small_model(64).detector
    counted = sum(p.numel() for p in detector.parameters())
    assert detector.n_parameters == counted


def test_the_reducing_matrix_is_not_among_the_saved_weights() -> None:
    assert not [name for name in small_model(64).detector.state_dict() if "reduce" in name]
