from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.cleaning import count, table
from benchmarks.contamination import FAULTS, Example, contaminate, draw_examples
from preprocessing import InputSpec, to_input


@pytest.fixture(scope="module")
def good() -> list[Example]:
    return draw_examples(24)


@pytest.mark.parametrize("layout", ["scattered", "series"])
def test_faulty_copies_are_added_up_to_their_share(good: list[Example], layout: str) -> None:
    examples = contaminate(good, 0.25, layout)
    assert examples[:24] == good
    assert len(examples) == 32  # 8 of 32 are a quarter
    assert all(example.fault for example in examples[24:])


def test_scattered_copies_lie_in_the_series_of_their_originals(good: list[Example]) -> None:
    bad = contaminate(good, 0.25, "scattered")[24:]
    assert {example.source for example in bad} <= {example.source for example in good}
    assert len({example.fault for example in bad}) == len(FAULTS)


def test_a_bad_series_has_one_fault_and_is_of_one_patient(good: list[Example]) -> None:
    bad = contaminate(good, 0.4, "series")[24:]
    keys = [(example.source.series, example.source.group, example.fault) for example in bad]
    assert Counter(series for series, *_ in keys) == {"bad series:0": 8, "bad series:1": 8}
    assert len(set(keys)) == 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_is_gross(good: list[Example], fault) -> None:  # type: ignore[no-untyped-def]
    spec = InputSpec(size=64)
    image = good[0].image
    spoiled = fault(image, np.random.default_rng(0))
    assert np.abs(to_input(spoiled, spec) - to_input(image, spec)).mean() > 0.03


def test_what_was_removed_is_counted_against_what_was_planted(good: list[Example]) -> None:
    examples = contaminate(good, 0.25, "scattered")
    keep = np.ones(32, bool)
    keep[[0, 1, 26, 27, 28, 29, 30, 31]] = False  # two good ones, six of eight bad ones
    result = count(examples, keep, ("phantoms", "scattered", "crossfit"), 2, 1.0)
    assert result.good_lost == pytest.approx(2 / 24)
    assert result.bad_found == pytest.approx(6 / 8)
    assert result.precision == pytest.approx(6 / 8)
    assert [result.dirt_before, result.dirt_after] == pytest.approx([8 / 32, 2 / 24])
    assert sum(result.missed.values()) == 2
    assert table([result]).splitlines()[2] == (
        "| 24 phantoms | 8 scattered | crossfit | 8.3% | 75.0% | 0.75 | 25.0% to 8.3% | 2, 1 |"
    )
