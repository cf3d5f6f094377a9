"""Compare the scores of usual and unusual images: areas, intervals, rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, mannwhitneyu

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_DRAWS = 1000  # bootstrap samples behind an interval
INTERVAL = (2.5, 97.5)  # percentiles of a 95 % interval


@dataclass(frozen=True)
class Draws:
    """Bootstrap samples of groups: `counts[b, g]` is how often sample b has group g.

    Whole patients are drawn, never slices: slices of one patient are not independent, and an
    interval over slices is too narrow (Field & Welsh 2007, clustered bootstrap).
    """

    names: tuple[str, ...]
    counts: IntArray

    def of(self, names: Sequence[str]) -> IntArray:
        """Return the columns of some groups: [B, len(names)]."""
        place = {name: column for column, name in enumerate(self.names)}
        return self.counts[:, [place[name] for name in names]]


def draw_groups(names: Sequence[str], rng: np.random.Generator, n_draws: int) -> Draws:
    """Draw groups with replacement, as many as there are; the names are sorted and each once."""
    unique = tuple(sorted(set(names)))
    share = np.full(len(unique), 1 / len(unique))
    return Draws(unique, rng.multinomial(len(unique), share, n_draws).astype(np.int64))


def auroc(usual: FloatArray, unusual: FloatArray) -> float:
    """Count the pairs in which the unusual image scores higher, ties as half (Mann-Whitney U)."""
    wins = mannwhitneyu(unusual, usual, method="asymptotic").statistic
    return float(wins / (len(usual) * len(unusual)))


def group_wins(
    usual: FloatArray, usual_groups: IntArray, unusual: FloatArray, unusual_groups: IntArray
) -> FloatArray:
    """Count won pairs between each group of usual and each group of unusual images.

    Args:
        usual: scores, [N].
        usual_groups: the group of each, numbered from 0, [N].
        unusual: scores, [M].
        unusual_groups: the group of each, numbered from 0, [M].

    Returns:
        [G, H]; a tie is half a win.
    """
    n_unusual = int(unusual_groups.max()) + 1
    wins = np.zeros((int(usual_groups.max()) + 1, n_unusual))
    for group in range(len(wins)):
        inside = np.sort(usual[usual_groups == group])
        below = np.searchsorted(inside, unusual, "left") + np.searchsorted(inside, unusual, "right")
        wins[group] = np.bincount(unusual_groups, below / 2, n_unusual)
    return wins


def auroc_draws(
    usual: tuple[FloatArray, Sequence[str]],
    unusual: tuple[FloatArray, Sequence[str]],
    draws: tuple[Draws, Draws],
) -> FloatArray:
    """Compute the AUROC of every bootstrap sample.

    Args:
        usual: scores [N] and the group of each.
        unusual: scores [M] and the group of each.
        draws: of the usual images' groups and of the unusual ones'; the same object if both are of
            the same patients, so that an image and its twin are drawn together.

    Returns:
        [B]; NaN where a sample has no usual or no unusual image.
    """
    names_0, groups_0 = np.unique(np.asarray(usual[1]), return_inverse=True)
    names_1, groups_1 = np.unique(np.asarray(unusual[1]), return_inverse=True)
    wins = group_wins(usual[0], groups_0, unusual[0], groups_1)
    counts_0 = draws[0].of(names_0.tolist())
    counts_1 = draws[1].of(names_1.tolist())
    won = ((counts_0 @ wins) * counts_1).sum(axis=1)
    pairs = (counts_0 @ np.bincount(groups_0)) * (counts_1 @ np.bincount(groups_1))
    area: FloatArray = np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
    return area


def interval(draws: FloatArray) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of bootstrap values; NaN is left out."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, INTERVAL)
    return float(low), float(high)


def macro_draws(draws: Sequence[FloatArray]) -> FloatArray:
    """Average the kinds of anomaly within each bootstrap sample: K arrays [B] -> [B]."""
    mean: FloatArray = np.mean(np.stack(draws), axis=0)
    return mean


def sensitivity(usual: FloatArray, unusual: FloatArray, specificity: float = 0.95) -> float:
    """Return the share of unusual images above a threshold that spares usual ones.

    The threshold is the smallest usual score that at least the wanted share of the usual images
    does not exceed; without interpolation, so that it is never more generous than promised.

    Args:
        usual: scores, [N].
        unusual: scores, [M].
        specificity: share of the usual images at or below the threshold, at least.
    """
    threshold = np.quantile(usual, specificity, method="inverted_cdf")
    return float((unusual > threshold).mean())


def paired_win(planted: FloatArray, twins: FloatArray) -> float:
    """Return the share of planted images that score above their unmodified twin, ties as half."""
    return float(((planted > twins) + 0.5 * (planted == twins)).mean())


def average_precision(mask: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Sum the precision at each threshold, weighted by the gain in recall.

    AP = sum_n (R_n - R_(n-1)) P_n over the distinct scores from high to low: no interpolation, and
    pixels of equal score enter together (the definition of scikit-learn).

    Args:
        mask: true pixels, any shape, at least one.
        scores: same shape, higher is more anomalous.

    Returns:
        0 to 1; a random map gets about the share of true pixels.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    hits, ranked = mask.ravel()[order], scores.ravel()[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    found = np.cumsum(hits)[last]
    gain = np.diff(found, prepend=0)
    return float((gain * found / (last + 1)).sum() / hits.sum())


def patient_rates(flags: NDArray[np.bool_], patients: Sequence[str]) -> FloatArray:
    """Average a yes or no over the slices of each patient, [G] in the order of their names."""
    _, place = np.unique(np.asarray(patients), return_inverse=True)
    return np.asarray(np.bincount(place, flags.astype(np.float64)) / np.bincount(place))


def patient_rate(flags: NDArray[np.bool_], patients: Sequence[str]) -> float:
    """Average a yes or no over the slices of each patient, then over patients.

    A patient counts once, however many slices it has: that is what a rate calibrated on patients
    promises.
    """
    return float(patient_rates(flags, patients).mean())


def counted_bound(n_calibration: int, n_test: int, rate: float, level: float = 0.9) -> float:
    """Bound the alarms that are counted on a finite number of new patients.

    The true rate behind n calibration patients follows Beta(k, n + 1 - k), k = floor(rate (n + 1))
    (Vovk 2012; Angelopoulos & Bates 2023, section 3.2); what is counted on m new ones is
    beta-binomial, and its quantile is wider than that of the true rate.

    Args:
        n_calibration: patients behind the threshold.
        n_test: new patients on which alarms are counted.
        rate: the nominal alarm rate.
        level: the share of repeats that stay at or below the bound.

    Returns:
        A share of the new patients, 0 to 1.
    """
    k = int(np.floor(rate * (n_calibration + 1) + 1e-9))
    if k < 1:
        return 0.0
    return float(betabinom.ppf(level, n_test, k, n_calibration + 1 - k) / n_test)
