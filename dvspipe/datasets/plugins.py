"""Data sets of other packages, found by their entry points."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, get_args

from ..base.errors import ConfigError, DataError, brief
from ..base.plugins import describe_plugin, find_plugins, load_plugin
from ..results.splits import Part
from .config import PluginConfig
from .folders import RecordingFile, divide_parts, find_sensor
from .samples import DataSet, Sample
from .source import DataSource

PLUGINS = "dvspipe.data"
"""Entry points of data sets: functions of the root and of options, which return `LabelledRecording`s."""


class LabelledRecording(NamedTuple):
    """Recording or video of a data set.

    Args:
        path: File.
        class_name: Name of its class.
        part: Part of the data set; None: all recordings without a part are divided at random.
        group: Person or source; recordings of a group are always in the same part. Empty: as `data.group` says.
    """

    path: Path
    class_name: str
    part: Part | None = None
    group: str = ""


def open_plugin(source: DataSource[PluginConfig]) -> DataSet:
    """Return the recordings that the function of another package lists.

    Raises:
        ConfigError: If no package has a data set of this name, or it cannot be loaded.
        DataError: If it lists nothing, or something else than labelled recordings.
    """
    name = source.config.name
    known = sorted(find_plugins(PLUGINS))
    if name not in known:
        expected = f"one of {', '.join(known)}" if known else f"a package with an entry point in {PLUGINS}"
        raise ConfigError(f"data.name = {name}: no installed package has this data set (expected {expected})")

    recordings = _list_recordings(source, name)
    classes = tuple(sorted({recording.class_name for recording in recordings}))
    if len(classes) < 2:
        raise DataError(f"{source.root}: too few classes of {name} (found {len(classes)}, expected 2)")

    samples: dict[Part | None, list[Sample]] = {part: [] for part in (None, *get_args(Part))}
    for recording in recordings:
        file = RecordingFile.of(source, recording.path, source.sensor)
        sample = Sample(
            name=str(recording.path),
            label=classes.index(recording.class_name),
            group=recording.group or source.group_of(recording.path),
            load=file.load,
            version=file.version,
            file=recording.path,
        )
        samples[recording.part].append(sample)

    train = [*samples[None], *samples["train"]]
    sensor = source.config.target or source.sensor or find_sensor(source, train)
    data = DataSet(f"{name}, {source.root.name}", classes, sensor)
    return divide_parts(source, data, train, samples["test"], samples["validation"])


def _list_recordings(source: DataSource[PluginConfig], name: str) -> list[LabelledRecording]:
    """Call the function of another package, and check what it returns."""
    plugin = describe_plugin(PLUGINS, name)
    function = load_plugin(PLUGINS, name)
    if not callable(function):
        raise ConfigError(f"{plugin}: not a function (found {type(function).__name__})")

    try:
        recordings = [LabelledRecording(*row) for row in function(source.root, **source.config.options)]
    except TypeError as error:  # options that it does not have, or rows of another form
        raise DataError(f"{plugin}: {error} (expected rows of path, class, part and group)") from error
    if not recordings:
        raise DataError(f"{source.root}: {plugin} found no recordings")

    for recording in recordings:
        is_valid = isinstance(recording.path, Path) and isinstance(recording.class_name, str)
        if not is_valid or recording.part not in (None, *get_args(Part)):
            expected = "path, class, part and group"
            raise DataError(f"{plugin}: wrong row (found {brief(tuple(recording))}, expected {expected})")

    return recordings
