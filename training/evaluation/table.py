"""Turn judged images into one result for each kind of anomaly, and averages of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.cases import SEED, USUAL
from training.evaluation.statistics import (
    N_DRAWS,
    Draws,
    auroc,
    auroc_draws,
    draw_groups,
    interval,
    macro_draws,
    paired_win,
    sensitivity,
)

Floats = NDArray[np.float64]

SPECIFICITY = 0.95


@dataclass(frozen=True)
class Rows:
    """What a model made of N images, K scores each.

    Args:
        columns: names of the scores, [K]; higher is worse.
        kinds: of each image, USUAL or an anomaly's, [N].
        groups: of each kind, [N].
        patients: the patient of each image, [N].
        pairs: number of the usual image that it was planted into, -1 for none, [N].
        scores: [N, K].
        p_values: of the default decision, [N].
        in_scope: whether the calibration has such slices, [N].
        precision: average precision of the anomaly map, NaN where the place is not known, [N].
        mask_share: of the pixels, what a random map would reach; NaN likewise, [N].
    """

    columns: tuple[str, ...]
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]
    patients: NDArray[np.str_]
    pairs: NDArray[np.int64]
    scores: Floats
    p_values: Floats
    in_scope: NDArray[np.bool_]
    precision: Floats
    mask_share: Floats


@dataclass(frozen=True)
class ScoreResult:
    """How well one score separates one or several kinds of anomaly from usual images.

    Args:
        auroc: probability that an anomaly scores higher than a usual image.
        low: 2.5th percentile of it over bootstrap samples of patients.
        high: 97.5th percentile.
        sensitivity: share above a threshold that 95 % of the usual images do not exceed.
        paired_win: share that scores higher than its unmodified twin; None without twins.
    """

    auroc: float
    low: float
    high: float
    sensitivity: float
    paired_win: float | None


@dataclass(frozen=True)
class KindResult:
    """One kind of anomaly.

    Args:
        kind: its name.
        group: of kinds.
        n_images: how many were judged.
        n_patients: how many patients, or files, they come from.
        n_usual: how many usual images they were compared with.
        flagged: share called an anomaly by the default decision.
        out_of_scope: share for which the calibration has no comparable slices.
        pixel_precision: mean average precision of the anomaly map; None if places are unknown.
        pixel_chance: what a random map would reach.
        scores: of each score.
    """

    kind: str
    group: str
    n_images: int
    n_patients: int
    n_usual: int
    flagged: float
    out_of_scope: float
    pixel_precision: float | None
    pixel_chance: float | None
    scores: dict[str, ScoreResult]


@dataclass(frozen=True)
class MacroResult:
    """The average over kinds, each counting once."""

    name: str
    kinds: tuple[str, ...]
    pixel_precision: float | None
    scores: dict[str, ScoreResult]


def tabulate(
    rows: Rows, rate: float, macros: Mapping[str, Sequence[str]]
) -> tuple[list[KindResult], list[MacroResult]]:
    """Compare each kind with usual images, using the same bootstrap samples for all kinds.

    A kind that was planted is compared with the usual images that it was planted into, any other
    with all usual images.

    Args:
        rows: of usual and unusual images.
        rate: the alarm rate of the default decision.
        macros: name -> kinds to average; kinds that `rows` lack are left out.
    """
    found = set(rows.kinds[rows.kinds != USUAL].tolist())
    listed = [kind for wanted in macros.values() for kind in wanted if kind in found]
    names = list(dict.fromkeys([*listed, *sorted(found)]))
    draws = draw_groups(_patients(rows, names), np.random.default_rng(SEED), N_DRAWS)
    kinds, areas = [], {}
    for kind in names:
        result, areas[kind] = _kind(rows, kind, rate, draws)
        kinds.append(result)
    return kinds, [
        _macro(name, [kind for kind in kinds if kind.kind in wanted], areas)
        for name, wanted in macros.items()
        if any(kind.kind in wanted for kind in kinds)
    ]


def _patients(rows: Rows, names: Sequence[str]) -> list[str]:
    """List the patients of the usual images, and of every kind that shares one with them."""
    patients = set(rows.patients[rows.kinds == USUAL].tolist())
    of_kinds = [set(rows.patients[rows.kinds == name].tolist()) for name in names]
    return sorted(patients.union(*(theirs for theirs in of_kinds if theirs & patients)))


def _kind(rows: Rows, kind: str, rate: float, draws: Draws) -> tuple[KindResult, dict[str, Floats]]:
    """Compare one kind; return also the AUROC of each score in every bootstrap sample."""
    own = np.flatnonzero(rows.kinds == kind)
    usual = np.flatnonzero(rows.kinds == USUAL)
    is_planted = bool((rows.pairs[own] >= 0).all())
    if is_planted:
        usual = usual[np.isin(rows.pairs[usual], rows.pairs[own])]
    usual_patients, patients = rows.patients[usual].tolist(), rows.patients[own].tolist()
    theirs = draws
    if not set(patients) <= set(draws.names):
        theirs = draw_groups(patients, np.random.default_rng(SEED + 1), N_DRAWS)
    scores, areas = {}, {}
    for column, name in enumerate(rows.columns):
        base, unusual = rows.scores[usual, column], rows.scores[own, column]
        areas[name] = auroc_draws((base, usual_patients), (unusual, patients), (draws, theirs))
        win = None
        if is_planted:
            twin = {pair: index for index, pair in zip(usual, rows.pairs[usual], strict=True)}
            twins = rows.scores[[twin[pair] for pair in rows.pairs[own]], column]
            win = paired_win(unusual, twins)
        low, high = interval(areas[name])
        scores[name] = ScoreResult(
            auroc(base, unusual), low, high, sensitivity(base, unusual, SPECIFICITY), win
        )
    result = KindResult(
        kind=kind,
        group=str(rows.groups[own[0]]),
        n_images=len(own),
        n_patients=len(set(patients)),
        n_usual=len(usual),
        flagged=float((rows.p_values[own] <= rate).mean()),
        out_of_scope=float((~rows.in_scope[own]).mean()),
        pixel_precision=_mean_known(rows.precision[own]),
        pixel_chance=_mean_known(rows.mask_share[own]),
        scores=scores,
    )
    return result, areas


def _macro(
    name: str, kinds: Sequence[KindResult], areas: Mapping[str, Mapping[str, Floats]]
) -> MacroResult:
    scores = {}
    for column in kinds[0].scores:
        parts = [kind.scores[column] for kind in kinds]
        low, high = interval(macro_draws([areas[kind.kind][column] for kind in kinds]))
        wins = [part.paired_win for part in parts if part.paired_win is not None]
        scores[column] = ScoreResult(
            auroc=float(np.mean([part.auroc for part in parts])),
            low=low,
            high=high,
            sensitivity=float(np.mean([part.sensitivity for part in parts])),
            paired_win=float(np.mean(wins)) if len(wins) == len(parts) else None,
        )
    precisions = [k.pixel_precision for k in kinds if k.pixel_precision is not None]
    return MacroResult(
        name,
        tuple(kind.kind for kind in kinds),
        float(np.mean(precisions)) if precisions else None,
        scores,
    )


def _mean_known(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
