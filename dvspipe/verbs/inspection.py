"""Verbs that show and measure recordings: `view`, `calibrate`, `check` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from ..base.config import as_settings
from ..base.errors import Brief, ConfigError, EventError
from ..base.files import check_output, claim_output, require_suffix
from ..events import RegionLike, SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike, RecordingLike
from ..parallel import NamedStep, Processes, Progress, ignore_progress
from ..recordings.config import CheckKeywords, CheckSettings, CompareKeywords, CompareSettings
from ..report.config import PREVIEW_SUFFIXES, PlotKind, PreviewKeywords, PreviewSettings
from .editing import cut

if TYPE_CHECKING:
    from ..formats.source import Extent
    from ..recordings.checking import CheckReport
    from ..recordings.comparison import Comparison
    from ..recordings.editing import RecordingPart
    from ..simulator import Calibration

UNUSED_BY_CHARTS = frozenset({"speed", "fps", "beside", "window_us", "mode", "scale"})


@dataclass(frozen=True, repr=False)
class View(Brief):
    """What `view` has shown.

    Attributes:
        out: File.
        part: Part of the recording.
        extent: Number of its events, and the first and last time.
    """

    out: Path
    part: RecordingPart
    extent: Extent


def view(
    recording: RecordingLike,
    out: str | Path,
    settings: PreviewSettings | Mapping[str, object] | None = None,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    region: RegionLike | None = None,
    chart: PlotKind | None = None,
    title: str | None = None,
    beside: str | Path | None = None,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
    **named: Unpack[PreviewKeywords],
) -> View:
    """Show a recording as a video, a sheet of pictures or a chart.

    Args:
        recording: Recording. In Python also events.
        out: Video (.webm, .mp4, .gif), sheet of twelve pictures or chart (.png).
        settings: Settings of the pictures; a chart uses only the colours.
        start_s: Start time in seconds after the first event.
        stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
        region: Region of the sensor, such as 128x128+20+10. None: complete sensor.
        chart: Chart to draw instead of pictures (.png): cloud in space and time, raster plot, or event rate.
        title: Title above a chart. None: name of the recording.
        beside: Source video to show next to the events.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that the recording does not store.
        overwrite: Replace an existing file.
        progress: Called with the number of steps done, reading and showing, and their total.
        named: Settings of `PreviewSettings` by name.

    Raises:
        ConfigError: If an argument does not apply to the output.
        EventError: If a part has no events. A complete recording without events gives a blank picture.
        FileError: If the suffix is wrong, or the file exists or cannot be written.

    Example:
        >>> view("recording.h5", "events.webm", speed=0.5)  # doctest: +SKIP
    """
    from ..recordings.editing import RecordingPart
    from ..report import show_part

    # Refuse what does not apply to the output before the recording is read.
    chosen = as_settings(PreviewSettings, settings, named, view)
    path = Path(out)
    others = {"chart": chart, "beside": beside}
    _check_use(path, {*chosen.model_fields_set, *(name for name, value in others.items() if value is not None)})
    if beside is not None and region is not None:
        raise ConfigError("view: beside shows the complete video; it cannot be combined with region")

    claim_output(path, overwrite=overwrite)

    part = cut.edit(recording, start_s, stop_s, region, sensor=sensor, hints=hints)
    assert isinstance(part, RecordingPart)
    extent = part.extent(NamedStep(progress, "events", 0, 2))
    if not (part.is_complete or extent.events):
        raise EventError(f"{part.recording.path}: no events in this part")

    show_part(
        part,
        path,
        chosen,
        chart=chart,
        title=part.recording.path.name if title is None else title,
        beside=None if beside is None else Path(beside),
        extent=extent,
        progress=NamedStep(progress, "pictures" if chart is None else "events", 1, 2),
    )
    return View(path, part, extent)


def _check_use(out: Path, given: set[str]) -> None:
    """Check the suffix of the output, and that arguments with these names apply to it."""
    if "chart" not in given:
        require_suffix(out, "a view of events", *PREVIEW_SUFFIXES)
        return

    require_suffix(out, "a chart", ".png")
    if wrong := sorted(given & UNUSED_BY_CHARTS):
        raise ConfigError(f"view: {', '.join(wrong)}: cannot be combined with the chart (found output {out})")


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
