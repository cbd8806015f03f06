"""Data set from a list of recordings, as files or in memory."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ..base.errors import DataError, brief
from ..events import Events, SensorSize, SensorSizeLike
from ..framing import FramingConfig
from .cache import Cache, default_cache
from .config import DataConfig
from .folders import find_sensor
from .recording_file import RecordingFile
from .samples import DataSet, Sample, find_label, name_classes, version_of_events


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
    pairs = list(recordings)
    wrong = [pair for pair in pairs if not isinstance(pair, tuple | list) or len(pair) != 2]
    if wrong or not pairs:
        raise DataError(f"recordings: found {brief(wrong[0]) if wrong else 'none'}, expected (recording, label)")

    known = None if sensor is None else SensorSize.of(sensor)
    labels = [label if isinstance(label, str) else operator.index(label) for _, label in pairs]  # also NumPy's
    names = name_classes(labels) if classes is None else tuple(classes)
    samples = tuple(
        _sample_of(number, recording, find_label(f"recording {number}", label, names), known)
        for number, ((recording, _), label) in enumerate(zip(pairs, labels, strict=True))
    )

    # Events in memory have a sensor; of files, the first readable one is asked.
    first, _ = pairs[0]
    if known is None and isinstance(first, Events):
        known = first.sensor
    known = known or find_sensor((sample.file for sample in samples), DataConfig())
    return DataSet(f"{len(samples)} recordings", names, known, train=samples)


def _sample_of(number: int, recording: Events | str | Path, label: int, sensor: SensorSize | None) -> Sample:
    if isinstance(recording, Events):
        name = f"recording {number}"
        load = partial(_identity, recording)
        return Sample(name, label, name, load, partial(version_of_events, load))

    framing = FramingConfig() if sensor is None else FramingConfig(sensor=str(sensor))
    file = RecordingFile(Path(recording), framing, None, Cache(default_cache()))
    return Sample(str(recording), label, str(recording), file.load, file.version, file=file.path)


def _identity(events: Events) -> Events:
    return events
