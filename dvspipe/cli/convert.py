"""Videos and recordings to event files."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ..errors import DvspipeError, FileError, WorkerError
from .screen import (
    EXIT_SOME_FAILED,
    Hinted,
    Overwrite,
    Sensor,
    fail,
    hints_of,
    messages,
    pass_over,
    progress,
    screen,
    sensor_size,
)  # fmt: skip


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Videos, GIFs, image folders, recordings, folders of such, or a camera: 0, 1, ..."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The event file; a folder for several sources.")],
    preset: Annotated[str | None, typer.Option(help="A sensor: clean, noisy, v2e, ..., or a YAML file.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Pixel model, such as pos_thres=0.15.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of mismatch and noise.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second to use instead of the video's times.")] = None,
    timestamps: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file of times to use instead, one line per frame.")
    ] = None,
    time_unit: Annotated[str | None, typer.Option(metavar="s|ms|us|ns", help="Unit of the times in that file.")] = None,
    transfer: Annotated[str, typer.Option(help="The video's curve: srgb, bt709, gamma=x, linear.")] = "srgb",
    crop: Annotated[str | None, typer.Option(metavar="WxH+X+Y", help="Part of the picture to keep.")] = None,
    resize: Annotated[str | None, typer.Option(metavar="WxH", help="Size to scale the picture to.")] = None,
    start: Annotated[float, typer.Option("--start", help="First second of the video to keep.")] = 0.0,
    stop: Annotated[float | None, typer.Option("--stop", help="Second from which on to leave out.")] = None,
    upsample: Annotated[
        str, typer.Option(metavar="off|auto|N", help="Motion-compensated steps between two frames.")
    ] = "off",
    label_noise: Annotated[bool, typer.Option("--label-noise", help="Write which events are noise.")] = False,
    sensor: Sensor = None,
    hint: Hinted = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put a recording's events in order, all in memory.")] = False,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Of a damaged recording, write what is ahead of it.")
    ] = False,
    compression: Annotated[str, typer.Option(metavar="gzip|blosc", help="Of HDF5 files.")] = "gzip",
    to: Annotated[str, typer.Option(metavar="SUFFIX", help="Format of the files in a folder.")] = ".h5",
    jobs: Annotated[int, typer.Option(min=1, help="Processes for several sources.")] = 1,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a .webm of the events.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn videos into events as an event camera would have seen them, or recordings into another format."""
    from ..config import build, merge_settings, parse_overrides
    from ..conversion import ConvertConfig, RecordingConfig, plan_conversions
    from ..simulator import read_preset

    model = merge_settings(read_preset(preset) if preset else {}, parse_overrides(settings or []))
    if seed is not None:
        model["seed"] = seed
    read = {
        "fps": fps, "timestamps": timestamps, "time_unit": time_unit, "transfer": transfer, "crop": crop,
        "resize": resize, "start_s": start, "stop_s": stop,
    }  # fmt: skip
    how = {
        "upsample": int(upsample) if upsample.isdecimal() else upsample, "label_noise": label_noise,
        "compression": compression,
    }  # fmt: skip
    of_video = build(ConvertConfig, {"simulator": model, "video": read, **how}, "convert")
    of_recording = RecordingConfig(sensor_size(sensor), hints_of(hint), sort, salvage, of_video.compression)
    plan = plan_conversions(sources, out, to)
    if timestamps and len(plan) > 1:
        raise FileError(f"{timestamps}: --timestamps gives the times of one video, and there are {len(plan)}")
    if len(plan) == 1:
        _convert_one(plan[0], of_video, of_recording, preview, overwrite)
        return
    waiting = [task for task in plan if overwrite or not task.target.exists()]
    if len(waiting) < len(plan):
        screen.print(f"{len(plan) - len(waiting)} of {len(plan)} are there already; --overwrite makes them anew")
    failed = _convert_many(waiting, of_video, of_recording, preview, jobs, overwrite)
    if failed:
        fail(f"{failed} of {len(waiting)} could not be converted whole", EXIT_SOME_FAILED)


def _convert_one(task: Any, of_video: Any, of_recording: Any, preview: bool, overwrite: bool) -> None:
    from ..conversion import convert_recording, convert_video, is_video
    from ..video import camera_of

    source, target = task.source, task.target
    if (camera := camera_of(source)) is not None:
        messages.print(f"camera {camera}: Ctrl-C ends it")
    began = time.monotonic()
    with progress() as show:
        if is_video(source):
            threads = max(1, (os.cpu_count() or 1) // 2)  # the others decode and compress
            shown = partial(show, "frames")
            done = convert_video(source, target, of_video, overwrite=overwrite, progress=shown, threads=threads)
        else:
            done = convert_recording(
                source, target, of_recording, overwrite=overwrite, progress=partial(show, "events")
            )
    if preview:
        _write_preview(target, overwrite)
    _print_conversion(done, time.monotonic() - began)


def _convert_many(tasks: list[Any], of_video: Any, of_recording: Any, preview: bool, jobs: int, overwrite: bool) -> int:
    """Converts one after another or in processes; names what fails, and returns how many."""
    from ..conversion import convert_many

    failed = 0
    with progress() as show:
        outcomes = convert_many(
            tasks, video=of_video, recording=of_recording, jobs=jobs, overwrite=overwrite,
            progress=partial(show, "files"),
        )  # fmt: skip
        for outcome in outcomes:
            try:
                done = outcome.result()
                if preview:
                    _write_preview(done.path, overwrite=True)
                _print_conversion(done, None)
            except WorkerError:
                raise
            except DvspipeError as error:
                failed += 1
                pass_over(error)
    return failed


def _print_conversion(done: Any, seconds: float | None) -> None:
    duration_s = done.duration_us * 1e-6
    origin = f"from {done.frames} frames of {done.sensor} in" if done.frames else f"of {done.sensor} in"
    rate = f", {done.events / duration_s:,.0f} per second" if duration_s else ""
    took = "" if seconds is None else f", converted in {seconds:.1f} s"
    kind = " of video" if done.frames else ""
    screen.print(f"{done.path}: {done.events:,} events{rate}, {origin} {duration_s:.2f} s{kind}{took}")
    if done.lost:
        messages.print(Text.assemble(("damaged: ", "yellow"), done.lost))


def _write_preview(events: Path, overwrite: bool) -> None:
    from ..files import claim_output
    from ..formats import open_recording
    from ..report import PreviewSettings, write_preview

    target = events.with_suffix(".webm")
    claim_output(target, overwrite=overwrite)
    recording = open_recording(events)
    write_preview(recording.chunks(), recording.sensor, target, PreviewSettings())
