"""How many patients an alarm rate needs, and by how much the realised rate may exceed it."""

from __future__ import annotations

import math

import numpy as np

# Products of a rate and a count are whole numbers up to rounding: .05 * 60 is 3.0000000000000004.
_ROUNDING = 1e-9


class TooFewPatients(ValueError):
    """The calibration has fewer patients than the alarm rate needs."""


def patients_needed(rate: float) -> int:
    """Count the calibration patients that let a p-value be as small as `rate`.

    The smallest p-value of n patients is 1 / (n + 1): 19 patients for .05, 99 for .01.
    """
    inverse = 1 / max(rate, 1e-15)  # 1 / 1e-320 is infinite
    return max(1, math.ceil(inverse * (1 - _ROUNDING)) - 1)


def check_rate(rate: float, n_patients: int) -> None:
    """Refuse an alarm rate that no p-value can reach.

    Args:
        rate: share of usual slices that may be called anomalies, in (0, 1).
        n_patients: calibration patients.

    Raises:
        TooFewPatients: the message says how many are needed.
        ValueError: the rate does not lie in (0, 1).
    """
    if not 0 < rate < 1:
        raise ValueError("an alarm rate lies above 0 and below 1, such as 0.05")
    if n_patients < patients_needed(rate):
        raise TooFewPatients(
            f"an alarm rate of {rate:g} takes {patients_needed(rate)} calibration patients,"
            f" and there are {n_patients}"
            + (f"; the smallest rate that they allow is {1 / (n_patients + 1):.4f}")
        )


def rate_bound(rate: float, n_patients: int, confidence: float = 0.9) -> float:
    """Bound the realised alarm rate from above: this share of calibrations stays below the bound.

    Over the draw of n calibration patients the realised rate of `p <= rate` follows
    Beta(k, n + 1 - k), k = floor(rate (n + 1)) (Vovk, 2012); 7.8 % for a rate of 5 % and n = 100.

    Args:
        rate: nominal alarm rate, in (0, 1).
        n_patients: calibration patients, one slice each.
        confidence: of the bound, in (0, 1).

    Raises:
        TooFewPatients: see `check_rate`.
    """
    check_rate(rate, n_patients)
    k = math.floor(rate * (n_patients + 1) + _ROUNDING)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _binomial_tail(k, n_patients, middle) < confidence:
            low = middle
        else:
            high = middle
    return high


def _binomial_tail(k: int, n: int, x: float) -> float:
    """P(Binomial(n, x) >= k), which is the distribution function of Beta(k, n + 1 - k) at x."""
    if x >= 1:
        return 1.0
    counts = np.arange(1, k)
    # ln of the term at 0, then the ratio of each term to the one before it.
    steps = np.log((n - counts + 1) / counts) + math.log(x) - math.log1p(-x)
    terms = n * math.log1p(-x) + np.concatenate([[0.0], np.cumsum(steps)])
    return 1.0 - float(np.exp(terms).sum())
