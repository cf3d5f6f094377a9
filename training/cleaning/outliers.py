"""Out-of-fold scores -> which images stand out, alone or as a whole series: robust z-scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

# The channel of the sum of all z: a little of everything.
JOINT = "joint"
# A channel that finds an image very usual does not outvote the others.
_LOWEST = -2.0
# The median absolute deviation times this is the standard deviation of a normal distribution.
MAD_TO_SIGMA = 1.4826
# In units of a logarithm: scores closer than 2 % to each other are the same score.
_SMALLEST_SCALE = 0.02
_SMALLEST_CONTRAST = 40  # images, to be compared among themselves
_SMALLEST_FOLD = 20
_FEWEST_SEEN = 3
_SMALLEST_SERIES = 3
# The spread of few series' medians is little known: it counts as if so many more series were there
# that are as far apart as single slices.
_PRIOR_SERIES = 20


@dataclass(frozen=True)
class Members:
    """What belongs together; all arrays are [N].

    Args:
        fold: which scored it.
        series: numbers from 0.
        contrast: numbers from 0; slices of different weightings rebuild differently well.
        forced: a person's decision: 1 keep, -1 drop, 0 none.
    """

    fold: IndexArray
    series: IndexArray
    contrast: IndexArray
    forced: NDArray[np.int8]

    def __post_init__(self) -> None:
        """Refuse arrays of different images."""
        shapes = {a.shape for a in (self.fold, self.series, self.contrast, self.forced)}
        if len(shapes) != 1:
            raise ValueError(f"fold, series, contrast and forced differ in shape: {shapes}")


@dataclass(frozen=True)
class Judged:
    """Robust z-scores of each image and of the series that it is of, per channel.

    Both are [N, C], or [N, C + 1] where there are several channels: the last is JOINT.
    """

    z: ScoreArray
    series_z: ScoreArray

    def highest(self) -> ScoreArray:
        """The larger of the two over all channels, [N]."""
        highest: ScoreArray = np.maximum(self.z, self.series_z).max(axis=1)
        return highest

    def channel(self) -> IndexArray:
        """Which channel it is of, [N]."""
        spoke: IndexArray = np.maximum(self.z, self.series_z).argmax(axis=1)
        return spoke

    def is_by_series(self) -> BoolArray:
        """Whether it is that of the series, [N]."""
        return np.asarray(self.series_z.max(axis=1) > self.z.max(axis=1))


def judge(scores: ScoreArray, kept: BoolArray, members: Members) -> Judged:
    """Compare every image, and every series of 3 or more, with the kept ones.

    Median and MAD bear up to half of bad images (Iglewicz & Hoaglin, 1993); those of the kept set
    bear more, since what was recognised before no longer counts.

    Args:
        scores: higher is worse, finite, [N, C]; a channel without negative values is compared
            by its logarithm, since scores spread by factors.
        kept: the images to compare with, [N].
        members: what belongs together, [N].
    """
    columns = [_judge_channel(column, kept, members) for column in scores.T]
    if len(columns) > 1:
        # What is a little worse in every channel stands out in none.
        total = np.clip(np.stack(columns, axis=1), _LOWEST, None).sum(axis=1)
        columns.append(_align(total, kept, members))
    by_series = [_judge_series(z, kept, members.series) for z in columns]
    return Judged(np.stack(columns, axis=1), np.stack(by_series, axis=1))


def robust_scale(values: ScoreArray) -> float:
    """Estimate a standard deviation by the median absolute deviation from the median."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def series_spread(medians: ScoreArray) -> float:
    """Estimate how far medians of series lie apart, in units of the slices' own spread.

    Slices of one series resemble each other, so their medians spread more than those of slices
    dealt at random, and less than single slices.

    Args:
        medians: robust z of each series, [M].
    """
    n = len(medians)
    variance = (n * robust_scale(medians) ** 2 + _PRIOR_SERIES) / (n + _PRIOR_SERIES)
    return float(np.sqrt(variance))


def _judge_channel(scores: ScoreArray, kept: BoolArray, members: Members) -> ScoreArray:
    """Compare one channel's scores; negative ones as they are, others by their logarithms.

    Zero says that there was nothing to look at, such as no disc: neither usual nor unusual.
    """
    if scores.min() < 0:
        return _align(scores.copy(), kept, members)
    seen = scores > 0
    if (kept & seen).sum() < _FEWEST_SEEN:
        return np.zeros_like(scores)
    z = _align(np.log(np.where(seen, scores, 1.0)), kept & seen, members)
    z[~seen] = 0.0
    return z


def _align(values: ScoreArray, kept: BoolArray, members: Members) -> ScoreArray:
    """Take away what a contrast and a fold's network have in common; divide by the spread.

    The folds' networks are different ones: where one of them scores everything 10 % higher, its
    images are not worse than the others'.
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
    """List the parts with enough kept images: (its images, its kept images)."""
    parts = []
    for label in np.unique(labels):
        chosen = labels == label
        if (chosen & kept).sum() >= fewest:
            parts.append((chosen, chosen & kept))
    return parts


def _judge_series(z: ScoreArray, kept: BoolArray, series: IndexArray) -> ScoreArray:
    """Compare the medians of the series with each other: a bad series is bad in every slice.

    A slice's own z can stay below the cut while all of its series lean to one side.

    Args:
        z: of the images, [N].
        kept: the images to compare with, [N].
        series: of each image, [N].

    Returns:
        z of the series each image is of, [N]; -inf where it has fewer than 3 slices.
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
