"""Calibration: the scores of usual slices, against which a new slice gets its p-value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calibration.alarm_rates import check_rate, patients_needed, rate_bound
from model.calibration.conformal import ROUNDING, Peers, Scores, make_peers, p_values, tail_shares
from model.calibration.strata import StratumKey, why_out_of_scope

# Slices of a kind with fewer patients are compared with related kinds, too.
SMALLEST_STRATUM = 60
# What may differ between related kinds, step by step until there are enough patients.
_RELAXED = ((), ("acquisition",), ("acquisition", "region"))


@dataclass(frozen=True)
class Verdict:
    """What the calibration says of one slice.

    Args:
        anomaly_score: -log10 of the smallest tail share, the share of usual patients that score as
            high or higher on a channel; >= 0, higher is worse, comparable across slices.
        p_value: how often a usual slice has this anomaly score or a higher one, (0, 1].
        channel: the one with the smallest tail share, which raised the anomaly score.
        stratum: the kind of slice.
        scope_reason: why no calibration slice is of this kind; None where one is.
        is_pooled: compared with related kinds, too; its own has fewer than 60 patients.
        n_patients: number of patients it was compared with.
    """

    anomaly_score: float
    p_value: float
    channel: str
    stratum: StratumKey
    scope_reason: str | None
    is_pooled: bool
    n_patients: int


@dataclass(frozen=True)
class Stratum:
    """One kind of slice in a calibration; `bound` is the 90 % bound of the realised alarm rate."""

    key: StratumKey
    n_slices: int
    n_patients: int
    n_compared: int
    is_pooled: bool
    bound: float


@dataclass(frozen=True)
class _Comparison:
    """What slices of one kind are compared with."""

    peers: Peers
    is_pooled: bool
    scope_reason: str | None


@dataclass(frozen=True)
class Calibration:
    """Scores of usual slices that the model was not trained on.

    Args:
        channels: names, in the order of the columns.
        scores: finite, higher is worse, float64 [n, C].
        patients: number of each slice's patient, from 0, [n].
        kinds: the kinds of slice.
        kind: index in `kinds` for each slice, [n].
        alarm_rate: share of usual slices that may be called anomalies, in (0, 1).

    Raises:
        ValueError: the parts do not fit together, or a score is not finite.
        TooFewPatients: for the alarm rate.
    """

    channels: tuple[str, ...]
    scores: Scores = field(repr=False)
    patients: NDArray[np.int64] = field(repr=False)
    kinds: tuple[StratumKey, ...]
    kind: NDArray[np.int64] = field(repr=False)
    alarm_rate: float
    _comparisons: dict[StratumKey, _Comparison] = field(
        default_factory=dict, repr=False, compare=False
    )
    _peers: dict[bytes, Peers] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.scores.shape != (n, len(self.channels)) or not self.channels:
            raise ValueError(f"scores {self.scores.shape} are not of {len(self.channels)} channels")
        if len(set(self.channels)) != len(self.channels) or not np.isfinite(self.scores).all():
            raise ValueError("a channel is named twice, or a score is not finite")
        if self.patients.shape != (n,) or self.kind.shape != (n,):
            raise ValueError("each slice has one patient and one kind")
        if n and (self.kind.min() < 0 or self.kind.max() >= len(self.kinds)):
            raise ValueError("a slice is of a kind that is not listed")
        check_rate(self.alarm_rate, self.n_patients)

    @cached_property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.patients))

    def judge(self, scores: Scores, key: StratumKey) -> Verdict:
        """Compare a slice with the usual slices of its kind.

        Args:
            scores: of the channels, [C].
            key: its kind.

        Raises:
            ValueError: a score is not finite, or there are more or fewer than channels.
        """
        comparison = self._comparison(key)
        found = p_values(comparison.peers, scores)
        return Verdict(
            anomaly_score=max(0.0, -math.log10(max(found.channels.min(), np.finfo(float).tiny))),
            p_value=found.combined,
            channel=self.channels[found.most_extreme],
            stratum=key,
            scope_reason=comparison.scope_reason,
            is_pooled=comparison.is_pooled,
            n_patients=comparison.peers.n_patients,
        )

    def study_p_value(self, scores: Scores, keys: Sequence[StratumKey]) -> float:
        """Compute the p-value of a study by its most anomalous slice.

        Fifteen slices at 5 % each would raise an alarm in half of all usual studies. Here the
        study's maximum is compared with the maxima of the patients, computed in the set of all of
        them. A study with many more slices than those of the calibration still has a higher one.

        Args:
            scores: of the study's slices, [m, C], m >= 1.
            keys: their kinds.

        Raises:
            ValueError: a score is not finite, or the parts do not fit together.
        """
        if scores.shape != (len(keys), len(self.channels)) or not len(keys):
            raise ValueError(f"expected {len(self.channels)} scores and a kind for each slice")
        if not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        kinds = [*self.kinds, *keys]
        kind = np.concatenate([self.kind, len(self.kinds) + np.arange(len(keys))])
        everything = np.concatenate([self.scores, scores])
        patients = np.unique(self.patients, return_inverse=True)[1]
        patients = np.concatenate([patients, np.full(len(keys), self.n_patients)])
        smallest = np.empty(len(everything))
        for number in np.unique(kind):
            fitting = np.array([self._pattern(kinds[number]).fits(other) for other in kinds])[kind]
            own = kind[fitting] == number
            found = tail_shares(everything[fitting], patients[fitting])[own]
            smallest[kind == number] = found.min(axis=1)
        maxima = np.full(self.n_patients + 1, np.inf)
        np.minimum.at(maxima, patients, smallest)
        alike = (maxima <= maxima[-1] * (1 + ROUNDING)).sum()  # itself included
        return float(alike) / (self.n_patients + 1)

    def check_rate(self, rate: float) -> None:
        """Refuse an alarm rate that no p-value of this calibration can reach.

        Raises:
            TooFewPatients: the message says how many are needed.
            ValueError: not in (0, 1).
        """
        check_rate(rate, self.n_patients)

    def strata(self) -> list[Stratum]:
        """List the kinds of slice, the most frequent first."""
        return sorted(map(self._stratum, range(len(self.kinds))), key=lambda s: -s.n_slices)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Convert to arrays for an .npz file without objects."""
        words = [[word or "" for word in key.words] for key in self.kinds]
        return {
            "channels": np.array(self.channels),
            "scores": self.scores,
            "patients": self.patients,
            "kinds": np.array(words),
            "kind": self.kind,
            "alarm_rate": np.array(self.alarm_rate),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration:
        """Read what `to_arrays` returned.

        Raises:
            ValueError: an array is missing, of another type, or does not fit the others.
        """
        try:
            return cls(
                channels=tuple(map(str, arrays["channels"].tolist())),
                scores=np.asarray(arrays["scores"], np.float64),
                patients=np.asarray(arrays[_group_name(arrays)], np.int64),
                kinds=tuple(map(_read_key, arrays["kinds"].tolist())),
                kind=np.asarray(arrays["kind"], np.int64),
                alarm_rate=float(arrays["alarm_rate"]),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("the calibration lacks a part") from error

    def _stratum(self, number: int) -> Stratum:
        key, own = self.kinds[number], self.kind == number
        comparison = self._comparison(key)
        n_compared = comparison.peers.n_patients
        return Stratum(
            key=key,
            n_slices=int(own.sum()),
            n_patients=len(np.unique(self.patients[own])),
            n_compared=n_compared,
            is_pooled=comparison.is_pooled,
            bound=rate_bound(self.alarm_rate, n_compared),
        )

    def _comparison(self, key: StratumKey) -> _Comparison:
        """Find what a slice is compared with; cached, since kinds come from a closed list."""
        if key not in self._comparisons:
            pattern = self._pattern(key)
            members = self._fitting(pattern)
            seen = members.tobytes()
            if seen not in self._peers:
                self._peers[seen] = make_peers(self.scores[members], self.patients[members])
            self._comparisons[key] = _Comparison(
                peers=self._peers[seen],
                is_pooled=pattern != key,
                scope_reason=why_out_of_scope(key, self.kinds),
            )
        return self._comparisons[key]

    def _pattern(self, key: StratumKey) -> StratumKey:
        """Relax a key until enough patients fit it."""
        needed = patients_needed(self.alarm_rate)
        if self._n_fitting(StratumKey(subject=key.subject)) < needed:
            # Patients and phantoms are compared with each other only as a last resort.
            key = replace(key, subject=None)
        for names in _RELAXED:
            pattern = replace(key, **dict.fromkeys(names))
            if self._n_fitting(pattern) >= max(SMALLEST_STRATUM, needed):
                return pattern
        return StratumKey(subject=key.subject)

    def _n_fitting(self, pattern: StratumKey) -> int:
        return len(np.unique(self.patients[self._fitting(pattern)]))

    def _fitting(self, pattern: StratumKey) -> NDArray[np.bool_]:
        fits = np.array([pattern.fits(kind) for kind in self.kinds], np.bool_)
        return fits[self.kind]


def _group_name(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Name the array of groups; an older calibration counted studies."""
    return "studies" if "patients" not in arrays and "studies" in arrays else "patients"


def _read_key(words: list[str]) -> StratumKey:
    """Read one kind; an older calibration has four words, without the subject."""
    return StratumKey(
        *(word or None for word in (words if len(words) > 4 else [*words, "patient"]))
    )
