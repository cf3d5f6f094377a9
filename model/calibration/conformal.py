"""Full-conformal p-values of slices on several channels, one patient counting once.

Everything is counted in *patients at or above*: how many of n + 1 patients, the new one included,
score as high or higher. Ranks alone are not enough: among 100 patients and six channels, about six
slices are the highest of some channel and equally extreme by rank, so no p-value could fall below
7 / 101. In the highest tenth, therefore, the count keeps falling with distance, as an exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

# The tail holds this share of the patients, but never fewer than TAIL_PATIENTS.
TAIL_SHARE = 0.1
TAIL_PATIENTS = 5.0
# Counts are sums of 1 / (slices of a patient): equal ones may differ in the last digits.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Peers:
    """The calibration slices that a slice is compared with.

    Each slice counts 1 / (slices of its patient here), so that a patient counts once (hierarchical
    conformal prediction, Lee, Barber & Willett, 2023).

    Args:
        scores: channel scores, higher is worse, [C, n].
        patient: number of each slice's patient, from 0, [n].
        weights: [n]; they sum to n_patients.
        counts: 1 (itself) + the weights of the slices of *other* patients that score as high or
            higher, [C, n]: each slice is treated as the only one of its patient, like a new one.
        n_patients: number of patients.
        tail: patients in the tail when a new one is added.
        tail_from: where it begins if the new slice lies below, and if it lies above; [2, C].
    """

    scores: Scores
    patient: NDArray[np.int64]
    weights: Scores
    counts: Scores
    n_patients: int
    tail: float
    tail_from: Scores


@dataclass(frozen=True)
class PValues:
    """How one slice's scores compare with those of its peers.

    Args:
        channels: tail share on each channel, the share of patients at or above, (0, 1], [C]; it
            keeps falling beyond the highest calibration slice.
        combined: the p-value of the smallest of them, k / (n_patients + 1).
    """

    channels: Scores
    combined: float

    @property
    def most_extreme(self) -> int:
        """Index of the channel with the smallest tail share."""
        return int(self.channels.argmin())


def make_peers(scores: Scores, patients: NDArray[np.int64]) -> Peers:
    """Prepare calibration slices for comparison with a new one.

    Args:
        scores: finite channel scores, [n, C], n >= 1.
        patients: the patient of each, any numbers, [n].
    """
    channels = np.ascontiguousarray(scores.T, np.float64)
    _, patient, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[patient]
    tail = _tail(len(sizes) + 1)
    return Peers(
        scores=channels,
        patient=patient,
        weights=weights,
        counts=1 + _count_others(channels, patient, weights),
        n_patients=len(sizes),
        tail=tail,
        tail_from=np.stack([_quantile(channels, weights, at) for at in (tail, tail - 1)]),
    )


def p_values(peers: Peers, scores: Scores) -> PValues:
    """Compare one slice with its peers.

    The smallest tail share of several channels is not a p-value. It is compared with the smallest
    share that each peer has in the set with the new slice, so that new and old are treated alike.
    This is exact where each patient has one slice; on one channel it is the well-known
    (1 + number at or above) / (n + 1).

    Args:
        peers: the calibration.
        scores: of the new slice, [C].

    Raises:
        ValueError: a score is not finite, or there are more or fewer than channels.
    """
    if scores.shape != peers.scores.shape[:1] or not np.isfinite(scores).all():
        raise ValueError(f"expected {len(peers.scores)} finite channel scores")
    new = scores[:, None]
    start = np.clip(new, peers.tail_from[:1].T, peers.tail_from[1:].T)
    excess, new_excess = np.maximum(peers.scores - start, 0), np.maximum(new - start, 0)
    total_excess = (excess @ peers.weights)[:, None] + new_excess
    theirs = _smooth(
        peers.counts + (new >= peers.scores),
        excess,
        total_excess + _own_patient_correction(excess, peers.patient, peers.weights),
        peers.tail,
    )
    counts = 1 + (peers.scores >= new) @ peers.weights
    own = _smooth(counts[:, None], new_excess, total_excess, peers.tail)[:, 0]
    alike = float(peers.weights @ (theirs.min(axis=0) <= own.min() * (1 + ROUNDING)))
    total = peers.n_patients + 1
    # Rounded, so that k / (n + 1) is that fraction and `<=` a rate is decided exactly.
    return PValues(channels=own / total, combined=(1 + round(alike, 9)) / total)


def tail_shares(scores: Scores, patients: NDArray[np.int64]) -> Scores:
    """Compute the share of patients at or above each slice of a complete set: [n, C], in (0, 1].

    `p_values` computes this for the peers and one new slice; here a new patient may bring several
    slices.

    Args:
        scores: finite channel scores, [n, C].
        patients: the patient of each, any numbers, [n].
    """
    channels = np.ascontiguousarray(scores.T, np.float64)
    _, patient, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    weights, tail = 1.0 / sizes[patient], _tail(len(sizes))
    excess = np.maximum(channels - _quantile(channels, weights, tail)[:, None], 0)
    total_excess = (excess @ weights)[:, None] + _own_patient_correction(excess, patient, weights)
    counts = 1 + _count_others(channels, patient, weights)
    found: Scores = _smooth(counts, excess, total_excess, tail).T / len(sizes)
    return found


def _tail(n_patients: int) -> float:
    return min(max(TAIL_SHARE * n_patients, TAIL_PATIENTS), n_patients)


def _smooth(counts: Scores, excess: Scores, total_excess: Scores, tail: float) -> Scores:
    """Replace the counts in the tail by an exponential with the tail's mean excess.

    Args:
        counts: patients at or above, [C, n].
        excess: how far each score lies in the tail, 0 below it, [C, n].
        total_excess: of the tail's patients, [C, 1] or [C, n]; 0 where nothing lies in the tail.
        tail: patients in the tail.
    """
    depth = tail * excess / np.maximum(total_excess, np.finfo(np.float64).tiny)
    return np.where(excess > 0, tail * np.exp(-depth), np.maximum(counts, tail))


def _own_patient_correction(
    excess: Scores, patient: NDArray[np.int64], weights: Scores
) -> Scores | float:
    """Correct the tail's excess for treating each slice as the only one of its patient."""
    if weights.min() == 1:
        return 0.0
    means = np.stack([np.bincount(patient, row) for row in excess * weights])
    correction: Scores = excess - means[:, patient]
    return correction


def _count_others(channels: Scores, patient: NDArray[np.int64], weights: Scores) -> Scores:
    """Sum the weights of the slices of other patients that score as high or higher: [C, n]."""
    counts = np.empty_like(channels)
    for row, channel in enumerate(channels):
        order = np.argsort(channel)
        below = np.concatenate([[0.0], np.cumsum(weights[order])])
        counts[row] = below[-1] - below[np.searchsorted(channel[order], channel, side="left")]
    by_patient = np.argsort(patient, kind="stable")
    for own in np.split(by_patient, np.flatnonzero(np.diff(patient[by_patient])) + 1):
        theirs = channels[:, own]
        counts[:, own] -= (theirs[:, None, :] >= theirs[:, :, None]).mean(axis=2)
    return counts


def _quantile(channels: Scores, weights: Scores, wanted: float) -> Scores:
    """Return each channel's largest score at or above which the weights sum to `wanted`, [C]."""
    found = np.full(len(channels), -np.inf)
    for row, channel in enumerate(channels):
        order = np.argsort(-channel)
        enough = np.flatnonzero(np.cumsum(weights[order]) >= wanted - ROUNDING)
        if enough.size:
            found[row] = channel[order[enough[0]]]
    return found
