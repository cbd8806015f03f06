"""Recordings compared, measured and shown."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..errors import ConfigError, EventError
from .options import (
    AsJson,
    Hint,
    Overwrite,
    Roi,
    Sensor,
    Start,
    Stop,
    given_options,
    parse_hints,
    parse_region,
    parse_sensor,
)
from .screen import ShowProgress, make_table, notes, progress, screen, show_name

if TYPE_CHECKING:
    from ..events import Events
    from ..formats import Recording

Mode = Literal["counts", "surface", "decay", "xyt", "raster", "rate"]
PICTURE_OPTIONS = frozenset({"window", "speed", "fps", "scale", "beside"})  # not of charts
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
    import yaml

    from ..files import claim_output, write_text
    from ..formats import read, read_frames
    from ..simulator import calibrate as fit

    claim_output(out, overwrite=overwrite)
    with progress(polled=False):
        found = fit(list(read_frames(recording)), read(recording))
    fitted = yaml.safe_dump(found.to_yaml_settings(), sort_keys=False)
    curve = f"# Its frames have the transfer curve {found.transfer}, which belongs to a video, not to the sensor."
    write_text(out, f"# Fitted by dvspipe calibrate to {recording.name}\n{curve}\n{fitted}")
    table = make_table()
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value), CALIBRATED[name])
    screen.print(table)
    screen.print(f"{show_name(out)}: use it as dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}")


def view(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=".webm, .mp4 or .gif to play, or .png with twelve pictures."),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Pictures of counts, surface or decay; or a chart, as .png.")] = "counts",
    window: Annotated[float, typer.Option(min=0.1, max=1e6, metavar="MS", help="Time shown in one picture.")] = 33.333,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1000, metavar="FACTOR", help="Playing speed; 1 is real time.")
    ] = 1.0,
    fps: Annotated[
        float | None, typer.Option(min=1, max=120, metavar="HZ", help="Pictures per second of playing time.")
    ] = None,
    colours: Annotated[Colours, typer.Option(help="Two colours for ON and OFF, or a colour map for both.")] = "light",
    start: Start = 0.0,
    stop: Stop = None,
    roi: Roi = None,
    scale: Annotated[
        int | None, typer.Option(min=1, max=32, metavar="N", help="Pixels of a picture per pixel of the sensor.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="The source video, shown beside the events.")
    ] = None,
    to: Annotated[
        Literal["rerun"] | None, typer.Option(help="Write .rrd for the rerun viewer: events, rates and predictions.")
    ] = None,
    spawn: Annotated[bool, typer.Option("--spawn", help="Start the rerun viewer instead of writing a file.")] = False,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the recording below the output of infer, for the rerun viewer."),
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the events of a recording as a video, a sheet of pictures, or a chart, or in the rerun viewer."""
    from ..config import build
    from ..files import claim_output
    from ..formats import open_recording
    from ..formats.recordings import count_events
    from ..formats.source import Extent
    from ..recordings.editing import select_part
    from ..report import PLOTS, PlotSource, Predictions, PreviewSettings, draw_events, write_preview, write_rerun

    in_viewer = to == "rerun" or spawn
    _check_viewer(context, out, spawn=spawn, in_viewer=in_viewer)
    unused = [option for name, option in given_options(context).items() if name in PICTURE_OPTIONS]
    if unused and mode in PLOTS:
        raise ConfigError(f"view: {', '.join(unused)} cannot be combined with the chart --mode {mode}")
    if beside is not None and roi is not None:
        raise ConfigError("view: --beside cannot be combined with --roi, since the video is shown completely")
    given = {"window_us": round(window * 1000), "speed": speed, "fps": fps, "colours": colours, "scale": scale}
    settings = build(PreviewSettings, given if mode in PLOTS else given | {"mode": mode}, "view")
    if out is not None:
        claim_output(out, overwrite=overwrite)
    _refuse_video(file)
    beside_them = None if predictions is None else Predictions.read(predictions)
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, parse_region(roi))
    complete = not start and stop is None and roi is None
    with progress() as show:
        shown = partial(show, "events")
        extent = recording.extent() if complete else None
        if extent is None:
            count, _, first_us, last_us = count_events(part.chunks(progress=shown))
            extent = Extent(count, first_us, last_us)
        if not (complete or extent.events):
            raise EventError(f"{file}: this part has no events")
        span_us = extent.first_us or 0, extent.last_us or 0
        source = PlotSource(part.chunks(progress=None if in_viewer else shown), part.sensor, extent.events, span_us)
        if in_viewer or out is None:
            pictures = partial(show, "pictures")
            write_rerun(source, out, settings, zero_us=part.first_us, predictions=beside_them, progress=pictures)
        elif mode in PLOTS:
            draw_events(mode, source, out, colours=settings.colours, title=recording.path.name)
        else:
            write_preview(
                part.chunks(), part.sensor, out, settings, span_us=span_us, zero_us=part.first_us, beside=beside,
                progress=partial(show, "pictures"),
            )  # fmt: skip
    if mode == "rate" and _is_without_upsampling(recording):
        notes.print(
            "The rate rises and falls with each frame of the video, because all pixels begin to change at a frame; "
            "dvspipe convert --set upsample=auto divides the frames in time."
        )
    name = show_name(recording.path.name)
    where = "rerun viewer" if out is None else show_name(out)
    screen.print(f"{where}: {name}, {'region' if roi else 'sensor'} {part.sensor}")


def _is_without_upsampling(recording: Recording) -> bool:
    """Return whether a recording says that it was made from a video, without steps between its frames."""
    settings = recording.attributes.get("settings")
    return isinstance(settings, dict) and settings.get("upsample") == "off"


def _refuse_video(file: Path) -> None:
    """Refuse a video, with the command that makes a recording and its preview from it."""
    from ..recordings.conversion import is_video
    from ..video.names import camera_of

    if file.exists() and camera_of(file) is None and is_video(file):
        command = shlex.join(["dvspipe", "convert", str(file), "-o", str(file.with_suffix(".h5")), "--preview"])
        raise ConfigError(f"{file}: is a video, not a recording of events; to see its events: {command}")


def _check_viewer(context: typer.Context, out: Path | None, *, spawn: bool, in_viewer: bool) -> None:
    """Check that options of the rerun viewer are given together, and no others."""
    given = given_options(context)
    if out is None and not spawn:
        raise ConfigError("view: no output; use -o FILE, or --spawn for the rerun viewer")
    if out is not None and spawn:
        raise ConfigError("view: --spawn shows the recording in the rerun viewer, so it cannot be combined with --out")
    if not in_viewer and ("predictions" in given or (out is not None and out.suffix.lower() == ".rrd")):
        option = given.get("predictions", "--out")
        raise ConfigError(f"view: {option} is for the rerun viewer here; use it with --to rerun")
    unused = [option for name, option in given.items() if name in ("speed", "fps", "beside")]
    if in_viewer and unused:
        raise ConfigError(f"view: {', '.join(unused)} cannot be combined with the rerun viewer")
    if in_viewer and given.get("mode") and context.params["mode"] in ("xyt", "raster", "rate"):
        raise ConfigError("view: --mode is that of pictures in the rerun viewer: counts, surface or decay")
