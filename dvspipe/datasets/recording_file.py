"""A recording or video of a data set: its events, framed for the network, and the samples that are cut from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import escape_controls
from ..events import Events, SensorSize, concatenate
from ..formats import Hints, read
from ..framing import FramingConfig, open_source
from ..recordings.conversion import events_from_video
from ..recordings.sources import is_video
from .cache import Cache
from .samples import Sample, version_of_file
from .source import DataSource


@dataclass(frozen=True)
class RecordingFile:
    """Recording or video that is a sample, or that samples are cut from.

    Args:
        target: Sensor that the events are fitted to; None: the recording's own sensor.
        cache: Cache for events that take long to compute; None: no cache.
    """

    path: Path
    framing: FramingConfig
    target: SensorSize | None
    cache: Cache | None

    @classmethod
    def of(cls, source: DataSource, path: Path, sensor: SensorSize | None) -> RecordingFile:
        """Create a file of a data set."""
        config = source.config
        framing = config.framing.for_recording(source.name_of(path).as_posix())
        if sensor is not None:
            framing = framing.model_copy(update={"sensor": str(sensor)})
        return cls(path, framing, config.input_size, source.cache)

    @cached_property
    def is_video(self) -> bool:
        """Whether the file is a video."""
        return is_video(self.path)

    def load(self) -> Events:
        """Return all events, framed for the network, from the cache if they take long to compute."""
        if self.cache is None or not (self.is_video or self.framing.roi == "auto"):
            return self._make()

        version = version_of_file(self.path, self.framing.part(Hints))
        digest = self.cache.digest(("framed", version, self.framing, self.target))
        stored = self.cache.read(digest)
        if stored is None:
            events = self._make()
            size = np.array([events.sensor.width, events.sensor.height])
            self.cache.write(digest, t=events.t, x=events.x, y=events.y, p=events.p, size=size)
            return events

        width, height = stored.pop("size").tolist()
        return Events(**stored, sensor=SensorSize(width=width, height=height))

    def _make(self) -> Events:
        """Compute all events, framed for the network, without the cache."""
        if self.target is not None:
            return concatenate(open_source(self.path, self.target, self.framing).read_fitted(), self.target)
        if self.is_video:
            return events_from_video(self.path, self.framing)
        return read(self.path, hints=self.framing)

    def load_span(self, start_us: int, end_us: int) -> Events:
        """Return the events from `start_us` (inclusive) to `end_us` (exclusive)."""
        # Videos and framed recordings have all events anyway; of others, only the span is read.
        if self.is_video or self.target is not None:
            return self.load().between(start_us, end_us)
        return read(self.path, start_us, end_us, hints=self.framing)

    def windows(self, window_us: int, *span_us: int) -> list[tuple[int, int]]:
        """Divide the recording, or a span of it, into windows; return the start and end of each in microseconds.

        The first window starts at the first event. Windows without events are left out, and so is a remainder at the
        end shorter than half a window, unless it is the only window. The windows are cached.
        """
        digest = "" if self.cache is None else self.cache.digest(("windows", self.version(*span_us), window_us))
        stored = None if self.cache is None else self.cache.read(digest)
        if stored is None:
            events = self.load_span(*span_us) if span_us else self.load()
            stored = {"starts_us": _window_starts(events.t, window_us)}
            if self.cache is not None:
                self.cache.write(digest, **stored)
        return [(start_us, start_us + window_us) for start_us in stored["starts_us"].tolist()]

    def version(self, *more: object) -> str:
        """Return a digest of the content, of how it is framed, and of what else a sample depends on."""
        framing = self.framing.model_dump_json() if self.is_video or self.target is not None else ""
        return version_of_file(self.path, framing, self.target, self.framing.part(Hints), *more)


def _window_starts(t: NDArray[np.int64], window_us: int) -> NDArray[np.int64]:
    """Return the start of each window with events; see `RecordingFile.windows`."""
    # The error of an empty recording is raised when it is loaded.
    if not len(t):
        return np.zeros(1, np.int64)

    numbers = (t - t[0]) // window_us  # window of each event
    remainder_us = int(t[-1] - t[0]) % window_us

    # A remainder shorter than half a window is left out, unless it is all there is.
    last = numbers[-1]
    if last and remainder_us < window_us // 2:
        numbers = numbers[numbers < last]

    starts: NDArray[np.int64] = t[0] + np.unique(numbers) * window_us
    return starts


def cut_samples(source: DataSource, recording: RecordingFile, label: int, *span_us: int) -> list[Sample]:
    """Return a recording, or a span of it, as a sample, or as its windows if it is longer than `window_us`."""
    spans_us = [span_us]
    if source.config.window_us is not None:
        windows = recording.windows(source.config.window_us, *span_us)
        if len(windows) > 1:
            end_us = span_us[1] if span_us else windows[-1][1]
            spans_us = [(start_us, min(stop_us, end_us)) for start_us, stop_us in windows]

    samples = []
    for span in spans_us:
        suffix = f"@{span[0]}-{span[1]}us" if span else ""
        samples.append(
            Sample(
                name=escape_controls(f"{recording.path}{suffix}"),
                label=label,
                group=source.group_of(recording.path),
                load=partial(recording.load_span, *span) if span else recording.load,
                version=partial(recording.version, *span),
                file=recording.path,
            )
        )
    return samples
