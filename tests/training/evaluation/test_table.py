from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.table import Rows, tabulate


def make_rows(images: list[tuple[str, str, int, float, float]]) -> Rows:
    """Rows of one score from (kind, patient, pair, score, p-value)."""
    kinds, patients, pairs, scores, p_values = zip(*images, strict=True)
    n = len(images)
    return Rows(
        columns=("anomaly_score",),
        kinds=np.array(kinds),
        groups=np.array(["" if kind == "usual" else "group" for kind in kinds]),
        patients=np.array(patients),
        pairs=np.array(pairs),
        scores=np.array(scores)[:, None],
        p_values=np.array(p_values),
        in_scope=np.ones(n, dtype=bool),
        precision=np.full(n, np.nan),
        mask_share=np.full(n, np.nan),
    )


ROWS = make_rows(
    [
        ("usual", "a", 0, 1.0, 0.5),
        ("usual", "b", 1, 2.0, 0.3),
        ("usual", "c", 2, 9.0, 0.01),
        ("ghost", "a", 0, 3.0, 0.04),
        ("ghost", "b", 1, 1.5, 0.4),
        ("ghost", "c", 2, 9.0, 0.02),
        ("lesion", "a", 0, 1.5, 0.2),
        ("lesion", "b", 1, 1.5, 0.2),
        ("head", "file", -1, 5.0, 0.05),
        ("head", "file", -1, 5.0, 0.06),
    ]
)


def test_a_planted_kind_is_compared_with_the_slices_that_it_was_planted_into() -> None:
    kinds, _ = tabulate(ROWS, 0.05, {})
    lesion = next(kind for kind in kinds if kind.kind == "lesion")
    assert (lesion.n_images, lesion.n_patients, lesion.n_usual) == (2, 2, 2)  # not patient c
    # 1.5 against 1 and 2, twice: half of the pairs won. Twins: 1.5 > 1 won, 1.5 < 2 lost.
    assert lesion.scores["anomaly_score"].auroc == 0.5
    assert lesion.scores["anomaly_score"].paired_win == 0.5


def test_a_kind_without_twins_is_compared_with_all_usual_slices() -> None:
    head = next(kind for kind in tabulate(ROWS, 0.05, {})[0] if kind.kind == "head")
    assert (head.n_images, head.n_patients, head.n_usual) == (2, 1, 3)
    assert head.scores["anomaly_score"].auroc == pytest.approx(2 / 3)
    assert head.scores["anomaly_score"].paired_win is None
    assert head.scores["anomaly_score"].sensitivity == 0.0  # 9 is the threshold
    assert head.flagged == 0.5  # 0.05 is an alarm at 5 %, 0.06 is none
    assert head.pixel_precision is None


def test_a_macro_average_counts_each_kind_once() -> None:
    kinds, macros = tabulate(ROWS, 0.05, {"both": ("lesion", "ghost"), "none": ("blur",)})
    assert [kind.kind for kind in kinds] == ["lesion", "ghost", "head"]
    (both,) = macros
    areas = [kind.scores["anomaly_score"].auroc for kind in kinds[:2]]
    assert both.scores["anomaly_score"].auroc == pytest.approx(np.mean(areas))
    # Twins: ghosts win, lose and tie (0.5); lesions 0.5.
    assert both.scores["anomaly_score"].paired_win == 0.5


def test_an_interval_holds_its_own_area() -> None:
    rng = np.random.default_rng(0)
    images = [("usual", f"p{i % 12}", i, float(rng.normal()), 0.5) for i in range(48)]
    images += [("ghost", f"p{i % 12}", i, float(rng.normal(1)), 0.5) for i in range(48)]
    (ghost,), _ = tabulate(make_rows(images), 0.05, {})
    score = ghost.scores["anomaly_score"]
    assert 0.5 < score.low < score.auroc < score.high < 1
