"""Commands `compare`, `calibrate` and `view`: compare, measure and show recordings."""

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

from ..base.errors import ConfigError
from .activity import ShowProgress
from .options_typer import (
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
from .screen import TextTable, notes, progress, screen, show_name, warn

if TYPE_CHECKING:
    from ..events import Events
    from ..formats import Recording

Mode = Literal["counts", "surface", "decay", "xyt", "raster", "rate"]
VIEWER_SUFFIX = ".rrd"
UNUSED_BY_VIEWER = frozenset({"--speed", "--beside", "--set speed", "--set fps"})
UNUSED_BY_CHARTS = UNUSED_BY_VIEWER | {"--window", "--set window_us", "--set scale"}
CALIBRATED = {
    "pos_thres": "ON threshold in log intensity",
    "neg_thres": "OFF threshold in log intensity",
    "sigma_thres": "standard deviation of thresholds between pixels",
    "leak_rate_hz": "leak events per pixel and second",
    "shot_noise_rate_hz": "shot noise events per pixel and second in darkness",
    "log_offset": "epsilon of ln(intensity + epsilon)",
    "transfer": "transfer curve of these frames; a property of the video, so only a comment in the file",
    "refined": "whether simulations adjusted the thresholds to match the number of events",
    "correlation": "correlation of brightness changes and events; best: 1",
    "simulated_correlation": "correlation of simulated and recorded events; best: 1",
    "rate_ratio": "simulated / recorded events; best: 1",
    "on_off_ratio": "simulated ON/OFF ratio / recorded ON/OFF ratio; best: 1",
    "pixels": "number of pixels with fitted thresholds",
    "intervals": "number of frame intervals",
}
"""Description of each value of a calibration."""
Colours = Literal["light", "dark", "colour-blind", "viridis", "inferno", "grey"]


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Reference recording, such as a real one.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Recording to compare with A, such as a simulated one.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="HTML page to write, with charts; default: print only."),
    ] = None,
    as_json: AsJson = False,
    window: Annotated[
        float, typer.Option(min=0.1, max=1e6, metavar="MS", help="Window length of event-count maps.")
    ] = 40.0,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare two recordings of the same scene: event rates, event counts per pixel, and event times."""
    from ..base.config import build
    from ..base.files import claim_output
    from ..formats import open_recording
    from ..recordings.comparison import CompareSettings
    from ..recordings.comparison import compare as compare_events
    from ..recordings.editing import find_common_sensor
    from ..report import check_page_name, describe_comparison, write_comparison_page

    if out:
        check_page_name(out)
        claim_output(out, overwrite=overwrite)
    size, hints = parse_sensor(sensor), parse_hints(hint)
    settings = build(CompareSettings, {"window_us": round(window * 1000)}, "compare")
    opened = [open_recording(file, sensor=size, hints=hints) for file in (a, b)]
    find_common_sensor(opened)
    with progress() as show:
        events_a, events_b = (_read(each, show) for each in opened)
        compared = compare_events(events_a, events_b, settings, partial(show, "windows"))
    if as_json:
        sys.stdout.write(json.dumps(compared.to_record(), allow_nan=False) + "\n")
    else:
        names = TextTable()
        names.add_row("A", a)
        names.add_row("B", b)
        screen.print(names)

        table = TextTable("figure", "value", "meaning", optional=("meaning",))
        for row in describe_comparison(compared):
            table.add_row(*row)
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
        Path,
        typer.Argument(metavar="RECORDING", help="AEDAT4 file (.aedat4) with frames and events of the same sensor."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Sensor preset to write, a YAML file for dvspipe convert --preset."
        ),
    ],
    overwrite: Overwrite = False,
) -> None:
    """Fit the pixel model to a recording with frames and events, and write it as a sensor preset."""
    from ..base.files import claim_output
    from ..formats import read, read_frames
    from ..simulator import calibrate as fit

    claim_output(out, overwrite=overwrite)
    with progress():
        found = fit(list(read_frames(recording)), read(recording))
    found.write(out, comment=f"Fitted by dvspipe calibrate to {recording.name}")
    table = TextTable()
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value), CALIBRATED[name])
    screen.print(table)
    screen.print(
        f"{show_name(out)}: sensor preset; use it with dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}"
    )


def view(
    file: Annotated[Path, typer.Argument(metavar="RECORDING", help="Recording to show.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Output file: video (.webm, .mp4, .gif), sheet of twelve pictures or chart (.png), or rerun recording "
            "(.rrd); default: open the rerun viewer.",
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="Pictures: counts, surface or decay; charts (.png only): xyt, raster or rate; default: counts."
        ),
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.1, max=1e6, metavar="MS", help="Time window of a picture; default: 33.333.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, max=1000, metavar="FACTOR", help="Playback speed; default: 1 (real time)."),
    ] = None,
    colours: Annotated[
        Colours | None, typer.Option(help="Colour pair for ON and OFF, or colour map; default: light.")
    ] = None,
    start: Start = 0.0,
    stop: Stop = None,
    roi: Roi = None,
    beside: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="Source video to show next to the events.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Predictions to show in the rerun viewer: the recording's folder in the output of dvspipe infer.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Display setting: fps=HZ (pictures per second of playback), scale=N (picture pixels per sensor "
            "pixel), skip_pauses=true, ... Repeatable.",
        ),
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Show a recording as a video, a sheet of pictures or a chart, or in the rerun viewer."""
    from ..base.config import build, parse_overrides
    from ..base.files import claim_output
    from ..formats import open_recording
    from ..recordings.editing import select_part
    from ..report import PLOTS, Predictions, PreviewSettings, view

    chosen = parse_overrides(settings or [])
    in_viewer = out is None or out.suffix.lower() == VIEWER_SUFFIX
    options = {"--window": window, "--speed": speed, "--beside": beside}
    used_options = [name for name, value in options.items() if value is not None] + [f"--set {name}" for name in chosen]
    _check_output(out, used_options, mode, predictions, in_viewer=in_viewer)
    if beside is not None and roi is not None:
        raise ConfigError("view: --beside cannot be combined with --roi; the complete video is shown")
    window_us = None if window is None else round(window * 1000)
    values = {"window_us": window_us, "speed": speed, "colours": colours, "mode": None if mode in PLOTS else mode}
    preview = build(
        PreviewSettings, chosen | {name: value for name, value in values.items() if value is not None}, "view"
    )
    if out is not None:
        claim_output(out, overwrite=overwrite)
    _refuse_video(file)
    shown_predictions = None if predictions is None else Predictions.read(predictions)
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, parse_region(roi))
    chart = mode if mode in PLOTS else None
    with progress() as show:
        extent = part.extent(partial(show, "events"))
        view(
            part,
            out,
            preview,
            chart=chart,
            title=recording.path.name,
            beside=beside,
            predictions=shown_predictions,
            extent=extent,
            progress=partial(show, "pictures" if chart is None else "events"),
        )
    if not extent.events:
        warn(f"{file}: has no events to show")
    elif mode == "rate":
        _note_frames(recording)
    name = show_name(recording.path.name)
    where = "rerun viewer" if out is None else show_name(out)
    screen.print(f"{where}: {name}, {'region' if roi else 'sensor'} {part.sensor}")


def _note_frames(recording: Recording) -> None:
    """Explain changes of the event rate at each frame, for recordings converted without upsampling.

    A pixel that reverses at a frame has no events until it has crossed a complete threshold. With textures that move by
    several pixels per frame, the rate just after a frame is a quarter of the rate before it.
    """
    settings = recording.attributes.get("settings")
    if isinstance(settings, dict) and settings.get("upsample") == "off":
        notes.print(
            "The event rate can drop after each frame of the video and rise until the next one, because many pixels "
            "reverse at a frame; dvspipe convert --set upsample=auto interpolates fast motion."
        )


def _refuse_video(file: Path) -> None:
    """Reject videos; the error contains the command to convert the video and write a preview."""
    from ..recordings.conversion import is_video
    from ..video.names import camera_of

    if file.exists() and camera_of(file) is None and is_video(file):
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5")), "--preview"])
        raise ConfigError(f"{file}: is a video, not an event recording; convert it first: {command}")


def _check_output(
    out: Path | None, used_options: Sequence[str], mode: Mode | None, predictions: Path | None, *, in_viewer: bool
) -> None:
    """Check that the options apply to the output: the rerun viewer, a chart or pictures."""
    is_chart = mode in ("xyt", "raster", "rate")
    if out is None and importlib.util.find_spec("rerun") is None:
        raise ConfigError(
            "view: no output file; use -o FILE, or install the rerun viewer: pip install 'dvspipe[rerun]'"
        )
    if predictions is not None and not in_viewer:
        raise ConfigError(f"view: --predictions: only for the rerun viewer; use -o FILE{VIEWER_SUFFIX}")
    if in_viewer and is_chart:
        raise ConfigError("view: --mode: charts are not for the rerun viewer (expected counts, surface or decay)")
    unused = [option for option in used_options if option in (UNUSED_BY_VIEWER if in_viewer else UNUSED_BY_CHARTS)]
    if unused and (in_viewer or is_chart):
        what = "rerun viewer" if in_viewer else f"chart --mode {mode}"
        raise ConfigError(f"view: {', '.join(unused)} cannot be combined with the {what}")
