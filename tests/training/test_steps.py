"""How far a run is and how long it still takes, by a clock that the test moves."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from training.config import FitConfig
from training.progress import describe_place, describe_time_left
from training.steps import FINAL, Place, Steps, StretchMetrics, makespan

DEFAULT = FitConfig()
TRIAL = replace(DEFAULT, steps=100, anatomy_steps=50, inspector_steps=100, rounds=1)


@dataclass
class Machine:
    """A run whose steps take what training/config.py says, with something around them.

    A process starts within `start_s`, scores its fold within `score_s`; the last training has the
    threads of all processes to itself and may be faster by `speedup`.
    """

    config: FitConfig
    processes: int = 2
    start_s: float = 6.0
    score_s: float = 3.0
    autoencoder_s: float = 0.07
    anatomy_s: float = 0.15
    inspector_s: float = 0.2
    speedup: float = 1.25
    n_rounds: int | None = None
    now: float = 0.0

    def play(self) -> Iterator[tuple[float, Place, StretchMetrics | None]]:
        """Every report, with the time at which it comes."""
        n_rounds = max(1, self.config.rounds) if self.n_rounds is None else self.n_rounds
        for number in range(1, n_rounds + 1):
            free = [self.now] * self.processes
            events = list[tuple[float, Place, StretchMetrics | None]]()
            for fold in range(self.config.folds):
                start = free[0] + self.start_s
                for end, metrics in self.training(start, 1.0):
                    events.append((end, (number, fold), metrics))
                end = events[-1][0] + self.score_s
                events.append((end, (number, fold), None))
                heapq.heapreplace(free, end)
            for event in sorted(events, key=lambda event: event[0]):
                self.now = event[0]
                yield event
        for end, metrics in self.training(self.now, self.speedup):
            self.now = end
            yield end, FINAL, metrics
        self.now += self.score_s

    def training(self, at: float, speedup: float) -> Iterator[tuple[float, StretchMetrics]]:
        config = self.config
        costs = [self.autoencoder_s] * config.steps
        yield from self.stretches("autoencoder", at, [cost / speedup for cost in costs])
        at += sum(costs) / speedup
        costs = [self.anatomy_s] * config.anatomy_steps
        costs += [self.inspector_s] * config.inspector_steps
        yield from self.stretches("inspector", at, [cost / speedup for cost in costs])

    def stretches(
        self, network: str, at: float, costs: list[float]
    ) -> Iterator[tuple[float, StretchMetrics]]:
        for first in range(0, len(costs), 100):
            stretch = costs[first : first + 100]
            at += sum(stretch)
            yield at, StretchMetrics(network, first + len(stretch), 0.001, 0.02, sum(stretch))


def ratios(machine: Machine) -> list[float]:
    """Estimate over truth of the time left, at each report between 20 and 90 % of the steps."""
    steps = Steps(machine.config, machine.processes, clock=lambda: machine.now)
    seen = []
    for at, place, metrics in machine.play():
        steps.take(place, metrics)
        seen.append((at, steps.done / steps.total, steps.seconds_left()))
    assert steps.done == steps.total
    return [
        left / (machine.now - at)
        for at, share, left in seen
        if left is not None and 0.2 <= share <= 0.9
    ]


@pytest.mark.parametrize(
    "machine",
    [
        Machine(DEFAULT),
        Machine(DEFAULT, processes=1, start_s=0, speedup=1),
        Machine(DEFAULT, processes=3, anatomy_s=0.12, inspector_s=0.25),
        Machine(replace(DEFAULT, folds=5), autoencoder_s=0.2),
        Machine(replace(DEFAULT, rounds=0)),
        Machine(TRIAL),
        Machine(TRIAL, start_s=3, score_s=1, speedup=0.9),
    ],
)
def test_after_a_fifth_of_the_steps_the_time_left_is_within_a_third(machine: Machine) -> None:
    found = ratios(machine)
    assert len(found) >= 5
    assert min(found) > 2 / 3
    assert max(found) < 4 / 3


def test_rounds_that_are_not_needed_are_an_upper_bound_and_then_gone() -> None:
    machine = Machine(DEFAULT, n_rounds=1)  # of two at most
    steps = Steps(DEFAULT, 2, clock=lambda: machine.now)
    per_training = 1200 + 250 + 1000
    for _, place, metrics in machine.play():
        steps.take(place, metrics)
        if place == FINAL:
            assert steps.total == 4 * per_training
            assert describe_place(steps) == "training the model"
            assert not describe_time_left(steps).startswith("at most")
        else:
            assert steps.total == 7 * per_training
            assert describe_place(steps) == "cleaning, round 1 of at most 2"
            assert describe_time_left(steps).startswith("at most")
    assert steps.done == steps.total


def test_folds_that_were_done_before_count_as_done() -> None:
    steps = Steps(TRIAL, 2)
    assert (steps.done, steps.total) == (0, 4 * 250)
    for fold in range(3):
        steps.take((1, fold), None)
    assert steps.done == 750
    assert steps.seconds_left() is None
    assert describe_time_left(steps) == ""
    steps.take(
        FINAL, StretchMetrics("inspector", 150, 0.001, 0.02, 10.0)
    )  # its autoencoder was done
    assert steps.done == steps.total


def test_the_plain_loop_trains_once_a_round_and_then_the_folds() -> None:
    config = replace(TRIAL, policy="percentile", rounds=3)
    steps = Steps(config, 2)
    assert steps.total == (3 + 3 + 1) * 250
    assert not steps.is_upper_bound


def test_the_time_left_counts_down_between_two_reports() -> None:
    now = 0.0
    steps = Steps(replace(TRIAL, rounds=0), 1, clock=lambda: now)
    steps.take((1, 0), StretchMetrics("autoencoder", 100, 0.001, 0.02, 60.0))
    # 50 steps of the anatomy cost 2.1 times as much each, 100 of the inspector 2.8 times: 231 s.
    # Three trainings follow.
    assert steps.seconds_left() == pytest.approx(231 + 3 * 291)
    assert describe_time_left(steps) == "18 min left"
    now = 300.0
    assert describe_time_left(steps) == "13 min left"
    now = 1e6
    assert describe_time_left(steps) == "less than a minute left"


@pytest.mark.parametrize(
    ("seconds", "processes", "expected"),
    [([3, 1, 1], 2, 3), ([2, 2, 2], 2, 4), ([1, 2, 3], 1, 6), ([5], 4, 5), ([], 2, 0)],
)
def test_jobs_start_as_soon_as_a_process_is_free(
    seconds: list[float], processes: int, expected: float
) -> None:
    assert makespan(seconds, processes) == expected


def test_a_stretch_across_two_kinds_of_steps_counts_for_both() -> None:
    steps = Steps(replace(TRIAL, rounds=0), 1, clock=lambda: 0.0)
    # 50 steps of the anatomy at 2.1 and 50 of the inspector at 2.8: of 49 s, 21 and 28.
    steps.take((1, 0), StretchMetrics("inspector", 100, 0.001, 0.02, 49.0))
    assert steps.done == 200
    one_training = 100 * 0.2 + 50 * 0.42 + 100 * 0.56  # an autoencoder's step is 1 of 2.8
    assert steps.seconds_left() == pytest.approx(50 * 0.56 + 3 * one_training)


def test_what_a_training_does_after_its_last_step_is_expected_of_the_others() -> None:
    now = 0.0
    steps = Steps(replace(TRIAL, rounds=0), 1, clock=lambda: now)
    steps.take((1, 0), StretchMetrics("inspector", 150, 0.001, 0.02, 0.0))
    now = 12.0
    steps.take((1, 0), None)
    assert steps.seconds_left() == pytest.approx(3 * 12.0)
