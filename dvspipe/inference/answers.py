"""Answers over time, and the segments that they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import Events
from .config import SegmentConfig

UNCERTAIN = "uncertain"
BUSY_PERCENTILE, CALM_PERCENTILE = 90, 10  # of the numbers of events near the answers
CALM_SHARE = 0.25  # of those of busy moments, below which calm ones are taken for rest
MOST_RATE_BINS = 2048
FINEST_RATE_BIN_US = 1000
FLAT, QUIET = -1, -2  # no class is probable; too little happens


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says from moment to moment.

    Args:
        start_us: int64 [N], begin of what it has seen for each answer.
        end_us: int64 [N], its end; the answer is known then.
        events: int64 [N], number of events in that time.
        near: int64 [N], number of events in the quarter of a window around the time that the answer stands for.
        probabilities: float32 [N, K].
        hop_us: From one answer to the next; None where they follow from the number of events.
        lag_us: How long before `end_us` half of what counts was seen: half a window; with a running mean, ln 2 of its
            time constant.
        runs_on: Whether the network's state ran on from each to the next, but for pauses.
    """

    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    events: NDArray[np.int64]
    near: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    hop_us: int | None
    lag_us: int
    runs_on: bool = False

    def __len__(self) -> int:
        return len(self.end_us)

    @property
    def window_us(self) -> int:
        """The median time that an answer rests on."""
        return int(np.median(self.end_us - self.start_us)) if len(self) else 0

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], the most probable classes."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def entropies(self) -> NDArray[np.float64]:
        """float64 [N], in bits: 0 where one class is certain, log2 K where all are the same."""
        p = np.maximum(self.probabilities.astype(np.float64), 1e-300)
        return np.asarray(np.maximum(0.0, -(p * np.log2(p)).sum(axis=1)))

    @property
    def middle_us(self) -> NDArray[np.int64]:
        """int64 [N], the times that answers stand for."""
        return middle_us(self.start_us, self.end_us, self.hop_us, self.lag_us)

    def cells_us(self, first_us: int, end_us: int) -> NDArray[np.int64]:
        """int64 [N, 2], from when to when each answer holds: half a hop around the time it stands for.

        The first reaches back to the begin of the recording, the last to its end, and where the state ran on, those
        beside a pause to its edges; there are gaps where none was asked for, in pauses.
        """
        if self.hop_us is None:
            cells = np.stack([self.start_us, self.end_us], axis=1)
        else:
            begin_us = self.middle_us - self.hop_us // 2
            cells = np.stack([begin_us, begin_us + self.hop_us], axis=1)
            cells[1:, 0] = np.maximum(cells[1:, 0], cells[:-1, 1])
            if self.runs_on:
                anew = np.flatnonzero(np.diff(self.end_us) > self.hop_us) + 1
                cells[anew, 0], cells[anew - 1, 1] = self.start_us[anew], self.end_us[anew - 1]
        if len(cells):
            cells[0, 0], cells[-1, 1] = first_us, end_us
        cells = np.clip(cells, first_us, end_us)
        return np.maximum(cells, cells[:, :1])

    def smoothed(self, over_us: int) -> NDArray[np.float64]:
        """float64 [N, K], the mean probabilities of the answers that stand for times at most half of that away."""
        at_us = self.middle_us
        first = np.searchsorted(at_us, at_us - over_us / 2, "left")
        stop = np.searchsorted(at_us, at_us + over_us / 2, "right")
        sums = np.pad(self.probabilities.cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0)))
        return np.asarray((sums[stop] - sums[first]) / (stop - first)[:, None])

    def quiet(self, config: SegmentConfig) -> NDArray[np.bool_]:
        """Whether too little happens around the time that an answer stands for to say anything: bool [N].

        A sensor's noise goes on while nothing moves. So where the calm moments of a recording are much calmer than its
        busy ones, what is hardly busier than they are is rest; but not where it lasts less than half a window.
        """
        calm, busy = np.percentile(self.near, [CALM_PERCENTILE, BUSY_PERCENTILE]) if len(self) else (0.0, 0.0)
        rest = self.near < (config.noise * calm if calm < CALM_SHARE * busy else 0.0)
        at_us, window_us = self.middle_us, self.window_us
        for before, after in pairwise(np.flatnonzero(~rest)):
            if 2 * (at_us[after] - at_us[before]) < window_us:
                rest[before:after] = False
        return np.asarray(rest | self._few(self.near, config))

    def certain(self, config: SegmentConfig) -> NDArray[np.bool_]:
        """Whether an answer rests on enough events, and gives a class enough to begin: bool [N]."""
        enough = ~self._few(self.events, config)
        return np.asarray(enough & (self.probabilities.max(axis=1, initial=0) >= config.enter))

    def _few(self, counts: NDArray[np.int64], config: SegmentConfig) -> NDArray[np.bool_]:
        busy = float(np.percentile(counts, BUSY_PERCENTILE)) if len(self) else 0.0
        return np.asarray((self.events < config.least_events) | (counts < config.quiet * busy))


def middle_us(
    start_us: NDArray[np.int64], end_us: NDArray[np.int64], hop_us: int | None, lag_us: int
) -> NDArray[np.int64]:
    """The times that answers stand for, as `Answers` says."""
    return (start_us + end_us) // 2 if hop_us is None else np.maximum(end_us - lag_us, start_us)


@dataclass(frozen=True)
class Segment:
    """A part of a recording that shows one class, or of which nothing is certain.

    Args:
        start_us: Its begin.
        end_us: Its end, which does not belong to it.
        label: The class's integer; None where it is uncertain.
        class_name: Its name, or `uncertain`.
        probability: The mean of the class's probability over the answers in it; of the largest where it is uncertain.
    """

    start_us: int
    end_us: int
    label: int | None
    class_name: str
    probability: float


def find_segments(
    answers: Answers, classes: tuple[str, ...], config: SegmentConfig, first_us: int, end_us: int
) -> tuple[Segment, ...]:
    """The segments of a recording, without gaps from its first event to its end.

    Probabilities are smoothed over `smooth_us`. A class begins with an answer that gives it at least `enter`, and ends
    with one that gives it less than `leave`, or that lets another begin (hysteresis), and wherever it is quiet. What is
    shorter than `least_us` then goes over to its neighbours where both are of one class and it is not quiet between
    them, and is uncertain elsewhere.

    Args:
        answers: What the network says.
        classes: K names.
        config: Thresholds.
        first_us: Time of the first event.
        end_us: When the recording ends.
    """
    cells_us = answers.cells_us(first_us, end_us)
    least_us = answers.window_us // 2 if config.least_us is None else config.least_us
    smooth_us = answers.window_us * 3 // 4 if config.smooth_us is None else config.smooth_us
    states = _follow(answers.smoothed(smooth_us), answers.quiet(config), config)
    runs = _without_short(_runs(states, cells_us, first_us, end_us), least_us)
    middle_us = cells_us.mean(axis=1)
    found = []
    for start_us, stop_us, state in runs:
        inside = answers.probabilities[(middle_us >= start_us) & (middle_us < stop_us)]
        own = inside.max(axis=1, initial=0) if state < 0 else inside[:, state]
        mean = float(own.mean()) if len(own) else 0.0
        label, name = (None, UNCERTAIN) if state < 0 else (state, classes[state])
        found.append(Segment(start_us, stop_us, label, name, mean))
    return tuple(found)


def _follow(probabilities: NDArray[np.float64], quiet: NDArray[np.bool_], config: SegmentConfig) -> list[int]:
    """The class at each answer, or FLAT or QUIET."""
    states, now = [], FLAT
    for row, silent, best in zip(probabilities, quiet.tolist(), probabilities.argmax(axis=1).tolist(), strict=True):
        if silent:
            now = QUIET
        elif row[best] >= config.enter:
            now = best
        elif now < 0 or row[now] < config.leave:
            now = FLAT
        states.append(now)
    return states


Run = tuple[int, int, int]
"""Begin, end, and class, FLAT or QUIET."""


def _runs(states: list[int], cells_us: NDArray[np.int64], first_us: int, end_us: int) -> list[Run]:
    """Answers in a row that say the same; where there is none, nothing happened."""
    pieces: list[Run] = []
    reached_us = first_us
    for state, (begin_us, stop_us) in zip(states, cells_us.tolist(), strict=True):
        if begin_us > reached_us:
            pieces.append((reached_us, begin_us, QUIET))
        if stop_us > begin_us:
            pieces.append((begin_us, stop_us, state))
            reached_us = stop_us
    if end_us > reached_us:
        pieces.append((reached_us, end_us, QUIET))
    return _merged(pieces)


def _merged(pieces: list[Run]) -> list[Run]:
    """Neighbours of the same class as one."""
    merged: list[Run] = []
    for begin_us, stop_us, state in pieces:
        if merged and merged[-1][2] == state:
            merged[-1] = (merged[-1][0], stop_us, state)
        else:
            merged.append((begin_us, stop_us, state))
    return merged


def _without_short(runs: list[Run], least_us: int) -> list[Run]:
    """Runs of which none of a class is shorter than that, but for one that is all there is; QUIET becomes FLAT."""
    joined: list[Run] = []
    for run in runs:
        joined.append(run)
        while len(joined) > 2 and joined[-3][2] == joined[-1][2] >= 0 and _passes(joined[-2], least_us):
            joined[-3:] = [(joined[-3][0], joined[-1][1], joined[-1][2])]
    if len(joined) > 1:
        joined = [(begin, stop, state if stop - begin >= least_us else FLAT) for begin, stop, state in joined]
    return _merged([(begin, stop, max(state, FLAT)) for begin, stop, state in joined])


def _passes(run: Run, least_us: int) -> bool:
    """Whether a run is too short to interrupt a class."""
    return run[1] - run[0] < least_us and run[2] != QUIET


@dataclass(eq=False)
class RateCurve:
    """How many events there are over time, in at most 2048 bins, which double as the recording grows.

    Attributes:
        start_us: Begin of the first bin; None before the first event.
        bin_us: Length of a bin.
        counts: int64 [bins].
    """

    start_us: int | None = None
    bin_us: int = FINEST_RATE_BIN_US
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MOST_RATE_BINS, np.int64))

    def add(self, events: Events) -> None:
        """Counts the next part of a recording."""
        if not len(events):
            return
        self.start_us = int(events.t[0]) if self.start_us is None else self.start_us
        while events.t[-1] - self.start_us >= MOST_RATE_BINS * self.bin_us:
            self.counts = np.pad(self.counts.reshape(-1, 2).sum(axis=1), (0, MOST_RATE_BINS // 2))
            self.bin_us *= 2
        edges_us = self.start_us + np.arange(MOST_RATE_BINS + 1) * self.bin_us
        self.counts += np.diff(np.searchsorted(events.t, edges_us))

    def to_record(self) -> dict[str, Any]:
        """As plain numbers, without the bins behind the last event."""
        used = int(np.flatnonzero(self.counts)[-1]) + 1 if self.counts.any() else 0
        return {"start_us": self.start_us, "bin_us": self.bin_us, "counts": self.counts[:used].tolist()}
