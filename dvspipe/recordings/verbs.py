"""Commands of the command line as functions of recordings: files of any format, or events in memory.

`cut`, `filter` and `merge` return events in memory. For long files, `cut_recording`, `filter_recording` and
`merge_recordings` (`dvspipe/recordings/editing.py`) write the same events to a file, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import ConfigError, Remedy
from ..events import Events, Region, RegionLike, SensorSize, SensorSizeLike, concatenate
from ..events.filters import FilterConfig, filter_stream
from ..formats import NO_HINTS, Hints, HintsLike, RecordingLike, open_recording
from ..parallel import Progress
from ..simulator import as_settings_on_preset
from .conversion import Conversion, ConversionSettings, ConversionTask, convert_task
from .editing import find_common_sensor, locate_hot_pixels, select_part, unite


@checked
def convert(
    source: str | Path | int,
    out: str | Path,
    settings: ConversionSettings | Mapping[str, object] | None = None,
    *,
    preset: str | Path | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    overwrite: bool = False,
    progress: Progress | None = None,
    **named: object,
) -> Conversion:
    """Convert a video to the events of a simulated camera, or a recording to another format, and write them to a file.

    For several files, see `plan_conversions` and `convert_many`.

    Args:
        source: Video, image folder, recording, or the number of a camera.
        out: Event file; its suffix selects the format.
        settings: Settings of the pixel model, the video, the recording and the file, as in `dvspipe convert --set`.
        preset: Name of a sensor preset, or a YAML file.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that a recording does not store.
        overwrite: Whether to replace an existing file.
        progress: Called with the number of frames or events done and the total.
        named: Settings by name.

    Raises:
        DvspipeError: As in `convert_video` and `convert_recording`.

    Example:
        >>> convert("clip.mp4", "events.h5", preset="noisy", pos_thres=0.15).events  # doctest: +SKIP
        182930
    """
    found = as_settings_on_preset(ConversionSettings, preset, settings, named, convert)
    size = None if sensor is None else SensorSize.of(sensor)
    task = ConversionTask(Path(str(source)), Path(out))
    return convert_task(
        task,
        progress,
        video=found.of_video(),
        recording=found.of_recording(size, as_settings(Hints, hints)),
        overwrite=overwrite,
    )


@checked
def cut(
    recording: RecordingLike, start_s: float = 0.0, stop_s: float | None = None, region: RegionLike | None = None
) -> Events:
    """Return a part of a recording in time and space.

    Args:
        recording: File, or events in memory.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
        region: Region of the sensor, such as "128x128+20+10"; its upper left corner becomes the origin. None: complete
            sensor.

    Returns:
        Events of the part. Their times do not change.

    Raises:
        ArgumentError: If a time is not a number.
        ConfigError: If the stop time is not after the start time.
        EventError: If the recording ends before the part begins, or the region is not inside the sensor.

    Example:
        >>> events = Events([500, 700_500], [3, 4], [1, 1], [True, False], "12x7")
        >>> cut(events, 0.5, 1.0, "5x4+2+1")
        Events(1 events, sensor 5x4, t 700500 to 700500 us)
    """
    found = None if region is None else Region.of(region)
    part = select_part(open_recording(recording), start_s, stop_s, found)
    return concatenate(part.chunks(), part.sensor)


@checked
def filter(  # noqa: A001
    recording: RecordingLike,
    config: FilterConfig | Mapping[str, object] | None = None,
    *,
    hot_pixels: bool = False,
    **named: object,
) -> Events:
    """Return the events of a recording without noise.

    Args:
        recording: File, or events in memory.
        config: Refractory period and background activity; also a mapping.
        hot_pixels: Whether to remove all events of hot pixels, found in a first pass; see `find_hot_pixels`.
        named: Settings of `FilterConfig` by name.

    Raises:
        ConfigError: If no filter is given.
        EventError: If the sensor has more than 16 million pixels.

    Example:
        >>> events = Events([0, 100, 900], [3, 3, 3], [1, 1, 1], [True, True, True], "12x7")
        >>> filter(events, refractory_us=500).t.tolist()
        [0, 900]
    """
    chosen = as_settings(FilterConfig, config, named, filter)
    if not (hot_pixels or chosen.refractory_us or chosen.activity_us):
        ways = Remedy("refractory_us", 1000), Remedy("activity_us", 20_000), Remedy("hot_pixels", True)
        raise ConfigError("filter: no filter given", *ways)
    part = select_part(open_recording(recording))
    hot = locate_hot_pixels(part) if hot_pixels else None
    return concatenate(filter_stream(part.chunks(), chosen, hot=hot), part.sensor)


@checked
def merge(recordings: Sequence[RecordingLike], *, gap_us: int | None = None) -> Events:
    """Merge recordings of one sensor by time, or concatenate them with `gap_us`.

    Args:
        recordings: One or more files, or events in memory.
        gap_us: Concatenate in sequence: shift each recording to begin this many microseconds after the end of the
            previous one, >= 0. None: keep all times, and merge by time.

    Raises:
        EventError: If the sensors differ, or there is no recording.
        ConfigError: If `gap_us` is negative.

    Example:
        >>> a = Events([0, 10], [3, 4], [1, 1], [True, False], "12x7")
        >>> b = Events([5], [6], [2], [True], "12x7")
        >>> merge([a, b]).t.tolist(), merge([a, b], gap_us=100).t.tolist()
        ([0, 5, 10], [0, 10, 110])
    """
    opened = [open_recording(each) for each in recordings]
    sensor = find_common_sensor(opened)
    return concatenate(unite([each.chunks() for each in opened], gap_us), sensor)
