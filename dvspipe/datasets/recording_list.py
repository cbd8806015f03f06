"""A data set of recordings that are given one by one, as files or in memory."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..encoding import BinConfig
from ..errors import DataError
from ..events import Events, SensorSize, SensorSizeLike
from ..formats import NO_HINTS
from ..framing import FramingConfig
from .cache import Cache, default_cache
from .config import FolderConfig
from .folders import RecordingFile, find_sensor
from .samples import DataSet, Sample, version_of_events
from .source import DataSource


def from_recordings(
    recordings: Iterable[tuple[Events | str | Path, int]], *, sensor: SensorSizeLike | None = None
) -> DataSet:
    """Return a data set of recordings with their labels, all in its training part.

    Args:
        recordings: Events, or the path of a recording or video, and the integer of its class, from 0.
        sensor: Sensor of files that do not store it.

    Raises:
        DataError: There is none, or a label is no integer from 0.
        DvspipeError: No file can be opened.

    Example:
        >>> events = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> data = from_recordings([(events, 0), (events, 2)])
        >>> data.classes, str(data.sensor), len(data.train)
        (('0', '1', '2'), '12x7', 2)
    """
    known = None if sensor is None else SensorSize.of(sensor)
    samples = tuple(_sample_of(number, pair, sensor=known) for number, pair in enumerate(recordings))
    if not samples:
        raise DataError("no recordings")
    classes = tuple(str(label) for label in range(1 + max(sample.label for sample in samples)))
    first = samples[0]
    if known is None and first.file is None:
        events = first.load()
        assert isinstance(events, Events)
        known = events.sensor
    found = known or find_sensor(DataSource(FolderConfig(), 0, BinConfig(), None), samples)
    return DataSet(f"{len(samples)} recordings", classes, found, train=samples)


def _sample_of(number: int, pair: tuple[Events | str | Path, int], *, sensor: SensorSize | None) -> Sample:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"recording {number}: expected a pair of a recording and its label (found {pair!r})")
    recording, label = pair
    try:
        label = operator.index(label)
    except TypeError:
        raise DataError(f"recording {number}: wrong label (found {label!r}, expected an integer)") from None
    if label < 0:
        raise DataError(f"recording {number}: wrong label (found {label}, expected 0 or more)")
    name = f"recording {number}"
    if isinstance(recording, Events):
        return Sample(name, label, name, partial(_same, recording), partial(version_of_events, recording))
    path = Path(recording)
    file = RecordingFile(path, sensor, NO_HINTS, FramingConfig(), None, Cache(default_cache()))
    return Sample(str(path), label, str(path), file.load, file.version, file=path)


def _same(events: Events) -> Events:
    return events
