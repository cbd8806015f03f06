"""Command `convert`: convert videos and recordings to event files."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..base.errors import ConfigError, DvspipeError, FileError
from ..base.kernels import compiled_s
from .activity import ShownStage
from .options import (
    AsJson,
    EngineOption,
    Hint,
    JobsOption,
    Overwrite,
    Sensor,
    ShardOption,
    choose_engine,
    note_shard,
    parse_hints,
    parse_sensor,
    parse_shard,
)
from .screen import fail_inputs, messages, notes, progress, screen, show_name, skip, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..events import SensorSize
    from ..parallel import Engine, Progress
    from ..recordings.conversion import Conversion, ConversionTask, ConvertConfig, RecordingConfig


PREVIEW_SUFFIX = ".webm"
DEFAULT_SUFFIX = ".h5"


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Videos, GIFs, image folders, recordings, folders of these, or a camera number: 0, 1, ...",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Event file, a folder for several sources, or - for CSV on standard output.",
        ),
    ],
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sensor preset (listed by dvspipe configs), or a YAML file.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Conversion setting. Pixel model: pos_thres=0.15, seed=1, sensor_size=keep (all pixels of the video), "
            "label_noise=true; video: resize=WxH, "
            "crop=WxH+X+Y, fps=HZ, upsample=auto, transfer=linear, timestamps=FILE, time_unit=us; recording: "
            "sort=true, salvage=true; output file: compression=blosc. Repeatable.",
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Start time in the video; default: start of the video."),
    ] = None,
    stop: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Stop time (exclusive); default: end of the video.")
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="SUFFIX", help=f"File suffix (format) in an output folder; default: {DEFAULT_SUFFIX}."),
    ] = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    shard: ShardOption = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write a .webm video of the events next to each event file.")
    ] = False,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert videos to the events of a simulated event camera, or recordings to another format."""
    from ..base.config import build, merge_settings, parse_overrides
    from ..recordings.conversion import ConversionSettings, plan_conversions
    from ..simulator import read_preset

    chosen = parse_overrides(settings or [])
    times = {name: value for name, value in (("start_s", start), ("stop_s", stop)) if value is not None}
    model = merge_settings(read_preset(preset) if preset else {}, chosen)
    found = build(ConversionSettings, merge_settings(model, times), "convert")
    of_video, of_recording = found.of_video(), found.of_recording(parse_sensor(sensor), parse_hints(hint))
    done_by, share = choose_engine(jobs, engine), parse_shard(shard)
    tasks = plan_conversions(sources, out, to or DEFAULT_SUFFIX, shard=share)
    note_shard(share, len(tasks))
    if not tasks:
        return
    if found.timestamps and len(tasks) > 1:
        raise FileError(f"{found.timestamps}: timestamps are for a single video (found {len(tasks)} sources)")
    if str(out) == "-" and (preview or as_json):
        raise ConfigError("-o -: standard output is for events, so it cannot be combined with --preview or --json")
    if to is not None and [task.target for task in tasks] == [out]:
        raise ConfigError(f"{out}: --to: only for an output folder")
    options = {"--preset": preset, "--start": start, "--stop": stop}, {"--sensor": sensor, "--hint": hint}
    of_videos, of_recordings = ([name for name, value in each.items() if value is not None] for each in options)
    _refuse_unused(tasks, of_videos, of_recordings, chosen)
    if preview:
        _check_previews(tasks, overwrite=overwrite)
    convert_all = _Conversions(of_video, of_recording, preview=preview, as_json=as_json, overwrite=overwrite)
    with _explain_interrupt([task.target for task in tasks], overwrite=overwrite):
        if len(tasks) == 1 and share.count == 1:
            convert_all.convert_one(tasks[0])
        else:
            convert_all.convert_many(tasks, done_by)


def _refuse_unused(
    tasks: Sequence[ConversionTask], of_videos: list[str], of_recordings: list[str], settings: Iterable[str]
) -> None:
    """Reject options that apply only to videos, recordings or HDF5 files if there are none."""
    from ..formats import FORMATS
    from ..recordings.conversion import RECORDING_SETTINGS

    if "compression" in settings and not any(task.target.suffix.lower() in FORMATS["hdf5"].suffixes for task in tasks):
        raise ConfigError(f"{tasks[0].target}: --set compression: only for HDF5 files")
    own = {name: f"--set {name}" for name in settings if name != "compression"}
    of_videos = of_videos + [option for name, option in own.items() if name not in RECORDING_SETTINGS]
    of_recordings = of_recordings + [option for name, option in own.items() if name in RECORDING_SETTINGS]
    for unused, for_videos, kind in ((of_videos, True, "videos"), (of_recordings, False, "recordings")):
        # missing sources are reported later
        existing = [task for task in tasks if task.source.exists() or task.camera is not None] if unused else []
        if existing and not any(task.kind.is_video is for_videos for task in existing):
            raise ConfigError(f"{existing[0]}: {', '.join(unused)}: only for {kind}")


@contextmanager
def _explain_interrupt(targets: Sequence[Path], *, overwrite: bool) -> Iterator[None]:
    """After Ctrl-C, print that the same command resumes, if partial output exists."""
    try:
        yield
    except KeyboardInterrupt:
        saved = [path for target in targets for path in (target, target.with_name(f"{target.name}.part"))]
        if not overwrite and any(path.exists() for path in saved):
            messages.print("run the same command again to resume")
        raise


@dataclass(frozen=True)
class _Conversions:
    """Conversion of one or many files, with its settings.

    Args:
        of_video: Settings for videos.
        of_recording: Settings for recordings.
        preview: Whether to write a video of the events, too.
        as_json: Whether to print results as JSON.
        overwrite: Whether to replace existing files.
    """

    of_video: ConvertConfig
    of_recording: RecordingConfig
    preview: bool
    as_json: bool
    overwrite: bool

    def convert_one(self, task: ConversionTask) -> None:
        """Convert one file, and show its progress."""
        from ..parallel import NamedStep
        from ..recordings.conversion import convert_task

        started = time.monotonic() - compiled_s()
        with progress() as show:
            stage = ShownStage(show, "frames" if task.kind.is_video else "events")
            shown: Progress = NamedStep(stage, str(task))
            if task.camera is not None:
                shown = _announce(f"camera {task.camera}: Ctrl-C ends the recording", shown)
            threads = max(1, (os.cpu_count() or 1) // 2)  # other cores decode and compress
            done = convert_task(
                task, shown, video=self.of_video, recording=self.of_recording, overwrite=self.overwrite, threads=threads
            )
            if self.preview:
                _write_preview(done.path, done.sensor)
        self._print(done, time.monotonic() - compiled_s() - started)

    def convert_many(self, tasks: Sequence[ConversionTask], engine: Engine) -> None:
        """Convert files without an output; print failures."""
        from ..recordings.conversion import Review, convert_many, review_tasks

        review = Review(tasks)
        if not self.overwrite:
            review = review_tasks(tasks, video=self.of_video, recording=self.of_recording)
        _note_done_before(len(review.done), len(review.outdated), len(tasks))
        failed = 0
        with progress() as show:
            outcomes = convert_many(
                tasks,
                video=self.of_video,
                recording=self.of_recording,
                engine=engine,
                overwrite=self.overwrite,
                waiting=review.waiting,
                progress=ShownStage(show, "files"),
            )
            for outcome in chain(review.incomplete, outcomes):
                try:
                    done = outcome.result()
                    if self.preview:
                        _write_preview(done.path, done.sensor)
                    self._print(done, None)
                except DvspipeError as error:
                    failed += 1
                    skip(error)
            if self.preview:
                failed += self._write_missing_previews(review.done)
        fail_inputs(failed, len(tasks), "could not be converted completely")

    def _write_missing_previews(self, tasks: Sequence[ConversionTask]) -> int:
        """Write previews that are missing from earlier conversions; return the number of failures."""
        missing = [task.target for task in tasks if not task.target.with_suffix(PREVIEW_SUFFIX).exists()]
        failed = 0
        for target in missing:
            try:
                _write_preview(target, self.of_recording.sensor)
            except DvspipeError as error:
                failed += 1
                skip(error)
        if len(missing) > failed and not notes.quiet:  # not a note: standard output may be JSON
            messages.print(f"missing previews written: {len(missing) - failed:,}")
        return failed

    def _print(self, done: Conversion, seconds: float | None) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(done.to_record()) + "\n")
        else:
            console = messages if str(done.path) == "-" else screen
            console.print(_describe_conversion(done, seconds))
        if done.lost:
            messages.print(Text.assemble(("corrupted: ", "yellow"), done.lost))
        if done.frames and not done.events:
            warn(
                f"{done.path}: no pixel changed by its contrast threshold; lower thresholds give more events: "
                "--set pos_thres=0.1 --set neg_thres=0.1"
            )


def _announce(message: str, show: Progress) -> Progress:
    """Return a progress callback that first prints a message: the source could be opened."""
    waiting = [message]

    def announce_and_show(done: float, total: float) -> None:
        while waiting:
            messages.print(waiting.pop())
        show(done, total)

    return announce_and_show


def _note_done_before(done: int, outdated: int, tasks: int) -> None:
    if not done:
        return
    others = f", {outdated:,} of them with other settings" if outdated else ""
    if outdated or not notes.quiet:  # not a note: standard output may be JSON
        messages.print(f"already converted: {done:,} of {tasks:,}{others}; use --overwrite to convert again")


def _describe_conversion(done: Conversion, seconds: float | None) -> str:
    duration_s = done.duration_us * 1e-6
    origin = f"from {done.frames:,} frames of {done.sensor} in" if done.frames else f"of {done.sensor} in"
    of_video = " of video" if done.frames else ""
    rate = f", {done.events / duration_s:,.0f} per second{of_video}" if duration_s else ""
    took = "" if seconds is None else f", converted in {seconds:.1f} s"
    events = f"{done.events:,} event{'s' * (done.events != 1)}{rate}"
    return f"{show_name(done.path)}: {events}, {origin} {duration_s:.2f} s{took}"


def _check_previews(tasks: Sequence[ConversionTask], *, overwrite: bool) -> None:
    """Check that no preview replaces a source, and that the preview of a single source does not exist."""
    from ..base.files import claim_output

    sources = {task.source.resolve() for task in tasks}
    for task in tasks:
        preview = task.target.with_suffix(PREVIEW_SUFFIX)
        if preview.resolve() in sources:
            raise FileError(f"{preview}: the preview would replace a source; write to another folder")
        if len(tasks) == 1:
            claim_output(preview, overwrite=overwrite)


def _write_preview(path: Path, sensor: SensorSize | None) -> None:
    """Write the preview of an event file next to it; `sensor` is for files without a sensor size."""
    from ..formats import open_recording
    from ..report import view

    view(open_recording(path, sensor=sensor), path.with_suffix(PREVIEW_SUFFIX))
