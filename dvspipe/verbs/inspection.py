"""Verbs that measure recordings: `calibrate`, `check` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from ..base.config import as_settings
from ..base.files import check_output
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike, RecordingLike
from ..parallel import Processes, Progress, ignore_progress
from ..recordings.config import CheckKeywords, CheckSettings, CompareKeywords, CompareSettings

if TYPE_CHECKING:
    from ..recordings.checking import CheckReport
    from ..recordings.comparison import Comparison
    from ..simulator import Calibration


def calibrate(
    recording: str | Path,
    out: str | Path | None = None,
    *,
    log_offset: float | None = None,
    refine: bool = True,
    overwrite: bool = False,
) -> Calibration:
    """Fit the pixel model to a recording with frames and events.

    For frames and events in memory, see `dvspipe.simulator.calibrate_frames`.

    Args:
        recording: AEDAT 4 file with frames and events of the same sensor.
        out: Sensor preset to write, a YAML file for dvspipe convert --preset. In Python also None: not written.
        log_offset: Epsilon in L = ln(I + epsilon), if known. None: fitted, too.
        refine: Refine the thresholds until a simulation of the frames has as many ON and OFF events as the recording.
        overwrite: Replace an existing file.

    Raises:
        DataError: If there are too few frames, events or pixels, as in `calibrate_frames`.
        FileError: If the suffix is wrong, or the output exists or cannot be written.
        DvspipeError: If the file cannot be read.

    Example:
        >>> calibrate("davis.aedat4", "mine.yaml").pos_thres  # doctest: +SKIP
        0.21
    """
    from ..formats import read, read_frames
    from ..simulator import calibrate_frames

    preset = check_output(out, "a sensor preset", ".yaml", ".yml", overwrite=overwrite)
    frames = list(read_frames(recording))
    calibration = calibrate_frames(frames, read(recording), log_offset=log_offset, refine=refine)

    if preset is not None:
        calibration.write(preset, comment=f"Fitted to {Path(recording).name}")
    return calibration


class CheckArguments(CheckKeywords, total=False):
    """Arguments of `check` that are given by name."""

    sensor: SensorSizeLike | None
    hints: HintsLike
    settings: CheckSettings | Mapping[str, object] | None
    jobs: int
    progress: Progress | None


@overload
def check(  # type: ignore[overload-overlap]  # a text is also a sequence of texts
    recordings: RecordingLike, **named: Unpack[CheckArguments]
) -> CheckReport: ...
@overload
def check(recordings: Sequence[str | Path], **named: Unpack[CheckArguments]) -> tuple[CheckReport, ...]: ...
def check(
    recordings: RecordingLike | Sequence[str | Path],
    *,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    settings: CheckSettings | Mapping[str, object] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    **named: Unpack[CheckKeywords],
) -> CheckReport | tuple[CheckReport, ...]:
    """Find errors and oddities of recordings, in one pass and in bounded memory.

    Args:
        recordings: Recordings, or folders of recordings. In Python also a single recording or events.
        sensor: Sensor size, for files that do not store it. None: the smallest known sensor that contains all events;
            then only events outside the largest known sensor are out of range.
        hints: Other missing metadata: chip, columns, time unit, topic.
        settings: Thresholds of odd findings; also a mapping.
        jobs: Number of worker processes.
        progress: Called with the amount done and the total: of a single recording, or of recordings.
        named: Settings of `CheckSettings` by name.

    Returns:
        The report on a single recording; for a list, a report on each recording.

    Raises:
        FileError: If the file does not exist or cannot be read.
        FormatError: If the format is unknown, or the file cannot be opened.
        EventError: If `sensor` differs from the sensor in the file, or the sensor has more than MAX_PIXELS pixels.

    Example:
        >>> from dvspipe import Events
        >>> report = check(Events([0, 10, 60_010], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7"), gap_us=50_000)
        >>> [(finding.kind, finding.count) for finding in report.findings]
        [('gaps', 1)]
    """
    from ..recordings.checking import CheckOptions, check_many, check_recording
    from ..recordings.conversion import find_recordings

    thresholds = as_settings(CheckSettings, settings, named, check)
    size = None if sensor is None else SensorSize.of(sensor)
    options = CheckOptions(sensor=size, hints=as_settings(Hints, hints), settings=thresholds)
    if isinstance(recordings, str) or not isinstance(recordings, Sequence):
        return check_recording(recordings, options, progress)

    files = find_recordings([Path(recording) for recording in recordings])
    outcomes = check_many(files, options, engine=Processes(jobs), progress=progress)
    return tuple(outcome.result() for outcome in list(outcomes))


def compare(
    a: RecordingLike,
    b: RecordingLike,
    settings: CompareSettings | Mapping[str, object] | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    progress: Progress = ignore_progress,
    **named: Unpack[CompareKeywords],
) -> Comparison:
    """Compare two recordings of the same scene: event rates, event counts per pixel, and event times.

    Args:
        a: Reference recording, such as a real one; may be empty.
        b: Recording to compare with it, such as a simulated one, with the same sensor size and clock; may be empty.
        settings: Length of windows; also a mapping.
        out: HTML page to write, with charts. None: not written.
        overwrite: Replace an existing file.
        sensor: Sensor size, for recordings that do not store it.
        hints: Other metadata that the recordings do not store.
        progress: Called with the amount done, reading and comparing, and the total.
        named: Settings of `CompareSettings` by name.

    Raises:
        FileError: If the suffix is not .html or .htm, or the page exists or cannot be written.
        EventError: If the sensors differ in size or have more than 2^23 pixels, or the recordings are so far apart in
            time that they cannot share a clock.

    Example:
        >>> from dvspipe import Events
        >>> a = Events([0, 1000], [3, 3], [1, 1], [True, False], "12x7")
        >>> b = Events([20, 1020], [3, 3], [1, 1], [True, False], "12x7")
        >>> comparison = compare(a, b)
        >>> comparison.ratios.events, comparison.voxels.f1, comparison.nearest_to_a.median_us
        (1.0, 1.0, 20.0)
    """
    from ..formats import open_recording
    from ..recordings.comparison import compare_recordings
    from ..report import PAGE_SUFFIXES, write_comparison_page

    page = check_output(out, "a page", *PAGE_SUFFIXES, overwrite=overwrite)
    chosen = as_settings(CompareSettings, settings, named, compare)
    recording_a = open_recording(a, sensor=sensor, hints=hints)
    recording_b = open_recording(b, sensor=sensor, hints=hints)
    compared = compare_recordings(recording_a, recording_b, chosen, progress)

    if page is not None:
        write_comparison_page(compared, (str(recording_a.path), str(recording_b.path)), page)
    return compared
