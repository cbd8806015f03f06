"""Data set from a list of recordings, as files or in memory."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ..arguments import checked, describe_value
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


@checked
def from_recordings(
    recordings: Iterable[tuple[Events | str | Path, int]], *, sensor: SensorSizeLike | None = None
) -> DataSet:
    """Create a data set from recordings and labels; all are in the training part.

    Args:
        recordings: Pairs of a recording (events, or the path of a recording or video) and its label, an integer >= 0.
        sensor: Sensor of files that do not store it.

    Raises:
        DataError: If `recordings` is empty, or a label is not an integer >= 0.
        DvspipeError: If no file can be opened.

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
        return Sample(name, label, name, partial(_identity, recording), partial(version_of_events, recording))
    if not isinstance(recording, str | Path):
        raise DataError(f"{name}: found {describe_value(recording)}, expected Events, or the path of a recording")
    path = Path(recording)
    file = RecordingFile(path, sensor, NO_HINTS, FramingConfig(), None, Cache(default_cache()))
    return Sample(str(path), label, str(path), file.load, file.version, file=path)


def _identity(events: Events) -> Events:
    return events
