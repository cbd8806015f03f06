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
from .folders import RecordingFile, find_sensor
from .samples import DataSet, Sample, version_of_events
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
    known = None if sensor is None else SensorSize.of(sensor)
    pairs = [_check_pair(number, pair) for number, pair in enumerate(recordings)]
    if not pairs:
        raise DataError("no recordings")

    names = _find_classes([label for _, label in pairs]) if classes is None else tuple(classes)
    samples = tuple(
        _sample_of(number, recording, _find_label(number, label, names), sensor=known)
        for number, (recording, label) in enumerate(pairs)
    )

    first = samples[0]

    # Events in memory have a sensor; of files, the first readable one is asked.
    if known is None and first.file is None:
        events = first.load()
        assert isinstance(events, Events)
        known = events.sensor

    size = known or find_sensor(DataSource(DataConfig(), BinConfig(), None), samples)
    return DataSet(f"{len(samples)} recordings", names, size, train=samples)


def _check_pair(number: int, pair: tuple[Events | str | Path, int | str]) -> tuple[Events | str | Path, int | str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"recording {number}: expected a pair of a recording and its label (found {brief(pair)})")

    recording, label = pair
    if isinstance(label, str):
        return recording, label

    try:
        label = operator.index(label)
    except TypeError:
        raise DataError(
            f"recording {number}: wrong label (found {label!r}, expected a class name or an integer)"
        ) from None

    if label < 0:
        raise DataError(f"recording {number}: wrong label (found {label}, expected 0 or more)")

    return recording, label


def _find_classes(labels: Sequence[int | str]) -> tuple[str, ...]:
    """Return the sorted class names among the labels, or the numbers up to the largest label."""
    names = {label for label in labels if isinstance(label, str)}
    numbers = {label for label in labels if isinstance(label, int)}

    if names and numbers:
        raise DataError(f"labels: names and numbers (found {min(names)!r} and {min(numbers)}, expected one of both)")
    return tuple(sorted(names)) or tuple(str(label) for label in range(1 + max(numbers)))


def _find_label(number: int, label: int | str, classes: tuple[str, ...]) -> int:
    if isinstance(label, int) and label < len(classes):
        return label
    if isinstance(label, str) and label in classes:
        return classes.index(label)

    raise DataError(f"recording {number}: unknown class (found {label!r}, expected one of {brief(list(classes))})")


def _sample_of(number: int, recording: Events | str | Path, label: int, *, sensor: SensorSize | None) -> Sample:
    name = f"recording {number}"
    if isinstance(recording, Events):
        return Sample(name, label, name, partial(_identity, recording), partial(version_of_events, recording))

    if not isinstance(recording, str | Path):
        raise DataError(f"{name}: found {brief(recording)}, expected Events, or the path of a recording")

    path = Path(recording)
    framing = FramingConfig() if sensor is None else FramingConfig(sensor=str(sensor))
    file = RecordingFile(path, framing, None, Cache(default_cache()))

    return Sample(str(path), label, str(path), file.load, file.version, file=path)


def _identity(events: Events) -> Events:
    return events
