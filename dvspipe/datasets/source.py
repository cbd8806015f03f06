"""Sources of samples: the inputs of the functions that open data sets, and recordings that samples are cut from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError, escape_controls
from ..base.progress import Progress, ignore_progress
from ..encoding import BinConfig
from ..events import Events, SensorSize, concatenate
from ..formats import Hints, read
from ..framing import FramingConfig, open_source
from ..recordings.conversion import events_from_video
from ..recordings.sources import is_video
from .cache import Cache
from .config import OWN_KINDS, DataConfig
from .samples import Sample, version_of_file

NUMBERED = re.compile(r"(.+?)[ _-]+\(?[A-Za-z]*\d+\)?")  # NAME_01, NAME-2, NAME (3), NAME_c01

T = TypeVar("T")


@dataclass(frozen=True)
class DataSource:
    """Source of a data set.

    Args:
        config: Kind, folders, and fractions of the parts.
        bins: Steps of the spike tensors, also used by the spike code of images.
        cache: Cache for the events of videos; None: no cache.
        progress: Called with the number of files done and the total.
    """

    config: DataConfig
    bins: BinConfig
    cache: Cache | None
    progress: Progress = ignore_progress

    def report(self, files: Sequence[T]) -> Iterator[T]:
        """Yield files, and report how many are done: dividing videos into windows converts them."""
        for number, file in enumerate(files, start=1):
            yield file
            self.progress(number, len(files))

    @property
    def root(self) -> Path:
        """Folder of the data set.

        Raises:
            DataError: If the configuration has no folder.
        """
        if self.config.root is None:
            raise DataError(f"{self.config.data}: missing folder of recordings, root; use root=DIR")
        return self.config.root

    def name_of(self, file: Path) -> Path:
        """Return the name of a recording, which decides its simulated noise: its path relative to `root`.

        Names in `test_root` begin with the name of that folder, because it may have the same files as the root.
        """
        test_root = self.config.test_root
        if file.is_relative_to(self.root):
            return file.relative_to(self.root)
        if test_root is not None and file.is_relative_to(test_root):
            return test_root.absolute().name / file.relative_to(test_root)
        return Path(file.name)

    def group_of(self, file: Path, name: str | None = None) -> str:
        """Return the group of a recording: the match of `group` in its name, or its path without the last number.

        A number at the end of a name counts pieces of a film, or recordings of a person. Other names, and recordings
        that a split.json divides, are groups of their own.

        Args:
            file: Recording.
            name: Name to search; default: the file name.

        Raises:
            DataError: If the name does not match `group`.
        """
        if self.config.group is None:
            numbered = NUMBERED.fullmatch(file.stem)
            is_drawn = self.config.data in OWN_KINDS and not isinstance(self.config.split, Path)
            return str(file.with_name(numbered[1]) if numbered and is_drawn else file)

        match = re.search(self.config.group, name or file.name)
        if not match:
            raise DataError(
                f"{file}: the name does not match the regular expression group = {self.config.group!r} "
                "(expected a pattern such as '^[^_]+'); use group=null to group files by their names"
            )

        return match.group()


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

        version = self._digest_content(self.framing.part(Hints))
        digest = self.cache.digest(("framed", version, self.framing, self.target))
        columns = dict(self.cache.get(digest, lambda: _to_columns(self._make())))
        width, height = columns.pop("size").tolist()
        return Events(**columns, sensor=SensorSize(width=width, height=height))

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

        def find_starts() -> dict[str, NDArray[np.int64]]:
            events = self.load_span(*span_us) if span_us else self.load()
            return {"starts_us": _window_starts(events.t, window_us)}

        if self.cache is None:
            found: Mapping[str, NDArray[np.int64]] = find_starts()
        else:
            digest = self.cache.digest(("windows", self.version(*span_us), window_us))
            found = self.cache.get(digest, find_starts)
        return [(start_us, start_us + window_us) for start_us in found["starts_us"].tolist()]

    def version(self, *more: object) -> str:
        """Return a digest of the content, of how it is framed, and of what else a sample depends on."""
        framing = self.framing.model_dump_json() if self.is_video or self.target is not None else ""
        return self._digest_content(framing, self.target, self.framing.part(Hints), *more)

    def _digest_content(self, *more: object) -> str:
        """Return a digest of the content of the file and of its file of frame times, and of `more`."""
        times = self.framing.timestamps
        if times is not None and times.is_file():  # opening the video names a missing file
            more = *more, version_of_file(times)
        return version_of_file(self.path, *more)


def _to_columns(events: Events) -> dict[str, NDArray[Any]]:
    """Return the arrays that a cache stores."""
    size = np.array([events.sensor.width, events.sensor.height])
    return {"t": events.t, "x": events.x, "y": events.y, "p": events.p, "size": size}


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
