"""Scores, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.scoring import (
    CHANNELS,
    COLUMNS,
    MEASURES,
    Outputs,
    Reference,
    anomaly_map,
    extended_features,
    fit_reference,
    mahalanobis,
    reconstruction_mse,
    residual_map,
    score,
)
from tests.model.drawn_slices import SIDE, Drawn, draw, outputs_of
from tests.small_model import small_model

FloatArray = NDArray[np.float32]


def reference_of(n: int) -> Reference:
    """Features around 0, of spread 1, of which none knows of another."""
    return Reference(
        np.zeros((1, n), np.float32), np.ones(n, np.float32), np.eye(n, dtype=np.float32)
    )


def column(name: str, drawn: Drawn, outputs: Outputs, n_features: int = 6) -> float:
    return float(score(drawn.x, outputs, reference_of(n_features))[0, COLUMNS.index(name)])


def test_residual_is_the_squared_difference_of_each_pixel() -> None:
    x = np.array([[[[0.0, 1.0], [0.5, 0.25]]]], np.float32)
    x_hat = np.array([[[[0.5, 1.0], [0.0, 0.75]]]], np.float32)
    np.testing.assert_array_equal(residual_map(x, x_hat), [[[[0.25, 0.0], [0.25, 0.25]]]])


def test_reconstruction_mse_is_the_mean_of_the_residual_of_each_slice() -> None:
    x = np.zeros((2, 1, 2, 2), np.float32)
    x_hat = np.zeros_like(x)
    x_hat[1, 0] = [[0.5, 0.0], [0.0, 1.0]]
    np.testing.assert_array_equal(reconstruction_mse(x, x_hat), [0.0, 0.3125])


def test_an_mse_is_the_same_at_any_place_of_any_batch() -> None:
    rng = np.random.default_rng(0)
    x, x_hat = rng.random((2, 8, 1, 128, 128), dtype=np.float32)
    batch = reconstruction_mse(x, x_hat)
    alone = [reconstruction_mse(x[i : i + 1], x_hat[i : i + 1])[0] for i in range(8)]
    np.testing.assert_array_equal(batch, alone)


def test_shapes_that_differ_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        reconstruction_mse(np.zeros((2, 1, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32))


def test_the_columns_are_the_mse_then_channels_then_measures() -> None:
    assert ("reconstruction_mse", *CHANNELS, *MEASURES) == COLUMNS
    drawn = draw()
    outputs = outputs_of(drawn)._replace(x_hat=np.full((1, 1, 24, 24), 0.2, np.float32))
    assert column("reconstruction_mse", drawn, outputs) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([0.0, 0.0], math.log(3)),
        ([math.log(2), math.log(4)], math.log(7)),
        ([-200.0, -300.0], 0.0),
        ([1000.0, 999.0], 1000 + math.log(1 + math.exp(-1))),
    ],
)
def test_fault_is_the_logarithm_of_one_and_all_exponentials(
    logits: list[float], expected: float
) -> None:
    drawn = draw()
    outputs = outputs_of(drawn)._replace(faults=np.array([logits], np.float32))
    assert column("fault", drawn, outputs) == pytest.approx(expected, abs=1e-7)


def test_mark_is_the_largest_of_the_averaged_marks() -> None:
    drawn = draw()
    outputs = outputs_of(drawn)
    outputs.marks[0, 0, 40, 50], outputs.marks[0, 0, 95, 0] = 0.6, 0.1
    assert column("mark", drawn, outputs) == pytest.approx(0.6)


def test_foreign_is_the_distance_of_features_residuals_and_logits() -> None:
    drawn = draw()
    outputs = outputs_of(drawn)._replace(
        features=np.array([[3.0, 4.0]], np.float32), faults=np.array([[-2.0, 1.0]], np.float32)
    )
    # Rebuilt without an error, both residuals are ln 1e-6, whatever the picture.
    expected = 9 + 16 + 2 * math.log(1e-6) ** 2 + 4 + 1
    assert column("foreign", drawn, outputs) == pytest.approx(expected, rel=1e-6)


def test_features_are_whitened_once_for_all_kinds() -> None:
    rng = np.random.default_rng(6)
    centres = (1e3 + rng.normal(0, 1, (3, 40))).astype(np.float32)  # far from zero, near each other
    scale = rng.uniform(0.5, 2, 40).astype(np.float32)
    whitening = rng.normal(0, 1, (40, 40)).astype(np.float32)
    features = (centres[[0, 2, 1, 0]] + rng.normal(0, 1, (4, 40))).astype(np.float32)
    plain = [
        min(np.square(whitening.astype(float) @ ((f - c) / scale)).sum() for c in centres)
        for f in features
    ]
    found = mahalanobis(features, Reference(centres, scale, whitening))
    np.testing.assert_allclose(found, plain, rtol=1e-5)


def test_spot_body_and_disc_are_the_largest_differences_of_the_anatomy() -> None:
    # Worked out in test_anatomy.
    drawn = draw(bodies=(0.5, 0.7, 0.5), discs=(0.2, 0.3))
    outputs = outputs_of(drawn)
    assert column("body", drawn, outputs) == pytest.approx(0.2)
    assert column("disc", drawn, outputs) == pytest.approx(0.05)
    assert column("spot", drawn, outputs) == pytest.approx(0, abs=2e-7)
    drawn.half[34:37, 34:37] += 0.25
    assert column("spot", drawn, outputs) == pytest.approx(0.25 - 0.25 * 9 / 81)


def test_the_measures_are_canal_contrast_and_the_share_of_vertebra() -> None:
    drawn = draw(bodies=(0.4, 0.4, 0.4), behind=0.9)
    outputs = outputs_of(drawn)
    assert column("canal_contrast", drawn, outputs) == pytest.approx(math.log(0.801 / 0.401))
    assert column("vertebra_share", drawn, outputs) == pytest.approx((3 * 144 + 64) / 96**2)


def test_extended_features_are_features_residuals_and_logits() -> None:
    drawn = draw()
    outputs = outputs_of(drawn)._replace(
        features=np.array([[7.0, 8.0]], np.float32),
        faults=np.array([[-1.0, 2.0]], np.float32),
    )
    outputs.residual[0, 0, 3, 3] = 20
    expected = [7, 8, math.log(0.04 + 1e-6), math.log(20 + 1e-6), -1, 2]
    np.testing.assert_allclose(extended_features(outputs, np.array([0.04])), [expected], rtol=1e-5)


def test_mahalanobis_takes_the_nearest_kind_in_units_of_the_spread() -> None:
    reference = Reference(
        centres=np.array([[0, 0], [10, 0]], np.float32),
        scale=np.array([1, 2], np.float32),
        whitening=np.array([[1, 0], [0.5, 0.5]], np.float32),
    )
    # From the first kind z = (3, 2): 3^2 + 2.5^2; from the second (-7, 2): 7^2 + 2.5^2.
    near = mahalanobis(np.array([[3, 4]], np.float32), reference)
    assert near.tolist() == pytest.approx([9 + 6.25])
    # (9, 4): z = (9, 2) or (-1, 2): 1 + 0.5^2.
    assert mahalanobis(np.array([[9, 4]], np.float32), reference).tolist() == pytest.approx([1.25])


def test_a_reference_is_the_spread_around_each_kind_s_mean() -> None:
    # Two kinds, 0 and 10 on average, around which the features vary by 1 and by 2, independently.
    pattern = np.array([[1, 2], [1, -2], [-1, 2], [-1, -2]] * 2, np.float32)
    features = np.concatenate([pattern, pattern + np.array([10, 0], np.float32)])
    kinds = np.repeat([4, 7], 8)
    reference = fit_reference(features, kinds, shrinkage=0.5)
    np.testing.assert_array_equal(reference.centres, [[0, 0], [10, 0]])
    np.testing.assert_allclose(reference.scale, [1, 2], atol=2e-4)
    np.testing.assert_allclose(reference.whitening, np.eye(2), atol=2e-4)


def test_the_correlation_of_features_is_shrunk_towards_none() -> None:
    same = np.array([[1, 1], [-1, -1]] * 4, np.float32)
    reference = fit_reference(same, np.zeros(8, np.int64), shrinkage=0.5)
    # Correlation 1 becomes 0.5: eigenvalues 1.5 along the diagonal and 0.5 across it.
    along, across = mahalanobis(np.array([[1, 1], [1, -1]], np.float32), reference)
    assert along == pytest.approx(2 / 1.5, rel=1e-3)
    assert across == pytest.approx(2 / 0.5, rel=1e-3)


def test_a_kind_of_fewer_than_eight_slices_joins_the_rest() -> None:
    values = np.concatenate([np.zeros(8), np.full(3, 5), np.full(4, 12)])
    features = np.stack([values, np.arange(15) % 2], axis=1).astype(np.float32)
    kinds = np.repeat([0, 1, 2], [8, 3, 4])
    centres = fit_reference(features, kinds, shrinkage=0.1).centres
    assert sorted(centres[:, 0].tolist()) == pytest.approx([0, 9])  # (3 * 5 + 4 * 12) / 7


def test_a_feature_that_never_varies_has_a_finite_scale() -> None:
    features = np.ones((9, 3), np.float32)
    reference = fit_reference(features, np.zeros(9, np.int64), shrinkage=0.1)
    assert mahalanobis(features, reference).tolist() == [0] * 9


@pytest.mark.parametrize("wrong", ["nan", "infinite", "zero scale", "narrow", "no centre"])
def test_a_reference_that_cannot_be_one_is_refused(wrong: str) -> None:
    arrays = reference_of(3).to_arrays()
    if wrong == "nan":
        arrays["centres"][0, 1] = np.nan
    elif wrong == "infinite":
        arrays["whitening"][2, 2] = np.inf
    elif wrong == "zero scale":
        arrays["scale"][1] = 0
    elif wrong == "narrow":
        arrays["whitening"] = arrays["whitening"][:2]
    else:
        arrays["centres"] = arrays["centres"][:0]
    with pytest.raises(ValueError, match=r"fit together|not finite|positive"):
        Reference.from_arrays(arrays)


def test_the_map_is_the_larger_of_marks_and_differences() -> None:
    drawn = draw(bodies=(0.5, 0.7, 0.5))
    outputs = outputs_of(drawn)
    outputs.marks[0, 0, 90, 90] = 0.3
    shown = anomaly_map(drawn.x, outputs)[0, 0]
    assert shown.shape == (SIDE, SIDE)
    assert shown[90, 90] == pytest.approx(0.3)
    assert shown[36, 36] == pytest.approx(0.2 / 0.5)
    assert not shown[84:90].any()


def test_the_map_stays_between_zero_and_one() -> None:
    drawn = draw(bodies=(0.0, 1.0, 0.0))
    outputs = outputs_of(drawn)
    outputs.marks[:] = 1
    shown = anomaly_map(drawn.x, outputs)
    assert (shown.min(), shown.max()) == (1, 1)


def test_every_score_is_finite_and_no_map_leaves_its_range_for_any_slice() -> None:
    trained = small_model(64)
    rng = np.random.default_rng(0)
    board = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
    pictures = [
        *(np.full((64, 64), value, np.float32) for value in (0, 1, 0.5)),
        rng.random((64, 64), dtype=np.float32),
        board,
        np.eye(64, dtype=np.float32),
        np.float32(1e-30) * board,
    ]
    x = np.stack(pictures)[:, None]
    with torch.inference_mode():
        outputs = Outputs(*(o.numpy() for o in trained.detector(torch.from_numpy(x))))
    scores = score(x, outputs, trained.reference)
    assert scores.shape == (len(x), len(COLUMNS))
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    shown = anomaly_map(x, outputs)
    assert np.isfinite(shown).all()
    assert 0 <= shown.min() <= shown.max() <= 1
