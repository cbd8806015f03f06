"""Verb that converts videos and recordings to event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike
from ..parallel import Progress
from ..recordings.config import ConversionKeywords, ConversionSettings, ConvertConfig, RecordingConfig
from ..simulator import as_settings_on_preset

if TYPE_CHECKING:
    from ..recordings.conversion import Conversion


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
    **named: Unpack[ConversionKeywords],
) -> Conversion:
    """Convert videos to the events of a simulated event camera, or recordings to another format.

    In Python, `plan_conversions` and `convert_many` convert several files.

    Args:
        source: Video, image folder, recording, or the number of a camera.
        out: Event file; its suffix selects the format.
        settings: Settings of the pixel model, the video, the recording and the file.
        preset: Sensor preset (listed by dvspipe configs), or a YAML file; given settings take precedence.
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
    from ..recordings.conversion import ConversionTask, convert_task

    video, recording = build_settings(settings, preset=preset, sensor=sensor, hints=hints, named=named)
    task = ConversionTask(Path(str(source)), Path(out))
    return convert_task(task, progress, video=video, recording=recording, overwrite=overwrite)


def build_settings(
    settings: ConversionSettings | Mapping[str, object] | None = None,
    *,
    preset: str | Path | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    named: Mapping[str, object] | None = None,
) -> tuple[ConvertConfig, RecordingConfig]:
    """Return the settings of `convert` for videos and for recordings."""
    chosen = as_settings_on_preset(ConversionSettings, preset, settings, named or {}, convert)
    size = None if sensor is None else SensorSize.of(sensor)
    return chosen.of_video(), chosen.of_recording(size, as_settings(Hints, hints))
