"""Score noise filters on events with noise labels, and choose their settings by the score.

The labels are stored in the recording (`convert_video` with `label_noise`), or the recording counts as signal and noise
of a known rate is mixed into it. The score of a choice is recall minus the share of noise that is kept (Youden's J):
1 is perfect, 0 is chance, and the shares of signal and noise in the recording do not matter. Source of the curves:
Guo and Delbruck, "Low cost and latency event camera background activity denoising", IEEE TPAMI 45 (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, EventError, Remedy
from ..events import Events, SensorSize, merge_streams
from ..events.corruption import draw_noise
from ..events.filter_config import FilterConfig
from ..events.filters import HOT_PIXEL_FACTOR, check_pixels, filter_events, find_hot_pixels, start_filter
from ..formats.source import Extent
from ..parallel import Progress
from ..results import EventCounts, FilterName, FilterPoint, FilterScore, FilterScores
from .comparison import count_polarities
from .editing import RecordingPart

DECADE = (1, 1.5, 2, 3, 5, 7)
SWEEP_US = tuple(round(value * 10**power) for power in range(2, 6) for value in DECADE)  # 0.1 ms to 0.7 s
SWEEP_FACTORS = tuple(float(value * 10**power) for power in range(3) for value in DECADE)[1:]
MIN_GAIN = 0.005  # a filter that adds less to the score is left off
STATE_BYTES = 1 << 28  # memory of the filters that run in one pass
BYTES_PER_PIXEL = 17  # filter state: two times and a mask
NOISE_EVENTS = 1 << 20  # noise drawn at a time
MAX_NOISE_HZ = 1000


@dataclass(frozen=True)
class FilterSetup:
    """Filters that are on, and their settings.

    Args:
        config: Periods of the filters.
        hot_pixels: Whether hot pixels are removed.
    """

    config: FilterConfig = field(default_factory=FilterConfig)
    hot_pixels: bool = False

    def setting(self, name: FilterName) -> float | None:
        """Return the setting of a filter as in `FilterPoint`; None if it is off."""
        if name == "hot_pixels":
            return HOT_PIXEL_FACTOR if self.hot_pixels else None
        return self.config.refractory_us if name == "refractory" else self.config.activity_us

    def using(self, name: FilterName, setting: float) -> FilterSetup:
        """Return a copy with another filter; the setting of `hot_pixels` is always its constant factor."""
        if name == "hot_pixels":
            return replace(self, hot_pixels=True)
        return replace(self, config=self.config.model_copy(update={f"{name}_us": int(setting)}))


SWEEPS: Mapping[FilterName, tuple[float, ...]] = {
    "hot_pixels": SWEEP_FACTORS,
    "refractory": SWEEP_US,
    "activity": SWEEP_US,
}
"""Settings of each filter's curve."""


@dataclass(frozen=True, eq=False)
class LabelledEvents:
    """Events with noise labels; see `label_events`.

    Args:
        name: Name of the recording.
        sensor: Sensor of the events.
        read: Yields the events with noise labels as polarities (True: noise), in consecutive parts.
        counts: Events of each pixel: signal and noise, int64 [2, H, W].
        measured: Events that pass the setups measured so far; no setup is measured twice.
    """

    name: str
    sensor: SensorSize
    read: Callable[[Progress | None], Iterator[Events]]
    counts: NDArray[np.int64]
    measured: dict[FilterSetup, EventCounts] = field(default_factory=dict)

    @property
    def total(self) -> EventCounts:
        """Numbers of all events."""
        signal, noise = self.counts.sum(axis=(1, 2)).tolist()
        return EventCounts(signal=signal, noise=noise)


def label_events(
    part: RecordingPart, *, noise_hz: float | None = None, seed: int = 0, progress: Progress | None = None
) -> LabelledEvents:
    """Return the events of a part with noise labels, counted in one pass.

    With `noise_hz`, a mean rate per pixel, all events count as signal, and noise is mixed in. Otherwise, the labels of
    the recording are used.
    """
    path = part.recording.path
    try:
        check_pixels(part.sensor)
    except EventError as error:
        raise error.named(str(path)) from error

    # Labels come either from the recording or from noise that is mixed into it.
    if noise_hz is None and part.recording.noise is None:
        raise ConfigError(
            f"{path}: has no noise labels (expected a file .h5 with labels, written with label_noise = true)",
            Remedy("noise_hz", "HZ", "mix noise of a known rate into it"),
        )
    if noise_hz is not None and part.recording.noise is not None:
        raise ConfigError(f"{path}: has noise labels already (found noise = {noise_hz:g} Hz, expected none)")
    if noise_hz is not None and not 0 < noise_hz <= MAX_NOISE_HZ:
        raise ConfigError(f"noise = {noise_hz:g} Hz: out of range (expected more than 0, at most {MAX_NOISE_HZ})")

    extent = None if noise_hz is None else part.extent()

    def read(report: Progress | None) -> Iterator[Events]:
        if noise_hz is None or extent is None:
            return part.chunks(part.recording.noise, report)
        signal = _as_signal(part.chunks(progress=report))
        noise = _draw_noise(part.sensor, extent, noise_hz, seed)
        return merge_streams([signal, noise])

    labelled = LabelledEvents(path.name, part.sensor, read, _count(read(progress), part.sensor))

    # Recall or the share of kept noise would be 0 / 0.
    if not (labelled.total.signal and labelled.total.noise):
        numbers = f"{labelled.total.signal:,} signal and {labelled.total.noise:,} noise events"
        raise EventError(f"{path}: filters cannot be scored (found {numbers}, expected both)")

    return labelled


def _as_signal(parts: Iterable[Events]) -> Iterator[Events]:
    for part in parts:
        # Labels replace the polarities: False is signal.
        yield Events.wrap_unchecked(
            part.t.view(), part.x.view(), part.y.view(), np.zeros(len(part), np.bool_), part.sensor
        )


def _draw_noise(sensor: SensorSize, extent: Extent, noise_hz: float, seed: int) -> Iterator[Events]:
    rng = np.random.default_rng(seed)
    last_us = extent.last_us or 0

    # Windows that contain about NOISE_EVENTS events limit the memory.
    window_us = max(1, int(1e6 * NOISE_EVENTS / (noise_hz * sensor.width * sensor.height)))
    for start_us in range(extent.first_us or 0, last_us + 1, window_us):
        t, x, y, _ = draw_noise(sensor, start_us, min(start_us + window_us - 1, last_us), noise_hz, rng)
        order = np.argsort(t)
        yield Events(t[order], x[order], y[order], np.ones(len(t), np.bool_), sensor)


def _count(parts: Iterable[Events], sensor: SensorSize) -> NDArray[np.int64]:
    counts = np.zeros((2, sensor.height, sensor.width), np.int64)
    for part in parts:
        counts += count_polarities(part)

    return counts


def score_filters(labelled: LabelledEvents, setup: FilterSetup, *, progress: Progress | None = None) -> FilterScores:
    """Score each filter alone and the filters of a setup together.

    Example:
        >>> from dvspipe.formats import open_recording
        >>> from dvspipe.recordings.editing import select_part
        >>> labelled = label_events(select_part(open_recording("noisy.h5")))  # doctest: +SKIP
        >>> scores = score_filters(labelled, FilterSetup(FilterConfig(activity_us=5000)))  # doctest: +SKIP
        >>> scores.together.precision, scores.together.recall  # doctest: +SKIP
        (0.97, 0.91)
    """
    empty = FilterSetup()
    total = labelled.total
    chosen: dict[FilterName, float | None] = {name: setup.setting(name) for name in SWEEPS}

    # The curve of a filter also has a point at its chosen setting, which is not always in the sweep. Hot pixels need no
    # pass over the events, see `_measure_hot_pixels`.
    tried: list[tuple[FilterName, float]] = []
    for name, setting in chosen.items():
        if name != "hot_pixels":
            values = {*SWEEPS[name]} if setting is None else {*SWEEPS[name], setting}
            tried += [(name, value) for value in sorted(values)]

    # All in one call, to share reads of the recording.
    alone = [empty.using(name, value) for name, value in tried]
    *kept_alone, kept_together = _measure(labelled, [*alone, setup], progress)
    kept = dict(zip(tried, kept_alone, strict=True)) | _measure_hot_pixels(labelled)

    scores = []
    for name, setting in chosen.items():
        points = [FilterPoint(setting=value, kept=counts) for (other, value), counts in kept.items() if other == name]
        passed = total if setting is None else kept[name, setting]
        scores.append(FilterScore(filter=name, setting=setting, total=total, kept=passed, curve=tuple(points)))

    together = FilterScore(filter="all", setting=None, total=total, kept=kept_together)
    return FilterScores(recording=labelled.name, filters=tuple(scores), together=together)


def tune_filters(labelled: LabelledEvents, *, progress: Progress | None = None) -> FilterSetup:
    """Choose filters and their settings by the score, recall minus the share of noise that is kept.

    Filters are added in sequence: the filter and setting that increase the score most together with those before, while
    it increases by at least 0.005.
    """
    chosen = FilterSetup()
    best = 0.0
    total = labelled.total
    while True:
        # Try each setting of each filter that is still off. The factor of hot pixels is constant.
        setups: list[FilterSetup] = []
        for name, sweep in SWEEPS.items():
            if chosen.setting(name) is None:
                values = sweep if name != "hot_pixels" else (HOT_PIXEL_FACTOR,)
                setups += [chosen.using(name, value) for value in values]

        measured = _measure(labelled, setups, progress)
        scores = [passed.signal / total.signal - passed.noise / total.noise for passed in measured]
        if not scores or max(scores) < best + MIN_GAIN:
            return chosen

        winner = int(np.argmax(scores))
        chosen = setups[winner]
        best = max(scores)


def _measure(labelled: LabelledEvents, setups: Sequence[FilterSetup], progress: Progress | None) -> list[EventCounts]:
    """Return the events that pass each setup; several setups run in one pass, as many as fit in memory."""
    hot = find_hot_pixels(labelled.counts.sum(axis=0))
    size = max(1, STATE_BYTES // (BYTES_PER_PIXEL * labelled.sensor.width * labelled.sensor.height))

    missing = [setup for setup in setups if setup not in labelled.measured]
    for first in range(0, len(missing), size):
        batch = missing[first : first + size]
        states = [start_filter(labelled.sensor, setup.config, hot=hot if setup.hot_pixels else None) for setup in batch]
        counts = np.zeros((len(states), 2), np.int64)
        for part in labelled.read(progress):
            for number, state in enumerate(states):
                passed, states[number] = filter_events(part, state)
                noise = int(np.count_nonzero(passed.p))
                counts[number] += len(passed) - noise, noise

        for setup, (signal, noise) in zip(batch, counts.tolist(), strict=True):
            labelled.measured[setup] = EventCounts(signal=signal, noise=noise)

    return [labelled.measured[setup] for setup in setups]


def _measure_hot_pixels(labelled: LabelledEvents) -> dict[tuple[FilterName, float], EventCounts]:
    """Return the events that pass the hot-pixel filter alone, by its factor."""
    # A pixel passes with all its events or none, so counts per pixel are enough, and no pass over the events is needed.
    total = labelled.counts.sum(axis=0)
    by_factor: dict[tuple[FilterName, float], EventCounts] = {}
    for factor in SWEEP_FACTORS:
        cold = ~find_hot_pixels(total, factor)
        signal, noise = labelled.counts[:, cold].sum(axis=1).tolist()
        by_factor["hot_pixels", factor] = EventCounts(signal=signal, noise=noise)

    return by_factor
