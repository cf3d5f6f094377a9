"""Measure how far images stand out, alone or as a whole series: scores -> robust z-scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

# The channel of the sum of all z: a little worse in every channel.
JOINT = "joint"
# A channel in which an image is very usual does not outweigh the others.
_LOWEST = -2.0
# The median absolute deviation times this is the standard deviation of a normal distribution.
MAD_TO_SIGMA = 1.4826
# In units of a logarithm: scores closer than 2 % to each other are the same score.
_SMALLEST_SCALE = 0.02
_SMALLEST_CONTRAST = 40  # images, to be compared among themselves
_SMALLEST_FOLD = 20
_FEWEST_SEEN = 3
_SMALLEST_SERIES = 3
# The spread of few medians is uncertain: it counts as if there were so many more series, as far
# apart as single slices.
_PRIOR_SERIES = 20


@dataclass(frozen=True)
class Members:
    """Which images belong together; all arrays are [N].

    Args:
        fold: whose network scored the image.
        series: numbered from 0.
        contrast: numbered from 0; some weightings are easier to reconstruct than others.
        human_decision: 1 keep, -1 drop, 0 none.
    """

    fold: IndexArray
    series: IndexArray
    contrast: IndexArray
    human_decision: NDArray[np.int8]

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths."""
        shapes = {a.shape for a in (self.fold, self.series, self.contrast, self.human_decision)}
        if len(shapes) != 1:
            raise ValueError(f"fold, series, contrast and human_decision differ in shape: {shapes}")


@dataclass(frozen=True)
class RobustZ:
    """Robust z-scores of each image and of its series, for each channel.

    Both are [N, C], or [N, C + 1] if there are several channels: the last is JOINT.
    """

    image_z: ScoreArray
    series_z: ScoreArray

    def highest(self) -> ScoreArray:
        """Return the highest z of each image or its series, over all channels, [N]."""
        return np.asarray(np.maximum(self.image_z, self.series_z).max(axis=1))

    def channel(self) -> IndexArray:
        """Return the channel that has the highest z, [N]."""
        return np.asarray(np.maximum(self.image_z, self.series_z).argmax(axis=1))

    def is_by_series(self) -> BoolArray:
        """Return whether the highest z is that of the series, [N]."""
        return np.asarray(self.series_z.max(axis=1) > self.image_z.max(axis=1))


def robust_z(scores: ScoreArray, kept: BoolArray, members: Members) -> RobustZ:
    """Compare every image, and every series of 3 or more, with the kept ones.

    Median and MAD tolerate up to half of bad images (Iglewicz & Hoaglin, 1993); those of the kept
    set tolerate more, since what was recognised before no longer counts.

    Args:
        scores: higher is worse, finite, [N, C]; a channel without negative values is compared
            by its logarithm, since scores spread by factors.
        kept: the images to compare with, [N].
        members: which images belong together, [N].
    """
    columns = [_channel_z(column, kept, members) for column in scores.T]
    if len(columns) > 1:
        # What is a little worse in every channel stands out in none.
        total = np.clip(np.stack(columns, axis=1), _LOWEST, None).sum(axis=1)
        columns.append(_standardize(total, kept, members))
    by_series = [_series_z(z, kept, members.series) for z in columns]
    return RobustZ(np.stack(columns, axis=1), np.stack(by_series, axis=1))


def robust_scale(values: ScoreArray) -> float:
    """Estimate a standard deviation by the median absolute deviation from the median."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def series_spread(medians: ScoreArray) -> float:
    """Estimate how far the medians of series lie apart, in units of the slices' own spread.

    Slices of one series resemble each other, so the medians of series spread more than those of
    random groups of slices would, and less than single slices.

    Args:
        medians: robust z of each series, [M].
    """
    n = len(medians)
    variance = (n * robust_scale(medians) ** 2 + _PRIOR_SERIES) / (n + _PRIOR_SERIES)
    return float(np.sqrt(variance))


def _channel_z(scores: ScoreArray, kept: BoolArray, members: Members) -> ScoreArray:
    """Compare the scores of one channel: by their logarithms unless some are negative.

    Zero means that there was nothing to look at, such as no disc: neither usual nor unusual.
    """
    if scores.min() < 0:
        return _standardize(scores.copy(), kept, members)
    seen = scores > 0
    if (kept & seen).sum() < _FEWEST_SEEN:
        return np.zeros_like(scores)
    z = _standardize(np.log(np.where(seen, scores, 1.0)), kept & seen, members)
    z[~seen] = 0.0
    return z


def _standardize(values: ScoreArray, kept: BoolArray, members: Members) -> ScoreArray:
    """Remove what a contrast and a fold's network have in common; divide by the spread.

    Each fold has a network of its own: if one of them scores everything 10 % higher, its images
    are not worse than the others'.
    """
    z = values - np.median(values[kept])
    for labels, fewest in ((members.contrast, _SMALLEST_CONTRAST), (members.fold, _SMALLEST_FOLD)):
        for chosen, reference in _parts(labels, kept, fewest):
            z[chosen] -= np.median(z[reference])
    scale = np.full(len(z), max(robust_scale(z[kept]), _SMALLEST_SCALE))
    for chosen, reference in _parts(members.contrast, kept, _SMALLEST_CONTRAST):
        scale[chosen] = max(robust_scale(z[reference]), _SMALLEST_SCALE)
    z /= scale
    return z


def _parts(labels: IndexArray, kept: BoolArray, fewest: int) -> list[tuple[BoolArray, BoolArray]]:
    """List the labels with enough kept images: (their images, their kept images)."""
    parts = []
    for label in np.unique(labels):
        chosen = labels == label
        if (chosen & kept).sum() >= fewest:
            parts.append((chosen, chosen & kept))
    return parts


def _series_z(z: ScoreArray, kept: BoolArray, series: IndexArray) -> ScoreArray:
    """Compare the medians of the series with each other: a bad series is bad in every slice.

    A slice's own z can stay below the cut while its whole series leans to one side.

    Args:
        z: of the images, [N].
        kept: the images to compare with, [N].
        series: of each image, [N].

    Returns:
        z of each image's series, [N]; -inf if the series has fewer than 3 slices.
    """
    _, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    result = np.full(len(counts), -np.inf)
    compared = np.flatnonzero(counts >= _SMALLEST_SERIES)
    if len(compared):
        medians = np.asarray(ndimage.median(z, place, compared))
        is_kept = np.bincount(place, kept)[compared] > 0.5 * counts[compared]
        reference = medians[is_kept] if is_kept.any() else medians
        result[compared] = (medians - np.median(reference)) / series_spread(reference)
    return result[place]
