"""Data set from a list of recordings, as files or in memory."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ..base.errors import DataError, brief
from ..encoding import BinConfig
from ..events import Events, SensorSize, SensorSizeLike
from ..framing import FramingConfig
from .cache import Cache, default_cache
from .config import DataConfig
from .folders import find_sensor
from .recording_file import RecordingFile
from .samples import DataSet, Sample, find_label, name_classes, version_of_events
from .source import DataSource


def from_recordings(
    recordings: Iterable[tuple[Events | str | Path, int | str]],
    *,
    classes: Sequence[str] | None = None,
    sensor: SensorSizeLike | None = None,
) -> DataSet:
    """Create a data set from recordings and labels; all are in the training part.

    Args:
        recordings: Pairs of a recording (events, or the path of a recording or video) and its label: the name of
            its class, or an integer >= 0.
        classes: Class names in the order of the labels. None: the given names, sorted; or "0", "1", ... for integers.
        sensor: Sensor of files that do not store it.

    Raises:
        DataError: If `recordings` is empty, or a label is not one of the classes.
        DvspipeError: If no file can be opened.

    Example:
        >>> events = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> data = from_recordings([(events, 0), (events, 2)])
        >>> data.classes, str(data.sensor), len(data.train)
        (('0', '1', '2'), '12x7', 2)
        >>> from_recordings([(events, "wave"), (events, "clap")]).classes
        ('clap', 'wave')
    """
    pairs = [_check_pair(number, pair) for number, pair in enumerate(recordings)]
    if not pairs:
        raise DataError("no recordings")

    known = None if sensor is None else SensorSize.of(sensor)
    names = name_classes([label for _, label in pairs]) if classes is None else tuple(classes)
    samples = []
    for number, (recording, label) in enumerate(pairs):
        samples.append(_sample_of(number, recording, find_label(f"recording {number}", label, names), known))

    # Events in memory have a sensor; of files, the first readable one is asked.
    first, _ = pairs[0]
    if known is None:
        if isinstance(first, Events):
            known = first.sensor
        else:
            known = find_sensor(DataSource(DataConfig(), BinConfig(), None), samples)

    return DataSet(f"{len(samples)} recordings", names, known, train=tuple(samples))


def _check_pair(number: int, pair: tuple[Events | str | Path, int | str]) -> tuple[Events | Path, int | str]:
    """Return a recording and its label, an integer or the name of a class."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"recording {number}: found {brief(pair)}, expected a pair of a recording and its label")

    recording, label = pair
    return (
        recording if isinstance(recording, Events) else Path(recording),
        label if isinstance(label, str) else operator.index(label),
    )


def _sample_of(number: int, recording: Events | Path, label: int, sensor: SensorSize | None) -> Sample:
    if isinstance(recording, Events):
        name = f"recording {number}"
        return Sample(name, label, name, partial(_identity, recording), partial(version_of_events, recording))

    framing = FramingConfig() if sensor is None else FramingConfig(sensor=str(sensor))
    file = RecordingFile(recording, framing, None, Cache(default_cache()))
    return Sample(str(recording), label, str(recording), file.load, file.version, file=recording)


def _identity(events: Events) -> Events:
    return events
