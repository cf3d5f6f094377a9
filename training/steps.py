"""Count the steps of a whole run as its trainings report them, and estimate the time left."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from training.config import FitConfig

# A training reports, and saves a checkpoint, whenever it has taken so many steps.
STRETCH = 100
# (round, fold) of one training; the last one, whose networks are saved, belongs to no round.
Place = tuple[int, int]
FINAL: Place = (0, 0)

# The kinds of steps in their order, and what each costs in steps of the autoencoder, until it is
# measured: 180, 85 and 64 images/s (benchmarks/RESULTS.md).
_COSTS = {"autoencoder": 1.0, "anatomy": 2.1, "inspector": 2.8}


@dataclass(frozen=True)
class StretchMetrics:
    """One line of metrics.csv: a stretch of 100 steps.

    Args:
        network: "autoencoder" or "inspector".
        step: the last one of the stretch, from 1.
        learning_rate: of that step.
        loss: mean of the stretch; the autoencoder's is the MSE of augmented slices.
        seconds: that the stretch took.
    """

    network: str
    step: int
    learning_rate: float
    loss: float
    seconds: float


class Steps:
    """All trainings of a run: how many steps are done, in all, and how long the rest takes.

    Rounds of cleaning are counted as if all of them were needed, until the last training shows
    that they were not.

    Args:
        config: of the run.
        processes: that train folds at the same time.
        clock: seconds that pass.
    """

    def __init__(
        self, config: FitConfig, processes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._processes, self._clock = config, processes, clock
        steps = (config.steps, config.anatomy_steps, config.inspector_steps)
        self._per_training = dict(zip(_COSTS, steps, strict=True))
        if config.policy == "percentile":
            self._n_jobs = [1] * config.rounds + [config.folds]
        else:
            self._n_jobs = [config.folds] * max(1, config.rounds)
        places = [(r, k) for r, n in enumerate(self._n_jobs, 1) for k in range(n)]
        self._left = {place: dict(self._per_training) for place in (*places, FINAL)}
        # (trains alone, kind of step) -> steps and seconds that were measured.
        self._measured: dict[tuple[bool, str], list[float]] = defaultdict(lambda: [0, 0.0])
        # After its last step a training scores its images: when it took that step, and how long.
        self._last_report: dict[Place, float] = {}
        self._endings: list[float] = []
        self._ended: set[Place] = set()
        self._at, self._seconds_left = 0.0, 0.0
        self.place: Place = (1, 0)

    @property
    def total(self) -> int:
        """Steps in all."""
        return len(self._left) * sum(self._per_training.values())

    @property
    def done(self) -> int:
        """Steps that were taken, in this run or before it was resumed."""
        return self.total - sum(sum(left.values()) for left in self._left.values())

    @property
    def n_rounds(self) -> int:
        """Rounds of cleaning at most."""
        return len(self._n_jobs)

    @property
    def cleans(self) -> bool:
        """Whether images may be removed; else folds are trained for the calibration alone."""
        return self._config.rounds > 0

    @property
    def is_upper_bound(self) -> bool:
        """Whether the cleaning may settle before its last round."""
        may_settle = self._config.policy == "crossfit"
        return may_settle and self.place != FINAL and self.place[0] < self.n_rounds

    def take(self, place: Place, metrics: StretchMetrics | None) -> None:
        """Count a stretch of steps, or the end of a training.

        Args:
            place: of the training.
            metrics: of its last stretch; None when the training has ended.
        """
        self.place = place
        for other in [other for other in self._left if _is_before(other, place)]:
            if place == FINAL and sum(self._left[other].values()) == self.total // len(self._left):
                del self._left[other]  # of a round that was not needed
            else:
                self._left[other] = dict.fromkeys(self._per_training, 0)
                self._ended.add(other)
        now = self._clock()
        if metrics is not None:
            self._count(place, metrics)
            self._last_report[place] = now
        else:
            self._left[place] = dict.fromkeys(self._per_training, 0)
            self._ended.add(place)
            if place in self._last_report:
                self._endings.append(now - self._last_report[place])
        self._at, self._seconds_left = now, self._estimate()

    def _count(self, place: Place, metrics: StretchMetrics) -> None:
        """Count the steps of a stretch, and share its seconds among their kinds."""
        begin, end = metrics.step - ((metrics.step - 1) % STRETCH + 1), metrics.step
        if metrics.network == "inspector":  # which begins after the autoencoder
            begin, end = begin + self._config.steps, end + self._config.steps
        at, taken = 0, {}
        for kind, n in self._per_training.items():
            self._left[place][kind] = min(n, max(0, at + n - end))
            taken[kind] = max(0, min(end, at + n) - max(begin, at))
            at += n
        cost = sum(n * _COSTS[kind] for kind, n in taken.items())
        for kind, n in taken.items():
            if n:
                measured = self._measured[self._is_alone(place), kind]
                measured[0] += n
                measured[1] += metrics.seconds * n * _COSTS[kind] / cost

    def seconds_left(self) -> float | None:
        """How long the rest takes, by the steps so far; None before the first."""
        if not self._measured:
            return None
        return max(0.0, self._seconds_left - (self._clock() - self._at))

    def _estimate(self) -> float:
        rounds = defaultdict(list)
        for place in self._left:
            rounds[place[0]].append(self._seconds_of(place))
        return sum(makespan(seconds, self._processes) for seconds in rounds.values())

    def _seconds_of(self, place: Place) -> float:
        alone, left = self._is_alone(place), self._left[place]
        ending = sum(self._endings) / max(1, len(self._endings))
        seconds = sum(n * self._step_s(alone, kind) for kind, n in left.items())
        return seconds + (0.0 if place in self._ended else ending)

    def _step_s(self, alone: bool, kind: str) -> float:
        """Return the seconds of a step: measured, else by those of the nearest that was."""
        for other in (kind, *reversed(_COSTS)):
            for is_alone in (alone, not alone):
                if (is_alone, other) in self._measured:
                    steps, seconds = self._measured[is_alone, other]
                    return seconds / steps * _COSTS[kind] / _COSTS[other]
        return 0.0

    def _is_alone(self, place: Place) -> bool:
        """Whether the training has all threads to itself."""
        return place == FINAL or self._processes == 1 or self._n_jobs[place[0] - 1] == 1


def makespan(seconds: Iterable[float], processes: int) -> float:
    """Return when the last job ends if each starts, in order, as soon as a process is free.

    >>> makespan([3.0, 1.0, 1.0], 2)
    3.0
    """
    free = [0.0] * processes
    for job in seconds:
        heapq.heapreplace(free, free[0] + job)
    return max(free)


def _is_before(other: Place, place: Place) -> bool:
    """Whether a training belongs to a round that is over when another one takes steps."""
    if other == FINAL:
        return False
    return place == FINAL or other[0] < place[0]
