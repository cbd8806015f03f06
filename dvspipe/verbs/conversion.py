"""Verb that converts videos and recordings to event files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from ..base.config import as_settings
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike
from ..parallel import Processes, Progress
from ..recordings.config import ConversionKeywords, ConversionSettings, ConvertConfig, RecordingConfig
from ..simulator import as_settings_on_preset

if TYPE_CHECKING:
    from ..recordings.conversion import Conversion


class ConvertArguments(ConversionKeywords, total=False):
    """Arguments of `convert` that are given by name."""

    preset: str | Path | None
    suffix: str
    jobs: int
    sensor: SensorSizeLike | None
    hints: HintsLike
    overwrite: bool
    progress: Progress | None


@overload
def convert(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    sources: str | Path | int,
    out: str | Path,
    settings: ConversionSettings | Mapping[str, object] | None = None,
    **named: Unpack[ConvertArguments],
) -> Conversion: ...
@overload
def convert(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: ConversionSettings | Mapping[str, object] | None = None,
    **named: Unpack[ConvertArguments],
) -> tuple[Conversion, ...]: ...
def convert(
    sources: str | Path | int | Sequence[str | Path],
    out: str | Path,
    settings: ConversionSettings | Mapping[str, object] | None = None,
    *,
    preset: str | Path | None = None,
    suffix: str = ".h5",
    jobs: int = 1,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    overwrite: bool = False,
    progress: Progress | None = None,
    **named: Unpack[ConversionKeywords],
) -> Conversion | tuple[Conversion, ...]:
    """Convert videos to the events of a simulated event camera, or recordings to another format.

    Args:
        sources: Videos, GIFs, image folders, recordings, folders of these, or a camera number: 0, 1, ... In Python
            also a single file.
        out: Event file, or a folder for several sources.
        settings: Settings of the pixel model, the video, the recording and the file.
        preset: Sensor preset (listed by dvspipe configs), or a YAML file; given settings take precedence.
        suffix: Format (file suffix) in an output folder.
        jobs: Number of worker processes.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that a recording does not store.
        overwrite: Replace existing files; otherwise, a single one is an error, and several are skipped.
        progress: Called with the amount done and the total: frames or events of a single source, or files.
        named: Settings by name.

    Returns:
        The conversion of a single source; for a list, the conversions done now.

    Raises:
        DvspipeError: As in `convert_video` and `convert_recording`; the first error, after all other sources.

    Example:
        >>> convert("clip.mp4", "events.h5", preset="noisy", pos_thres=0.15).events  # doctest: +SKIP
        182930
        >>> len(convert(["videos"], "events", jobs=2))  # doctest: +SKIP
        120
    """
    from ..recordings.conversion import ConversionTask, convert_many, convert_task, plan_conversions

    video, recording = build_settings(settings, preset=preset, sensor=sensor, hints=hints, named=named)
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        task = ConversionTask(Path(str(sources)), Path(out))
        return convert_task(task, progress, video=video, recording=recording, overwrite=overwrite)

    tasks = plan_conversions(sources, out, suffix)
    outcomes = convert_many(
        tasks, video=video, recording=recording, engine=Processes(jobs), overwrite=overwrite, progress=progress
    )
    return tuple(outcome.result() for outcome in list(outcomes))


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
