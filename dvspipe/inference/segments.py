"""Segments: time spans of a recording with one class, or without a certain class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..base.errors import ConfigError
from ..base.settings import Settings
from ..results import SegmentRow, Timeline

UNCERTAIN = "uncertain"
FLAT = -1  # state without a class: no class is probable, or the window differs from the training
QUIET_STATE = -2  # state without a class: too few events
BUSY_PERCENTILE = 90  # percentile of the numbers of nearby events
CALM_PERCENTILE = 10
ENTER = 0.5  # probability that starts a segment, for classifiers that have no value of their own
LEAVE = 0.35
SMOOTHING = 0.75  # length of the moving average of the probabilities, relative to a window
CALM_SHARE = 0.25  # calm times with fewer events than this share of busy times show only noise
QUIET_SHARE = 0.05  # times with fewer events than this share of busy times are quiet
NOISE = 1.6  # times with fewer events than this multiple of calm times are quiet, if calm times show only noise


class CertaintyConfig(Settings):
    """When a class is certain."""

    enter: float | None = Field(default=None, ge=0, le=1)
    """Probability that starts a segment of a class; until a class reaches it, the time is uncertain. Default: 0.5, and
    in films the value that was chosen for the classifier and its joint network."""

    @property
    def threshold(self) -> float:
        """`enter`, or its default for classifiers that have no value of their own."""
        return ENTER if self.enter is None else self.enter


class SegmentConfig(CertaintyConfig):
    """Conversion of predictions over time into segments; see `find_segments`."""

    leave: float = Field(default=LEAVE, ge=0, le=1)
    """A segment ends if the probability of its class falls below this value; at most `enter`."""
    least_us: int | None = Field(default=None, ge=0, le=10**12)
    """Minimum length of a segment of a class in microseconds; default: half a window."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.leave > self.threshold:
            raise ConfigError(
                f"leave = {self.leave:g} is larger than enter = {self.threshold:g} (expected at most enter)"
            )
        return self

    def least(self, timeline: Timeline) -> int:
        """Return the minimum length of a segment in microseconds."""
        return timeline.window_us // 2 if self.least_us is None else self.least_us

    def with_enter(self, enter: float) -> Self:
        """Return these settings with a value for `enter` if it is not given."""
        return self if self.enter is not None else self.model_copy(update={"enter": max(enter, self.leave)})


def find_segments(
    timeline: Timeline, classes: Sequence[str], config: SegmentConfig, *, t_first_us: int, t_end_us: int
) -> tuple[SegmentRow, ...]:
    """Convert predictions over time into segments.

    Probabilities are smoothed over three quarters of a window, then hysteresis is applied. A segment of a class starts
    when its probability reaches `enter`. It ends when its probability falls below `leave`, another class reaches
    `enter`, a window differs from the training, or the recording is quiet. A segment shorter than `least_us` is merged
    with its neighbours if both have the same class and the segment is not quiet; otherwise it becomes uncertain.

    Args:
        timeline: Predictions over time.
        classes: Class names, K.
        config: Thresholds.
        t_first_us: Time of the first event in microseconds.
        t_end_us: End of the recording in microseconds, exclusive.

    Returns:
        Segments without gaps from `t_first_us` to `t_end_us`.
    """
    intervals_us = timeline.intervals_us(t_first_us, t_end_us)
    least_us = config.least(timeline)
    runs = _merge_short(_find_runs(_apply_hysteresis(timeline, config), intervals_us, t_first_us, t_end_us), least_us)

    middle_us = intervals_us.mean(axis=1)
    segments = []
    for start_us, stop_us, state in runs:
        if state < 0:
            segments.append(SegmentRow(t_start_us=start_us, t_end_us=stop_us, class_name=UNCERTAIN))
            continue

        inside = timeline.probabilities[(middle_us >= start_us) & (middle_us < stop_us), state]
        segment = SegmentRow(
            t_start_us=start_us,
            t_end_us=stop_us,
            label=state,
            class_name=classes[state],
            probability=float(inside.mean()) if len(inside) else 0.0,
        )
        segments.append(segment)

    return tuple(segments)


def smooth_probabilities(timeline: Timeline) -> NDArray[np.float64]:
    """Return the probabilities that decide about segments, [N, K]: smoothed over three quarters of a window."""
    return timeline.smooth(int(SMOOTHING * timeline.window_us))


def _apply_hysteresis(timeline: Timeline, config: SegmentConfig) -> list[int]:
    """Return the state of each prediction: a class, FLAT or QUIET_STATE."""
    probabilities = smooth_probabilities(timeline)
    quiet = is_quiet(timeline).tolist()
    familiar = timeline.familiar.tolist()

    states = []
    state = FLAT
    for row, best, quiet_now, is_familiar in zip(
        probabilities, probabilities.argmax(axis=1).tolist(), quiet, familiar, strict=True
    ):
        if quiet_now:
            state = QUIET_STATE
        elif not is_familiar:
            state = FLAT
        elif row[best] >= config.threshold:
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


def _find_runs(states: list[int], intervals_us: NDArray[np.int64], t_first_us: int, t_end_us: int) -> list[_Run]:
    """Group predictions into runs of equal state; gaps between predictions are quiet."""
    runs: list[_Run] = []
    previous_end_us = t_first_us
    for state, (start_us, stop_us) in zip(states, intervals_us.tolist(), strict=True):
        if start_us > previous_end_us:
            runs.append(_Run(previous_end_us, start_us, QUIET_STATE))
        if stop_us > start_us:
            runs.append(_Run(start_us, stop_us, state))
            previous_end_us = stop_us

    if t_end_us > previous_end_us:
        runs.append(_Run(previous_end_us, t_end_us, QUIET_STATE))
    return _merge_equal(runs)


def _merge_equal(runs: list[_Run]) -> list[_Run]:
    groups = [list(group) for _, group in groupby(runs, key=lambda run: run.state)]
    return [group[0]._replace(end_us=group[-1].end_us) for group in groups]


def _merge_short(runs: list[_Run], least_us: int) -> list[_Run]:
    """Merge or relabel runs shorter than `least_us`, unless there is only one; QUIET_STATE becomes FLAT."""

    def is_short(run: _Run) -> bool:
        return run.end_us - run.start_us < least_us

    merged: list[_Run] = []
    for run in runs:
        merged.append(run)
        while len(merged) > 2:
            before, middle, after = merged[-3:]
            if not before.state == after.state >= 0 or not is_short(middle) or middle.state == QUIET_STATE:
                break
            merged[-3:] = [before._replace(end_us=after.end_us)]

    if len(merged) > 1:
        merged = [run._replace(state=FLAT) if is_short(run) else run for run in merged]
    return _merge_equal([run._replace(state=max(run.state, FLAT)) for run in merged])


def is_quiet(timeline: Timeline) -> NDArray[np.bool_]:
    """Return whether too few events are near `center_us` for a meaningful prediction, bool [N].

    Times with hardly more events than calm times are quiet, unless they are shorter than half a window.
    """
    nearby = timeline.nearby_events
    quiet = shows_noise(nearby)

    at_us = timeline.center_us
    window_us = timeline.window_us
    for previous, following in pairwise(np.flatnonzero(~quiet)):
        if 2 * (at_us[following] - at_us[previous]) < window_us:
            quiet[previous:following] = False

    return np.asarray(quiet | has_few_events(nearby))


def shows_noise(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a recording shows only noise, from its numbers of events at N times, bool [N].

    Sensors produce noise events even if nothing moves. If calm times of a recording have far fewer events than busy
    times, calm times show only noise, and so do times with hardly more events.
    """
    if not len(counts):
        return np.zeros(0, np.bool_)

    calm, busy = np.percentile(counts, [CALM_PERCENTILE, BUSY_PERCENTILE])
    return np.asarray(counts < (NOISE * calm if calm < CALM_SHARE * busy else 0.0))


def has_few_events(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a recording has far fewer events than at its busy times, bool [N]."""
    busy = np.percentile(counts, BUSY_PERCENTILE) if len(counts) else 0.0
    return np.asarray(counts < QUIET_SHARE * busy)


def is_certain(timeline: Timeline, config: SegmentConfig) -> NDArray[np.bool_]:
    """Return whether a window is familiar, has enough events and a class that reaches `config.enter`, bool [N]."""
    is_probable = timeline.probabilities.max(axis=1, initial=0) >= config.threshold
    return np.asarray(timeline.familiar & ~has_few_events(timeline.events) & is_probable)
