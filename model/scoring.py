"""Slices and the networks' outputs -> MSE, score channels, anomaly maps. Plain numpy.

A channel is higher where a slice is more unusual; its unit does not matter, because calibration
ranks it among usual slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.anatomy import (
    canal_contrast,
    compare_neighbours,
    find_anatomy,
    halve,
    largest_differences,
)

FloatArray = NDArray[np.float32]
ScoreArray = NDArray[np.float64]

MSE = "reconstruction_mse"
CHANNELS = ("fault", "mark", "foreign", "spot", "body", "disc")
MEASURES = ("canal_contrast", "vertebra_share")
COLUMNS = (MSE, *CHANNELS, *MEASURES)

_CLEAR_DIFFERENCE = 0.5  # of a body or disc from its neighbours: 1 in the anomaly map


class Outputs(NamedTuple):
    """The networks' outputs for slices; shapes in `model.networks.detector.DetectorOutput`."""

    x_small: FloatArray
    x_hat: FloatArray
    residual: FloatArray
    tissues: FloatArray
    marks: FloatArray
    faults: FloatArray
    features: FloatArray


@dataclass(frozen=True)
class Reference:
    """How the features of the training slices are spread, for the channel "foreign".

    Args:
        centres: mean features of each kind of slices, [k, D].
        scale: standard deviations around them, [D].
        whitening: W with W.T W the inverse of their shrunk correlation, [D, D].
    """

    centres: FloatArray = field(repr=False)
    scale: FloatArray = field(repr=False)
    whitening: FloatArray = field(repr=False)

    def __post_init__(self) -> None:
        n = self.scale.shape[-1] if self.scale.ndim == 1 else -1
        fits = self.centres.ndim == 2 and self.centres.shape[1:] == (n,) and len(self.centres)
        if not fits or self.whitening.shape != (n, n):
            raise ValueError("centres, scale and whitening do not fit together")
        if not all(np.isfinite(a).all() for a in self.to_arrays().values()):
            raise ValueError("the reference holds values that are not finite")
        if not (self.scale > 0).all():
            raise ValueError("a feature's scale must be positive")

    @cached_property
    def middle(self) -> FloatArray:
        """The mean of the centres, [D], which float32 differences need to be free of."""
        return np.asarray(self.centres.mean(axis=0), np.float32)

    @cached_property
    def white_centres(self) -> FloatArray:
        """W ((centre - middle) / scale) of each kind, [k, D]."""
        standard = (self.centres - self.middle) / self.scale
        return np.asarray(standard @ self.whitening.T, np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for an .npz file."""
        return {"centres": self.centres, "scale": self.scale, "whitening": self.whitening}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Reference:
        """Read what `to_arrays` returned.

        Raises:
            ValueError: an array is missing or does not fit the others.
        """
        try:
            names = ("centres", "scale", "whitening")
            return cls(*(np.asarray(arrays[name], np.float32) for name in names))
        except (KeyError, TypeError) as error:
            raise ValueError("the reference lacks an array") from error


def score(x: FloatArray, outputs: Outputs, reference: Reference) -> ScoreArray:
    """Compute all columns.

    - reconstruction_mse: `reconstruction_mse` of the autoencoder's picture.
    - fault: ln(1 + sum_k exp(logit_k)) over the kinds of faults; above 0.
    - mark: the largest 3 x 3 mean of the probability that a pixel was changed.
    - foreign: `mahalanobis` of `extended_features`.
    - spot, body, disc: the largest of each map of `compare_neighbours`.
    - canal_contrast, vertebra_share: `canal_contrast`; share of the picture that is vertebra.

    Args:
        x: slices in [0, 1], [B, 1, S, S].
        outputs: the networks'.
        reference: of the training slices.

    Returns:
        [B, len(COLUMNS)].
    """
    anatomy, half = find_anatomy(outputs.tissues), halve(x)
    mse = reconstruction_mse(outputs.x_small, outputs.x_hat)
    return np.stack(
        [
            mse,
            _any_fault(outputs.faults),
            outputs.marks.max(axis=(1, 2, 3)),
            mahalanobis(extended_features(outputs, mse), reference),
            *largest_differences(half, anatomy).T,
            canal_contrast(half, anatomy),
            anatomy.vertebra.mean(axis=(1, 2)),
        ],
        axis=1,
        dtype=np.float64,
    )


def anomaly_map(x: FloatArray, outputs: Outputs) -> FloatArray:
    """Show where a slice is unusual: the larger of two maps, each from 0 (usual) to 1.

    The probability that a pixel was changed; the difference of a body or disc from its neighbours,
    1 at half the window. The residual is not among them: with it, the pixel-wise precision on voids
    in development patients falls from .73 to .60 (training/LOG.md).

    Args:
        x: slices in [0, 1], [B, 1, S, S].
        outputs: of the networks.

    Returns:
        [B, 1, S/2, S/2] in [0, 1].
    """
    differences = compare_neighbours(halve(x), find_anatomy(outputs.tissues))
    different = np.maximum.reduce(list(differences)) / np.float32(_CLEAR_DIFFERENCE)
    shown = np.maximum(outputs.marks[:, 0], different)
    return np.asarray(np.clip(shown, 0, 1)[:, None], np.float32)


def residual_map(x: FloatArray, x_hat: FloatArray) -> FloatArray:
    """Square the reconstruction error of each pixel.

    Args:
        x: slices in [0, 1], [B, 1, H, W].
        x_hat: their reconstructions, same shape.

    Returns:
        [B, 1, H, W]; 0 where a pixel is rebuilt exactly.

    Raises:
        ValueError: the shapes differ.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"slices {x.shape} and reconstructions {x_hat.shape} differ in shape")
    squared: FloatArray = np.square(x - x_hat)
    return squared


def reconstruction_mse(x: FloatArray, x_hat: FloatArray) -> ScoreArray:
    """Average the residual map over each slice, padding included, as in training.

    Args:
        x: slices in [0, 1], [B, 1, H, W].
        x_hat: their reconstructions, same shape.

    Returns:
        [B], >= 0, summed in float64 so that the place in a batch cannot change a score.
    """
    mse: ScoreArray = residual_map(x, x_hat).mean(axis=(1, 2, 3), dtype=np.float64)
    return mse


def extended_features(outputs: Outputs, mse: ScoreArray) -> FloatArray:
    """Join the networks' features with the autoencoder's residuals and the faults' logits.

    Args:
        outputs: of the networks.
        mse: reconstruction MSE, [B].

    Returns:
        [B, D + 2 + F]: features, ln MSE, ln of the largest normalised residual, logits.
    """
    largest = outputs.residual.max(axis=(1, 2, 3))
    residuals = np.log(np.stack([mse, largest], axis=1) + 1e-6)
    joined = [outputs.features, residuals.astype(np.float32), outputs.faults]
    return np.concatenate(joined, axis=1)


def mahalanobis(features: FloatArray, reference: Reference) -> ScoreArray:
    """Measure the squared distance from the nearest kind's mean, in the shrunk spread of all kinds.

    Lee et al., NeurIPS 2018: min_k z_k.T C^-1 z_k with z_k = (f - mean_k) / scale. The whitening
    is linear, so the features are multiplied by it once, not once for each kind.

    Args:
        features: [B, D].
        reference: of the training slices.

    Returns:
        [B], >= 0.
    """
    z = (features - reference.middle) / reference.scale
    white = (z @ reference.whitening.T)[:, None] - reference.white_centres
    distance: ScoreArray = np.square(white).sum(axis=2, dtype=np.float64).min(axis=1)
    return distance


def fit_reference(features: FloatArray, kinds: NDArray[np.int64], shrinkage: float) -> Reference:
    """Estimate the spread of the training slices' features.

    Args:
        features: [N, D].
        kinds: of each slice; one with fewer than 8 slices joins the rest.
        shrinkage: share of the identity in the correlation, (0, 1]. Without it, a few hundred
            slices cannot determine the correlation of as many features.
    """
    names, counts = np.unique(kinds, return_counts=True)
    large = names[counts >= 8]
    kinds = np.where(np.isin(kinds, large), kinds, -1)
    names = np.unique(kinds)
    # In float64: summed over many slices, float32 loses the features' differences.
    centres = np.stack([features[kinds == n].mean(axis=0, dtype=np.float64) for n in names])
    residuals = features - centres[np.searchsorted(names, kinds)]
    scale = residuals.std(axis=0) + 1e-4
    z = residuals / scale
    correlation = (1 - shrinkage) * (z.T @ z) / len(z) + shrinkage * np.eye(z.shape[1])
    # C = L L.T, so C^-1 = L^-T L^-1.
    whitening = np.linalg.inv(np.linalg.cholesky(correlation))
    return Reference(
        centres.astype(np.float32), scale.astype(np.float32), whitening.astype(np.float32)
    )


def _any_fault(logits: FloatArray) -> ScoreArray:
    """Compute ln(1 + sum exp), a smooth maximum of the logits and 0: [B, F] -> [B]."""
    values = logits.astype(np.float64)
    largest = np.maximum(values.max(axis=1), 0)
    summed = np.exp(values - largest[:, None]).sum(axis=1) + np.exp(-largest)
    return np.asarray(largest + np.log(summed))
