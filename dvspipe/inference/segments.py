"""Segments: the parts of a recording that show one class, or none for certain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results import SegmentRow, Timeline
from .config import SegmentConfig

UNCERTAIN = "uncertain"
FLAT = -1  # a state besides classes: no class is probable, or the window is unlike training
QUIET_STATE = -2  # another one: too few events
BUSY_PERCENTILE, CALM_PERCENTILE = 90, 10  # of the numbers of nearby events
CALM_SHARE = 0.25  # of the events of busy times; if calm times have fewer, they show only noise


def find_segments(
    timeline: Timeline, classes: Sequence[str], config: SegmentConfig, *, t_first_us: int, t_end_us: int
) -> tuple[SegmentRow, ...]:
    """Return the segments of a recording, without gaps from its first event to its end.

    Probabilities are smoothed over `smooth_us`. A segment of a class starts at a prediction of at least `enter`, and
    ends at one below `leave`, at one that starts another class (hysteresis), at a window that is unlike those of the
    training, and wherever it is quiet. A segment shorter than `least_us` joins its neighbours if both are of one class
    and it is not quiet; otherwise it becomes uncertain.

    Args:
        timeline: The predictions.
        classes: K names.
        config: Thresholds.
        t_first_us: Time of the first event.
        t_end_us: End of the recording, exclusive.
    """
    intervals_us = timeline.intervals_us(t_first_us, t_end_us)
    least_us = timeline.window_us // 2 if config.least_us is None else config.least_us
    smooth_us = timeline.window_us * 3 // 4 if config.smooth_us is None else config.smooth_us
    states = _apply_hysteresis(timeline, smooth_us, config)
    runs = _remove_short(_find_runs(states, intervals_us, t_first_us, t_end_us), least_us)
    middle_us = intervals_us.mean(axis=1)
    segments = []
    for start_us, stop_us, state in runs:
        inside = timeline.probabilities[(middle_us >= start_us) & (middle_us < stop_us)]
        own = inside.max(axis=1, initial=0) if state < 0 else inside[:, state]
        segment = SegmentRow(
            t_start_us=start_us,
            t_end_us=stop_us,
            label=None if state < 0 else state,
            class_name=UNCERTAIN if state < 0 else classes[state],
            probability=float(own.mean()) if len(own) else 0.0,
        )
        segments.append(segment)
    return tuple(segments)


def _apply_hysteresis(timeline: Timeline, smooth_us: int, config: SegmentConfig) -> list[int]:
    """Return the state at each prediction: a class, FLAT or QUIET."""
    probabilities = timeline.smooth(smooth_us)
    quiet, familiar = is_quiet(timeline, config).tolist(), timeline.familiar.tolist()
    states, state = [], FLAT
    for row, best, quiet_now, is_familiar in zip(
        probabilities, probabilities.argmax(axis=1).tolist(), quiet, familiar, strict=True
    ):
        if quiet_now:
            state = QUIET_STATE
        elif not is_familiar:
            state = FLAT
        elif row[best] >= config.enter:
            state = best
        elif state < 0 or row[state] < config.leave:
            state = FLAT
        states.append(state)
    return states


class _Run(NamedTuple):
    """Consecutive predictions of the same state."""

    start_us: int
    end_us: int
    state: int

    @property
    def length_us(self) -> int:
        return self.end_us - self.start_us


def _find_runs(states: list[int], intervals_us: NDArray[np.int64], t_first_us: int, t_end_us: int) -> list[_Run]:
    """Return the runs of a recording; gaps between predictions are quiet."""
    runs: list[_Run] = []
    reached_us = t_first_us
    for state, (start_us, stop_us) in zip(states, intervals_us.tolist(), strict=True):
        if start_us > reached_us:
            runs.append(_Run(reached_us, start_us, QUIET_STATE))
        if stop_us > start_us:
            runs.append(_Run(start_us, stop_us, state))
            reached_us = stop_us
    if t_end_us > reached_us:
        runs.append(_Run(reached_us, t_end_us, QUIET_STATE))
    return _join_equal(runs)


def _join_equal(runs: list[_Run]) -> list[_Run]:
    joined: list[_Run] = []
    for run in runs:
        if joined and joined[-1].state == run.state:
            joined[-1] = joined[-1]._replace(end_us=run.end_us)
        else:
            joined.append(run)
    return joined


def _remove_short(runs: list[_Run], least_us: int) -> list[_Run]:
    """Return runs of which those of a class last at least that long, unless there is only one; QUIET becomes FLAT."""
    kept: list[_Run] = []
    for run in runs:
        kept.append(run)
        while len(kept) > 2 and kept[-3].state == kept[-1].state >= 0 and _can_be_bridged(kept[-2], least_us):
            kept[-3:] = [kept[-3]._replace(end_us=kept[-1].end_us)]
    if len(kept) > 1:
        kept = [run if run.length_us >= least_us else run._replace(state=FLAT) for run in kept]
    return _join_equal([run._replace(state=max(run.state, FLAT)) for run in kept])


def _can_be_bridged(run: _Run, least_us: int) -> bool:
    return run.length_us < least_us and run.state != QUIET_STATE


def is_quiet(timeline: Timeline, config: SegmentConfig) -> NDArray[np.bool_]:
    """Return whether too few events are near `center_us` for a prediction to mean anything, bool [N].

    A sensor has noise even if nothing moves. If the calm times of a recording have far fewer events than its busy
    times, then a time with hardly more events than the calm ones is quiet, unless it is shorter than half a window.
    """
    nearby = timeline.nearby_events
    calm, busy = np.percentile(nearby, [CALM_PERCENTILE, BUSY_PERCENTILE]) if len(timeline) else (0.0, 0.0)
    quiet = nearby < (config.noise * calm if calm < CALM_SHARE * busy else 0.0)
    at_us, window_us = timeline.center_us, timeline.window_us
    for previous, following in pairwise(np.flatnonzero(~quiet)):
        if 2 * (at_us[following] - at_us[previous]) < window_us:
            quiet[previous:following] = False
    return np.asarray(quiet | _has_few(timeline, nearby, config))


def is_certain(timeline: Timeline, config: SegmentConfig) -> NDArray[np.bool_]:
    """Return whether a familiar window with enough events has a class that reaches `config.enter`, bool [N]."""
    enough = ~_has_few(timeline, timeline.events, config)
    return np.asarray(timeline.familiar & enough & (timeline.probabilities.max(axis=1, initial=0) >= config.enter))


def _has_few(timeline: Timeline, counts: NDArray[np.int64], config: SegmentConfig) -> NDArray[np.bool_]:
    busy = float(np.percentile(counts, BUSY_PERCENTILE)) if len(timeline) else 0.0
    return np.asarray((timeline.events < config.least_events) | (counts < config.quiet * busy))
