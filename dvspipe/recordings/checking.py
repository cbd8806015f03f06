"""Check a recording for errors and oddities, in one pass over its unchecked columns.

A finding is `wrong` if it breaks a rule of `Events` or if data is lost; reading stops there. It is `odd` if the
recording is readable but unusual, for example if pixels are hot or events are duplicated.

`_Statistics` reads the chunks and counts; each rule about single events has an `_EventTally`. The findings follow from
the counts at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, EventError, FormatError
from ..base.kernels import njit
from ..base.pool import Shard, collect, map_items
from ..base.progress import Progress
from ..base.texts import Described, show_name
from ..events import SensorSize
from ..events.filters import HOT_PIXEL_FACTOR, NEVER_US, check_pixels, find_hot_pixels
from ..formats.hints import NO_HINTS, Hints, RecordingLike, SensorSource
from ..formats.recordings import name_recording, open_source
from ..formats.sensors import KNOWN_SENSORS, find_sensor_source, smallest_sensor
from ..formats.source import StoredColumns
from .sources import find_recordings

Kind = Literal[
    "corruption",
    "order",
    "range",
    "polarity",
    "duplicates",
    "negative_times",
    "gaps",
    "hot_pixels",
    "one_polarity",
    "empty",
]
Severity = Literal["wrong", "odd"]

USUAL_STEPS = 0.99  # fraction of steps between successive distinct times; longer steps may be gaps
GAP_OCTAVES = 4  # the longest of 10 million Poisson intervals is 3.5 times the 99th percentile
MIN_GAP_OCTAVE = 14  # 16 ms
MIN_FOR_ONE_POLARITY = 20  # events; with equally likely polarities, 1 in 500,000 such recordings has only one


@dataclass(frozen=True)
class CheckFinding:
    """Problem of a recording.

    Attributes:
        kind: Kind of problem.
        severity: `wrong` or `odd`.
        count: Number of affected events; for gaps and hot pixels, their number; for corruption, 1.
        first: Index of the first affected event, from 0, in file order; for a gap, the event after it; for corruption,
            the first unreadable event. None if no event is affected.
        message: Details, as a sentence.
    """

    kind: Kind
    severity: Severity
    count: int
    first: int | None
    message: str


@dataclass(frozen=True, repr=False)
class CheckReport(Described, Brief):
    """Statistics and findings of a recording. The statistics include all events before any corruption.

    Attributes:
        file: Path.
        format: Name of the file format.
        width: Sensor columns.
        height: Sensor rows.
        sensor_source: `file`, `given` (by the caller) or `guessed` (smallest known sensor that contains all events).
        events: Number of events, including invalid ones.
        t_first_us: Earliest time in microseconds; None if there are no events.
        t_last_us: Latest time in microseconds; None if there are no events.
        duration_us: Time from the earliest to the latest event, in microseconds.
        rate_hz: Events per second; None if the duration is 0.
        on_fraction: Fraction of events with p > 0; None if there are no events.
        findings: Problems, wrong ones first.
    """

    file: str
    format: str
    width: int
    height: int
    sensor_source: SensorSource
    events: int
    t_first_us: int | None
    t_last_us: int | None
    duration_us: int
    rate_hz: float | None
    on_fraction: float | None
    findings: tuple[CheckFinding, ...]

    @property
    def wrong(self) -> bool:
        """Whether any finding is wrong, not merely odd."""
        return any(finding.severity == "wrong" for finding in self.findings)

    @property
    def problem(self) -> str:
        """The file, if any finding is wrong; empty otherwise."""
        return f"{self.file}: is wrong" if self.wrong else ""

    def describe(self) -> Sequence[str]:
        """Return the verdict and the findings."""
        # Findings are unusual, unless one of them makes the recording wrong.
        verdict = "unusual" if self.findings else "nothing wrong"
        if self.wrong:
            verdict = "wrong"

        facts = f"{self.format}, {self.width}x{self.height}, {self.events:,} events"
        findings = [f"  {finding.severity}: {show_name(finding.message)}" for finding in self.findings]
        return [f"{show_name(self.file)}: {verdict}; {facts}", *findings]

    def to_record(self) -> dict[str, Any]:
        """Return the report and `wrong` as a dict for JSON."""
        return asdict(self) | {"wrong": self.wrong}


def check_recording(
    path: RecordingLike,
    progress: Progress | None = None,
    *,
    hints: Hints = NO_HINTS,
    gap_us: int | None = None,
) -> CheckReport:
    """Check a recording; see `dvspipe.check`."""
    file = name_recording(path)
    format_name, source = open_source(path, hints)
    size = source.sensor or hints.given_sensor
    if size:
        try:
            check_pixels(size)
        except EventError as error:
            raise error.named(str(file)) from error

    sensor_source = find_sensor_source(source, hints)

    # A corrupted recording has statistics, too: of the events before the corruption.
    tally = _Statistics(size, gap_us)
    total = source.extent().events if source.extent and progress else 0
    corruption = []
    try:
        for columns in source.chunks():
            tally.add(columns)
            if progress:
                progress(tally.events, total)
    except FormatError as error:
        corruption = [CheckFinding("corruption", "wrong", 1, tally.events, str(error))]

    sensor_size = tally.sensor
    duration_us = tally.latest_us - tally.earliest_us if tally.events else 0
    return CheckReport(
        file=str(file),
        format=format_name,
        width=sensor_size.width,
        height=sensor_size.height,
        sensor_source=sensor_source,
        events=tally.events,
        t_first_us=tally.earliest_us if tally.events else None,
        t_last_us=tally.latest_us if tally.events else None,
        duration_us=duration_us,
        rate_hz=tally.events / duration_us * 1e6 if duration_us else None,
        on_fraction=tally.on / tally.events if tally.events else None,
        findings=(*corruption, *tally.wrong(), *tally.odd()),
    )


@dataclass
class _EventTally:
    """Events with one problem: their number, and index and description of the first."""

    count: int = 0
    first: int | None = None
    description: str = ""

    def add(self, affected: NDArray[np.bool_], before: int, describe: Callable[[int], str]) -> None:
        """Add the events of a chunk that the mask `affected` selects, after `before` events of earlier chunks."""
        count = int(np.count_nonzero(affected))
        if count and self.first is None:
            event = int(affected.argmax())
            self.first = before + event
            self.description = describe(event)

        self.count += count

    def finding(self, kind: Kind, severity: Severity, one: str, many: str, *, more: str = "") -> list[CheckFinding]:
        """Return the finding, if any; `one` and `many` are the predicates for one event and for several."""
        if self.first is None:
            return []

        what = f"1 event {one}: event" if self.count == 1 else f"{self.count} events {many}, first event"
        message = f"{what} {self.first} with {self.description}{more}"
        return [CheckFinding(kind, severity, self.count, self.first, message)]


class _Statistics:
    """Statistics accumulated over the chunks of a recording.

    Args:
        sensor: Sensor size; events outside are out of range, and not counted per pixel. None: the largest known sensor.
        gap_us: Maximum time without events that is not a gap; None: chosen from the steps between times.
    """

    def __init__(self, sensor: SensorSize | None, gap_us: int | None) -> None:
        self.events = 0
        self.on = 0

        # Any time is earlier than the earliest so far, and later than the latest.
        self.earliest_us = -NEVER_US - 1
        self.latest_us = NEVER_US

        self._named = sensor
        self._gap_us = gap_us
        self._limits = sensor or max(KNOWN_SENSORS, key=lambda known: known.width * known.height)
        self._previous_us = NEVER_US
        self._unsorted = _EventTally()
        self._outside = _EventTally()
        self._polarity = _EventTally()
        self._duplicates = _EventTally()
        self._negative = _EventTally()
        self._longest_decrease_us = 0
        self._longest_gap_us = 0

        # Which steps are usual is known only at the end of the recording, so steps are counted per power of two.
        longer_than_us = [1 << octave for octave in range(63)] if gap_us is None else [gap_us]
        self._edges_us = np.array([0, *longer_than_us], np.uint64)
        self._steps = np.zeros(self._edges_us.size, np.int64)  # steps in (edges_us[i], edges_us[i + 1]]
        self._first_steps = np.full(self._edges_us.size, -1)  # event that ends the first step of each bin

        shape = (self._limits.height, self._limits.width)
        self._counts = np.zeros(shape, np.int64)
        self._last_us = np.full((2, *shape), NEVER_US)

    @property
    def sensor(self) -> SensorSize:
        """Given sensor, or the smallest known sensor that contains all events."""
        if self._named is not None:
            return self._named
        if self._outside.count:
            return self._limits

        # Up to the last column and row with an event.
        has_events = self._counts > 0
        columns = np.flatnonzero(has_events.any(axis=0))
        rows = np.flatnonzero(has_events.any(axis=1))
        width = int(columns.max(initial=0)) + 1
        height = int(rows.max(initial=0)) + 1
        return smallest_sensor(width, height) or self._limits

    def add(self, columns: StoredColumns) -> None:
        """Add the next chunk."""
        if len(columns.t):
            t = columns.t.astype(np.int64)
            self._add_times(t)
            self._add_pixels(t, columns)
            self.events += len(columns.t)

    def _add_times(self, t: NDArray[np.int64]) -> None:
        before = np.concatenate(([self._previous_us], t[:-1]))
        back = t < before
        if back.any():
            self._unsorted.add(back, self.events, lambda event: f"t = {t[event]} us after {before[event]} us")

            # Unsigned: the difference of two int64 needs 64 bits.
            decreases_us = (before - t)[back].view(np.uint64)
            self._longest_decrease_us = max(self._longest_decrease_us, int(decreases_us.max()))
        self._negative.add(t < 0, self.events, lambda event: f"t = {t[event]} us")

        latest_us, longest_us = _count_steps(
            t,
            self.latest_us if self.events else int(t[0]),
            self.events,
            self._edges_us,
            self._steps,
            self._first_steps,
        )
        self.earliest_us = min(self.earliest_us, int(t.min()))
        self.latest_us = int(latest_us)
        self._longest_gap_us = max(self._longest_gap_us, int(longest_us))
        self._previous_us = int(t[-1])

    def _add_pixels(self, t: NDArray[np.int64], columns: StoredColumns) -> None:
        x = columns.x
        y = columns.y
        p = columns.p.view(np.uint8) if columns.p.dtype == np.bool_ else columns.p
        self._polarity.add((p < 0) | (p > 1), self.events, lambda event: f"p = {p[event]}")
        on = p > 0
        self.on += int(np.count_nonzero(on))

        outside = (x < 0) | (x >= self._limits.width) | (y < 0) | (y >= self._limits.height)
        self._outside.add(outside, self.events, lambda event: f"x = {x[event]}, y = {y[event]}")

        # Coordinates outside the sensor may overflow int16; they are not used.
        twice = np.zeros(len(t), np.bool_)
        _count_pixels(t, x.astype(np.int16), y.astype(np.int16), on, outside, self._counts, self._last_us, twice)
        self._duplicates.add(
            twice, self.events, lambda event: f"t = {t[event]} us, x = {x[event]}, y = {y[event]}, p = {int(p[event])}"
        )

    def wrong(self) -> list[CheckFinding]:
        """Return the findings that break a rule of `Events`."""
        back = f"; the longest step back is {self._longest_decrease_us} us"
        sensor = f"the sensor of {self._limits}" if self._named else f"{self._limits}, the largest known sensor"
        advice = "" if self._named else "; use sensor=WxH to name the sensor"

        return [
            *self._unsorted.finding("order", "wrong", "goes back in time", "go back in time", more=back),
            *self._outside.finding("range", "wrong", f"lies outside {sensor}", f"lie outside {sensor}", more=advice),
            *self._polarity.finding(
                "polarity", "wrong", "is neither OFF (0) nor ON (1)", "are neither OFF (0) nor ON (1)"
            ),
        ]

    def odd(self) -> list[CheckFinding]:
        """Return the findings that are valid but unusual."""
        if not self.events:
            return [CheckFinding("empty", "odd", 0, None, "there are no events")]
        return [
            *self._duplicates.finding("duplicates", "odd", "duplicates an earlier event", "duplicate earlier events"),
            *self._negative.finding("negative_times", "odd", "has a negative time", "have negative times"),
            *self._check_gaps(),
            *self._check_hot_pixels(),
            *self._check_polarities(),
        ]

    def _check_gaps(self) -> list[CheckFinding]:
        gap = 1
        if self._gap_us is None:
            # Bin i ends at 2^i us. `usual` is the bin of the quantile USUAL_STEPS of all steps. Longer steps are gaps
            # if they are GAP_OCTAVES powers of two above its end.
            usual_count = USUAL_STEPS * self._steps.sum()
            usual = int(np.searchsorted(self._steps.cumsum(), usual_count))
            gap = max(usual + GAP_OCTAVES, MIN_GAP_OCTAVE) + 1

        count = int(self._steps[gap:].sum())
        if not count:
            return []

        firsts = self._first_steps[gap:]
        first = int(firsts[firsts >= 0].min())
        what = "1 time without events" if count == 1 else f"{count} times without events"
        return [
            CheckFinding(
                "gaps",
                "odd",
                count,
                first,
                f"{what} longer than {self._edges_us[gap]} us, first before event {first}; "
                f"the longest gap is {self._longest_gap_us} us",
            )
        ]

    def _check_hot_pixels(self) -> list[CheckFinding]:
        sensor = self.sensor
        counts = self._counts[: sensor.height, : sensor.width]
        hot = find_hot_pixels(counts)

        count = int(np.count_nonzero(hot))
        if not count:
            return []

        busiest = int(np.where(hot, counts, 0).argmax())
        y, x = divmod(busiest, sensor.width)
        what = "1 pixel fires" if count == 1 else f"{count} pixels fire"
        return [
            CheckFinding(
                "hot_pixels",
                "odd",
                count,
                None,
                f"{what} more than {HOT_PIXEL_FACTOR:g} times as often as neighbours, "
                f"{counts[hot].sum() / self.events:.2%} of the events; "
                f"the busiest is x = {x}, y = {y} with {counts[y, x]}",
            )
        ]

    def _check_polarities(self) -> list[CheckFinding]:
        if self.events < MIN_FOR_ONE_POLARITY or 0 < self.on < self.events:
            return []

        name = "ON" if self.on else "OFF"
        return [CheckFinding("one_polarity", "odd", self.events, 0, f"all {self.events} events are {name}")]


@njit(cache=True, nogil=True, error_model="numpy")
def _count_steps(
    t: NDArray[np.int64],
    latest_us: int,
    before: int,
    edges_us: NDArray[np.uint64],
    steps: NDArray[np.int64],
    first_steps: NDArray[np.int64],
) -> tuple[int, int]:
    """Count steps between successive maxima of time; return the latest time and the longest step."""
    # Successive maxima: an event that goes back in time neither ends nor begins a step. Bin i, or `edge`, counts the
    # steps in (edges_us[i], edges_us[i + 1]], the last bin all longer ones; first_steps[i] is the index of the event
    # that ends its first step, -1 if there is none. Lengths are unsigned, because the difference of two int64 needs
    # 64 bits.
    longest_us = np.uint64(0)
    for event in range(t.size):
        if t[event] > latest_us:
            step_us = np.uint64(t[event] - latest_us)
            latest_us = t[event]
            longest_us = max(longest_us, step_us)

            edge = 0
            while edge + 1 < edges_us.size and step_us > edges_us[edge + 1]:
                edge += 1
            steps[edge] += 1

            if first_steps[edge] < 0:
                first_steps[edge] = before + event
    return latest_us, int(longest_us)


@njit(cache=True, nogil=True, error_model="numpy")
def _count_pixels(
    t: NDArray[np.int64],
    x: NDArray[np.int16],
    y: NDArray[np.int16],
    on: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    counts: NDArray[np.int64],
    last_us: NDArray[np.int64],
    twice: NDArray[np.bool_],
) -> None:
    """Count events per pixel; mark an event if it has the time of the previous event of its pixel and polarity.

    If times never decrease, these are exactly the duplicates.
    """
    # counts [H, W] are events of both polarities; last_us [2, H, W] is the time of the previous event of a pixel and
    # polarity. Indices are unsigned: a signed one costs a test for negative values at each access.
    for event in range(t.size):
        if not outside[event]:
            row = np.uintp(y[event])
            column = np.uintp(x[event])
            polarity = np.uintp(on[event])

            counts[row, column] += 1
            twice[event] = last_us[polarity, row, column] == t[event]
            last_us[polarity, row, column] = t[event]


@overload
def check(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    recordings: RecordingLike,
    *,
    gap_us: int | None = None,
    share: str | None = None,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> CheckReport: ...
@overload
def check(
    recordings: Sequence[str | Path],
    *,
    gap_us: int | None = None,
    share: str | None = None,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> tuple[CheckReport, ...]: ...
def check(
    recordings: RecordingLike | Sequence[str | Path],
    *,
    gap_us: int | None = None,
    share: str | None = None,
    jobs: int | str = 1,
    hints: Hints = NO_HINTS,
    progress: Progress | None = None,
) -> CheckReport | tuple[CheckReport, ...]:
    """Find errors and oddities of recordings, in one pass and in bounded memory.

    Args:
        recordings: Recordings, or folders of recordings.
        gap_us: Maximum time without events that is not a gap, in microseconds. Default: 2^14 us, or 16 times the power
            of two that bounds 99 % of the steps between successive distinct times, whichever is longer.
        share: Check only share I/N of the files; default: the share of the task in a SLURM array, otherwise all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        hints: Metadata that the files do not store.
        progress: Called with the amount done and the total: of a single recording, or of recordings.

    Returns:
        The report on a single recording; for a list, a report on each recording.

    Raises:
        FileError: If the file does not exist or cannot be read.
        FormatError: If the format is unknown, or the file cannot be opened.
        EventError: If `sensor` differs from the sensor in the file, or the sensor has more than MAX_PIXELS pixels.
        PartialError: If some of several recordings could not be read, after all others.

    Example:
        >>> from dvspipe import Events
        >>> report = check(Events([0, 10, 60_010], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7"), gap_us=50_000)
        >>> [(finding.kind, finding.count) for finding in report.findings]
        [('gaps', 1)]
    """
    work = partial(check_recording, hints=hints, gap_us=gap_us)
    if isinstance(recordings, str) or not isinstance(recordings, Sequence):
        return work(recordings, progress)

    files = find_recordings([Path(recording) for recording in recordings], shard=Shard.of(share))
    outcomes = map_items(work, files, jobs=jobs, ordered=True, progress=progress)
    return collect(outcomes, len(files), "recordings could not be read")
