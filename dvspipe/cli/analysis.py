"""Recordings compared, measured and shown."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from ..config import build
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
    parse_sensor,
    select_part,
)
from .screen import ShowProgress, make_table, progress, screen, show_name

if TYPE_CHECKING:
    from ..events import Events
    from ..formats import Recording

Mode = Literal["counts", "surface", "decay", "xyt", "raster", "rate"]
PICTURE_OPTIONS = frozenset({"window", "speed", "fps", "scale", "beside"})  # not of charts
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
    from ..comparison import CompareSettings
    from ..comparison import compare as compare_events
    from ..files import claim_output
    from ..formats import open_recording
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
    found = fit(list(read_frames(recording)), read(recording))
    fitted = yaml.safe_dump(found.to_yaml_settings(), sort_keys=False)
    write_text(out, f"# Fitted by dvspipe calibrate to {recording.name}\n{fitted}")
    table = make_table()
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    screen.print(table)
    screen.print(f"{show_name(out)}: use it as dvspipe convert VIDEO -o EVENTS.h5 --preset {show_name(out)}")


def view(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help=".webm or .gif to play, or .png with twelve pictures.")
    ],
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
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Show the events of a recording as a video, a sheet of pictures, or a chart."""
    from ..files import claim_output
    from ..formats import open_recording
    from ..formats.recordings import count_events
    from ..formats.source import Extent
    from ..report import PLOTS, EventSource, PreviewSettings, draw_events, write_preview

    unused = [option for name, option in given_options(context).items() if name in PICTURE_OPTIONS]
    if unused and mode in PLOTS:
        raise ConfigError(f"view: {', '.join(unused)} cannot be combined with the chart --mode {mode}")
    if beside is not None and roi is not None:
        raise ConfigError("view: --beside cannot be combined with --roi, since the video is shown completely")
    given = {"window_us": round(window * 1000), "speed": speed, "fps": fps, "colours": colours, "scale": scale}
    settings = build(PreviewSettings, given if mode in PLOTS else given | {"mode": mode}, "view")
    claim_output(out, overwrite=overwrite)
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, roi)
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
        if mode in PLOTS:
            source = EventSource(part.chunks(progress=shown), part.sensor, extent.events, span_us)
            draw_events(mode, source, out, colours=settings.colours, title=recording.path.name)
        else:
            write_preview(
                part.chunks(), part.sensor, out, settings, span_us=span_us, zero_us=part.first_us, beside=beside,
                progress=partial(show, "pictures"),
            )  # fmt: skip
    name = show_name(recording.path.name)
    screen.print(f"{show_name(out)}: {name}, {'region' if roi else 'sensor'} {part.sensor}")
