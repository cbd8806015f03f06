"""Recordings compared, measured and shown."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..errors import ConfigError
from .options import (
    AsJson,
    Hint,
    Overwrite,
    Roi,
    Sensor,
    Start,
    Stop,
    parse_hints,
    parse_region,
    parse_sensor,
)
from .screen import ShowProgress, make_table, notes, progress, screen, show_name

if TYPE_CHECKING:
    from ..events import Events
    from ..formats import Recording

Mode = Literal["counts", "surface", "decay", "xyt", "raster", "rate"]
VIEWER_SUFFIX = ".rrd"
NOT_IN_VIEWER = frozenset({"--speed", "--beside", "--set speed", "--set fps"})
NOT_OF_CHARTS = NOT_IN_VIEWER | {"--window", "--set window_us", "--set scale"}
CALIBRATED = {
    "pos_thres": "ON threshold in log intensity",
    "neg_thres": "OFF threshold in log intensity",
    "sigma_thres": "standard deviation of the thresholds from pixel to pixel",
    "leak_rate_hz": "leak events per pixel and second",
    "shot_noise_rate_hz": "noise events per pixel and second in the dark",
    "log_offset": "epsilon of ln(intensity + epsilon)",
    "transfer": "transfer curve of these frames: of a video, not of a sensor, so only a comment in the file",
    "refined": "whether simulations adjusted the thresholds to the number of events",
    "correlation": "of brightness changes with events, 1 is best",
    "simulated_correlation": "of simulated with recorded events, 1 is best",
    "rate_ratio": "simulated events / recorded events, 1 is best",
    "on_off_ratio": "simulated ON / OFF, divided by recorded ON / OFF, 1 is best",
    "pixels": "pixels whose thresholds were fitted",
    "intervals": "frame intervals",
}
"""What each value of a calibration is."""
Colours = Literal["light", "dark", "colour-blind", "viridis", "inferno", "grey"]


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The reference, such as a real recording.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The recording to compare with it, such as a simulated one.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="HTML page with pictures.")] = None,
    as_json: AsJson = False,
    window: Annotated[float, typer.Option(min=0.1, max=1e6, metavar="MS", help="Length of a count map.")] = 40.0,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two recordings of one scene: rates, counts, times."""
    from ..config import build
    from ..files import claim_output
    from ..formats import open_recording
    from ..recordings.comparison import CompareSettings
    from ..recordings.comparison import compare as compare_events
    from ..report import check_page_name, describe_comparison, write_comparison_page

    if out:
        check_page_name(out)
        claim_output(out, overwrite=overwrite)
    size, hints = parse_sensor(sensor), parse_hints(hint)
    settings = build(CompareSettings, {"window_us": round(window * 1000)}, "compare")
    with progress() as show:
        events_a, events_b = (_read(open_recording(file, sensor=size, hints=hints), show) for file in (a, b))
        compared = compare_events(events_a, events_b, settings, partial(show, "windows"))
    if as_json:
        sys.stdout.write(json.dumps(compared.to_record(), allow_nan=False) + "\n")
    else:
        table = make_table("figure", "value", "meaning")
        table.title, table.title_justify = Text(f"A {show_name(a)}\nB {show_name(b)}"), "left"
        for row in describe_comparison(compared):
            table.add_row(*map(Text, row))
        screen.print(table)
    if out:
        write_comparison_page(compared, (str(a), str(b)), out)
        if not as_json:
            screen.print(f"page: {show_name(out)}")


def _read(recording: Recording, show: ShowProgress) -> Events:
    from ..events import concatenate

    return concatenate(recording.chunks(progress=partial(show, "events")), recording.sensor)


def calibrate(
    recording: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="An .aedat4 file with the frames and events of one sensor.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="YAML file of the sensor, for convert --preset.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """Fit the pixel model to a recording that holds frames and events."""
    from ..files import claim_output
    from ..formats import read, read_frames
    from ..simulator import calibrate as fit

    claim_output(out, overwrite=overwrite)
    with progress():
        found = fit(list(read_frames(recording)), read(recording))
    found.write(out, comment=f"Fitted by dvspipe calibrate to {recording.name}")
    table = make_table()
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value), CALIBRATED[name])
    screen.print(table)
    screen.print(f"{show_name(out)}: use it as dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}")


def view(
    file: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=".webm, .mp4 or .gif to play, .png with twelve pictures or a chart, or .rrd for the rerun viewer; "
            "default: open the rerun viewer.",
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="Pictures of counts (default), surface or decay; or a chart, as .png: xyt, raster or rate."),
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.1, max=1e6, metavar="MS", help="Time shown in one picture; default: 33.333.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, max=1000, metavar="FACTOR", help="Playing speed; default: 1, real time.")
    ] = None,
    colours: Annotated[
        Colours | None, typer.Option(help="Two colours for ON and OFF, or a colour map for both; default: light.")
    ] = None,
    start: Start = 0.0,
    stop: Stop = None,
    roi: Roi = None,
    beside: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="The source video, shown beside the events.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the recording below the output of infer, for the rerun viewer."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of the pictures: fps=HZ (pictures per second of playing time), scale=N (pixels of a "
            "picture per pixel of the sensor), skip_pauses=true, ... Repeatable.",
        ),
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the events of a recording as a video, a sheet of pictures, or a chart, or in the rerun viewer."""
    from ..config import build, parse_overrides
    from ..files import claim_output
    from ..formats import open_recording
    from ..recordings.editing import select_part
    from ..report import PLOTS, Predictions, PreviewSettings, write_view

    chosen = parse_overrides(settings or [])
    in_viewer = out is None or out.suffix.lower() == VIEWER_SUFFIX
    options = {"--window": window, "--speed": speed, "--beside": beside}
    given = [name for name, value in options.items() if value is not None] + [f"--set {name}" for name in chosen]
    _check_output(out, given, mode, predictions, in_viewer=in_viewer)
    if beside is not None and roi is not None:
        raise ConfigError("view: --beside cannot be combined with --roi, since the video is shown completely")
    window_us = None if window is None else round(window * 1000)
    typed = {"window_us": window_us, "speed": speed, "colours": colours, "mode": None if mode in PLOTS else mode}
    shown_as = build(
        PreviewSettings, chosen | {name: value for name, value in typed.items() if value is not None}, "view"
    )
    if out is not None:
        claim_output(out, overwrite=overwrite)
    _refuse_video(file)
    beside_them = None if predictions is None else Predictions.read(predictions)
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, parse_region(roi))
    chart = mode if mode in PLOTS else None
    with progress() as show:
        write_view(
            part,
            out,
            shown_as,
            chart=chart,
            title=recording.path.name,
            beside=beside,
            predictions=beside_them,
            extent=part.extent(partial(show, "events")),
            progress=partial(show, "pictures" if chart is None else "events"),
        )
    if mode == "rate":
        _note_frames(recording)
    name = show_name(recording.path.name)
    where = "rerun viewer" if out is None else show_name(out)
    screen.print(f"{where}: {name}, {'region' if roi else 'sensor'} {part.sensor}")


def _note_frames(recording: Recording) -> None:
    """Print why the event rate of a recording that was made from a video without upsampling rises with each frame."""
    settings = recording.attributes.get("settings")
    if isinstance(settings, dict) and settings.get("upsample") == "off":
        notes.print(
            "The rate rises and falls with each frame of the video, because all pixels begin to change at a frame; "
            "dvspipe convert --set upsample=auto divides the frames in time."
        )


def _refuse_video(file: Path) -> None:
    """Refuse a video, with the command that makes a recording and its preview from it."""
    from ..recordings.conversion import is_video
    from ..video.names import camera_of

    if file.exists() and camera_of(file) is None and is_video(file):
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5")), "--preview"])
        raise ConfigError(f"{file}: is a video, not a recording of events; to see its events: {command}")


def _check_output(
    out: Path | None, given: Sequence[str], mode: Mode | None, predictions: Path | None, *, in_viewer: bool
) -> None:
    """Check that the options fit the output: the rerun viewer, a chart or pictures."""
    is_chart = mode in ("xyt", "raster", "rate")
    if out is None and importlib.util.find_spec("rerun") is None:
        raise ConfigError("view: no output; use -o FILE, or install the rerun viewer: pip install 'dvspipe[rerun]'")
    if predictions is not None and not in_viewer:
        raise ConfigError(f"view: --predictions is for the rerun viewer; use it with -o FILE{VIEWER_SUFFIX}")
    if in_viewer and is_chart:
        raise ConfigError("view: --mode is that of pictures in the rerun viewer: counts, surface or decay")
    unused = [option for option in given if option in (NOT_IN_VIEWER if in_viewer else NOT_OF_CHARTS)]
    if unused and (in_viewer or is_chart):
        what = "rerun viewer" if in_viewer else f"chart --mode {mode}"
        raise ConfigError(f"view: {', '.join(unused)} cannot be combined with the {what}")
