"""Videos and recordings to event files."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..config import build, merge_settings, parse_overrides
from ..errors import DvspipeError, FileError
from .options import Hint, Jobs, Overwrite, Sensor, parse_hints, parse_sensor
from .screen import EXIT_SOME_FAILED, fail, messages, progress, screen, skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..conversion import Conversion, ConversionTask, ConvertConfig, RecordingConfig


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE", help="Videos, GIFs, image folders, recordings, folders of them, or a camera: 0, 1, ..."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="Event file; for several sources, a folder.")
    ],
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sensor preset (dvspipe configs), or a YAML file.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the pixel model: pos_thres=0.15. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of threshold mismatch and noise.")] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="HZ", help="Frames per second; default: the times in the video.")
    ] = None,
    timestamps: Annotated[
        str | None, typer.Option(metavar="FILE", help="Text file with the time of each frame, one per line.")
    ] = None,
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None, typer.Option(help="Unit of the times in that file.")
    ] = None,
    transfer: Annotated[
        str, typer.Option(metavar="CURVE", help="Transfer curve of the video: srgb, bt709, gamma=X or linear.")
    ] = "srgb",
    crop: Annotated[str | None, typer.Option(metavar="WxH+X+Y", help="Region of the picture to keep.")] = None,
    resize: Annotated[str | None, typer.Option(metavar="WxH", help="Size to scale the picture to.")] = None,
    start: Annotated[float, typer.Option(metavar="SECONDS", help="Start time in the video.")] = 0.0,
    stop: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop time (exclusive); default: end of the video.")
    ] = None,
    upsample: Annotated[
        str, typer.Option(metavar="off|auto|N", help="Motion-compensated steps between two frames.")
    ] = "off",
    label_noise: Annotated[
        bool, typer.Option("--label-noise", help="Write which events are noise, as /events/noise.")
    ] = False,
    sensor: Sensor = None,
    hint: Hint = None,
    sort: Annotated[
        bool, typer.Option("--sort", help="Sort the events of a recording by time; needs memory for all of them.")
    ] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Keep the events before the place where a recording is corrupted.")
    ] = False,
    compression: Annotated[Literal["gzip", "blosc"], typer.Option(help="Compression of HDF5 files.")] = "gzip",
    to: Annotated[str, typer.Option(metavar="SUFFIX", help="Format of the files in an output folder.")] = ".h5",
    jobs: Jobs = 1,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a .webm video of the events.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert videos to events as an event camera would have seen them, or recordings to another format."""
    from ..conversion import ConvertConfig, RecordingConfig, plan_conversions
    from ..simulator import SimulatorConfig, read_preset

    model = merge_settings(read_preset(preset) if preset else {}, parse_overrides(settings or []))
    if seed is not None:
        model = merge_settings(model, {"seed": seed})
    read = {
        "fps": fps, "timestamps": timestamps, "time_unit": time_unit, "transfer": transfer, "crop": crop,
        "resize": resize, "start_s": start, "stop_s": stop,
    }  # fmt: skip
    how = {
        "upsample": int(upsample) if upsample.isdecimal() else upsample, "label_noise": label_noise,
        "compression": compression,
    }  # fmt: skip
    of_video = build(
        ConvertConfig, {"simulator": build(SimulatorConfig, model, "convert"), "video": read, **how}, "convert"
    )
    of_recording = RecordingConfig(parse_sensor(sensor), parse_hints(hint), sort, salvage, of_video.compression)
    tasks = plan_conversions(sources, out, to)
    if timestamps and len(tasks) > 1:
        raise FileError(f"{timestamps}: --timestamps gives the times of one video (found {len(tasks)} sources)")
    if len(tasks) == 1:
        _convert_one(tasks[0], of_video, of_recording, preview=preview, overwrite=overwrite)
    else:
        _convert_many(tasks, of_video, of_recording, preview=preview, jobs=jobs, overwrite=overwrite)


def _convert_one(
    task: ConversionTask, of_video: ConvertConfig, of_recording: RecordingConfig, *, preview: bool, overwrite: bool
) -> None:
    from ..conversion import convert_task, is_video
    from ..video import camera_of

    if (camera := camera_of(task.source)) is not None:
        messages.print(f"camera {camera}: Ctrl-C ends the recording")
    started = time.monotonic()
    with progress() as show:
        shown = partial(show, "frames" if is_video(task.source) else "events")
        threads = max(1, (os.cpu_count() or 1) // 2)  # the others decode and compress
        done = convert_task(task, shown, video=of_video, recording=of_recording, overwrite=overwrite, threads=threads)
    if preview:
        _write_preview(task.target, overwrite=overwrite)
    _print_conversion(done, time.monotonic() - started)


def _convert_many(
    tasks: Sequence[ConversionTask],
    of_video: ConvertConfig,
    of_recording: RecordingConfig,
    *,
    preview: bool,
    jobs: int,
    overwrite: bool,
) -> None:
    """Convert what does not exist yet; print what fails, and exit with 1 if anything did."""
    from ..conversion import convert_many

    waiting = [task for task in tasks if overwrite or not task.target.exists()]
    if len(waiting) < len(tasks):
        screen.print(f"{len(tasks) - len(waiting)} of {len(tasks)} already exist; --overwrite replaces them")
    failed = 0
    with progress() as show:
        outcomes = convert_many(
            waiting, video=of_video, recording=of_recording, jobs=jobs, overwrite=overwrite,
            progress=partial(show, "files"),
        )  # fmt: skip
        for outcome in outcomes:
            try:
                done = outcome.result()
                if preview:
                    _write_preview(done.path, overwrite=True)
                _print_conversion(done, None)
            except DvspipeError as error:
                failed += 1
                skip(error)
    if failed:
        fail(f"{failed} of {len(waiting)} could not be converted completely", EXIT_SOME_FAILED)


def _print_conversion(done: Conversion, seconds: float | None) -> None:
    duration_s = done.duration_us * 1e-6
    origin = f"from {done.frames} frames of {done.sensor} in" if done.frames else f"of {done.sensor} in"
    rate = f", {done.events / duration_s:,.0f} per second" if duration_s else ""
    took = "" if seconds is None else f", converted in {seconds:.1f} s"
    kind = " of video" if done.frames else ""
    screen.print(f"{done.path}: {done.events:,} events{rate}, {origin} {duration_s:.2f} s{kind}{took}")
    if done.lost:
        messages.print(Text.assemble(("corrupted: ", "yellow"), done.lost))


def _write_preview(events: Path, *, overwrite: bool) -> None:
    from ..files import claim_output
    from ..formats import open_recording
    from ..report import PreviewSettings, write_preview

    target = events.with_suffix(".webm")
    claim_output(target, overwrite=overwrite)
    recording = open_recording(events)
    write_preview(recording.chunks(), recording.sensor, target, PreviewSettings())
