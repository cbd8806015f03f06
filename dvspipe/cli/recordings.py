"""Looking at recordings and changing them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import ConfigError, DvspipeError, EventError
from ..events import SensorSize
from .neuron import view_neuron
from .screen import EXIT_SOME_FAILED, Hinted, Overwrite, Sensor, fail, hints_of, pass_over, screen, sensor_size


def info(
    files: Annotated[list[Path], typer.Argument(help="Recordings.")],
    sensor: Sensor = None,
    hint: Hinted = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read every event, also where the file tells its size.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Say what recordings hold: sensor, events, duration, rates, polarities, settings."""
    from ..formats import describe

    size, hints = sensor_size(sensor), hints_of(hint)
    found, failed = [], 0
    for file in files:
        try:
            found.append(describe(file, sensor=size, hints=hints, whole=whole))
        except DvspipeError as error:
            if len(files) == 1:
                raise
            failed += 1
            pass_over(error)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    for one in [] if as_json else found:
        table = Table(title=Text(one.file), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_row("format", one.format)
        table.add_row("sensor", f"{one.width} x {one.height} ({one.sensor_source})")
        table.add_row("events", f"{one.events:,}")
        if one.t_first_us is not None and one.t_last_us is not None:
            table.add_row("time", f"{one.t_first_us:,} to {one.t_last_us:,} us ({one.duration_us * 1e-6:.6g} s)")
        if one.rate_hz is not None:
            table.add_row("rate", f"{one.rate_hz:,.0f} events/s, {one.rate_hz / one.width / one.height:.3g} per pixel")
        if one.on_fraction is not None:
            table.add_row("polarity", f"{one.on_fraction:.1%} ON, {1 - one.on_fraction:.1%} OFF")
        for key, value in one.attributes.items():
            if key not in ("width", "height", "format"):
                table.add_row(Text(key), Text(json.dumps(value) if isinstance(value, dict | list) else str(value)))
        screen.print(table)
    if failed:
        fail(f"{failed} of {len(files)} recordings could not be read", EXIT_SOME_FAILED)


def check(
    files: Annotated[list[Path], typer.Argument(help="Recordings.")],
    sensor: Sensor = None,
    hint: Hinted = None,
    gap: Annotated[float | None, typer.Option(min=0.001, help="A longer time without events is a gap, in ms.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """Find everything that is wrong or odd with recordings; exit code 1 when something is wrong."""
    from ..checking import CheckSettings, check_recording
    from ..config import build

    size, hints = sensor_size(sensor), hints_of(hint)
    settings = build(CheckSettings, {"gap_us": None if gap is None else round(gap * 1000)}, "check")
    reports, failed = [], 0
    for file in files:
        try:
            reports.append(check_recording(file, sensor=size, hints=hints, settings=settings))
        except DvspipeError as error:
            if len(files) == 1:
                raise
            failed += 1
            pass_over(error)
    if as_json:
        sys.stdout.write(json.dumps([report.to_record() for report in reports], indent=1) + "\n")
    for report in [] if as_json else reports:
        verdict = "wrong" if report.wrong else "odd" if report.findings else "nothing wrong"
        screen.print(
            f"{report.file}: {verdict}; {report.format}, {report.width}x{report.height}, {report.events:,} events"
        )
        for finding in report.findings:
            screen.print(f"  {finding.severity}: {finding.message}")
    wrong = sum(report.wrong for report in reports)
    if wrong or failed:
        fail(f"{wrong + failed} of {len(files)} recordings are wrong", EXIT_SOME_FAILED)


def cut(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; its suffix is its format.")],
    start: Annotated[float, typer.Option(min=0, help="Seconds after the first event to begin at.")] = 0.0,
    stop: Annotated[float | None, typer.Option(min=0, help="Seconds after the first event to end before.")] = None,
    roi: Annotated[str | None, typer.Option(metavar="WxH+X+Y", help="Part of the sensor to keep.")] = None,
    sensor: Sensor = None,
    hint: Hinted = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep a part of a recording in time or in space; the times stay as they are."""
    from ..formats import open_recording, write

    recording = open_recording(file, sensor=sensor_size(sensor), hints=hints_of(hint))
    extent = recording.extent()
    first = extent.first_us if extent else next((int(part.t[0]) for part in recording.chunks() if len(part)), None)
    first = first or 0
    parts = recording.chunks(first + round(start * 1e6), None if stop is None else first + round(stop * 1e6))
    size = recording.sensor
    if roi:
        left, top, size = _region(roi)
        parts = (part.crop(left, top, size) for part in parts)
    count = write(out, parts, size, source=file.name, overwrite=overwrite)
    screen.print(f"{out}: {count:,} events of {size}")


def _region(text: str) -> tuple[int, int, SensorSize]:
    """Left, top and size of WIDTHxHEIGHT+LEFT+TOP."""
    match = re.fullmatch(r"(\d+x\d+)\+(\d+)\+(\d+)", text)
    if match is None:
        raise ConfigError(f"--roi {text!r} is not of the form WIDTHxHEIGHT+LEFT+TOP, such as 128x128+10+20")
    return int(match[2]), int(match[3]), SensorSize.parse(match[1])


def merge(
    files: Annotated[list[Path], typer.Argument(help="Recordings of one sensor.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; its suffix is its format.")],
    one_after_another: Annotated[
        bool, typer.Option("--one-after-another", help="Move each behind the one before, instead of by their times.")
    ] = False,
    gap: Annotated[float, typer.Option(min=0, help="Milliseconds between one and the next.")] = 1.0,
    sensor: Sensor = None,
    hint: Hinted = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one recording of several, by their times or one after another."""
    from ..events import join
    from ..events import merge as merge_events
    from ..formats import open_recording, write

    size, hints = sensor_size(sensor), hints_of(hint)
    recordings = [open_recording(file, sensor=size, hints=hints) for file in files]
    for file, recording in zip(files, recordings, strict=True):
        if recording.sensor != recordings[0].sensor:
            raise EventError(
                f"{file}: comes from a sensor of {recording.sensor}, {files[0]} from one of {recordings[0].sensor}; "
                "expected the same"
            )
    streams = [recording.chunks() for recording in recordings]
    parts = join(streams, round(gap * 1000)) if one_after_another else merge_events(streams)
    count = write(out, parts, recordings[0].sensor, source=", ".join(file.name for file in files), overwrite=overwrite)
    screen.print(f"{out}: {count:,} events of {len(files)} recordings, {recordings[0].sensor}")


def filter_(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; its suffix is its format.")],
    refractory: Annotated[
        float | None, typer.Option(min=0.001, help="Drop what a pixel fires within so many ms of its last event.")
    ] = None,
    activity: Annotated[
        float | None, typer.Option(min=0.001, help="Drop events without one of a neighbour within so many ms before.")
    ] = None,
    hot_pixels: Annotated[bool, typer.Option("--hot-pixels", help="Drop pixels far busier than all around.")] = False,
    sensor: Sensor = None,
    hint: Hinted = None,
    overwrite: Overwrite = False,
) -> None:
    """Drop noise: hot pixels, repeats within a refractory period, events that no neighbour supports."""
    from ..config import build
    from ..filters import FilterConfig, FilterCounts, count_pixels, filter_stream, find_hot_pixels
    from ..formats import open_recording, write

    if not (refractory or activity or hot_pixels):
        raise ConfigError("filter: give at least one of --refractory, --activity and --hot-pixels")
    periods = {"refractory_us": refractory, "activity_us": activity}
    periods_us = {name: None if ms is None else max(1, round(ms * 1000)) for name, ms in periods.items()}
    config = build(FilterConfig, periods_us, "filter")
    recording = open_recording(file, sensor=sensor_size(sensor), hints=hints_of(hint))
    hot = find_hot_pixels(count_pixels(recording.chunks(), recording.sensor)) if hot_pixels else None
    told = [FilterCounts()]
    kept = filter_stream(recording.chunks(), config, hot=hot, callback=told.append)
    settings = {"filter": config.model_dump() | {"hot_pixels": hot_pixels}}
    write(out, kept, recording.sensor, source=file.name, settings=settings, overwrite=overwrite)
    counts = told[-1]
    pixels = f" ({int(hot.sum())} pixels)" if hot is not None else ""
    screen.print(
        f"{out}: {counts.kept:,} of {counts.events:,} events; dropped {counts.hot_pixels:,} of hot pixels{pixels}, "
        f"{counts.refractory:,} within the refractory period, {counts.background:,} without support"
    )


def compare(
    a: Annotated[Path, typer.Argument(help="The recording to compare with, such as a real one.")],
    b: Annotated[Path, typer.Argument(help="The recording that is judged, such as a simulated one.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="An .html page with pictures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as an object.")] = False,
    window: Annotated[float, typer.Option(min=0.1, max=1e6, help="Length of a count map, in ms.")] = 40.0,
    sensor: Sensor = None,
    hint: Hinted = None,
    overwrite: Overwrite = False,
) -> None:
    """Hold two recordings of one scene against each other: rates, counts, times."""
    from ..comparison import CompareSettings
    from ..comparison import compare as compare_events
    from ..config import build
    from ..files import claim_output
    from ..formats import read
    from ..report import figures, write_comparison_page

    if out:
        claim_output(out, overwrite=overwrite)
    size, hints = sensor_size(sensor), hints_of(hint)
    settings = build(CompareSettings, {"window_us": round(window * 1000)}, "compare")
    compared = compare_events(read(a, sensor=size, hints=hints), read(b, sensor=size, hints=hints), settings)
    if as_json:
        sys.stdout.write(json.dumps(compared.to_record(), allow_nan=False) + "\n")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), title=Text(f"A {a}\nB {b}"), title_justify="left")
        for heading in ("figure", "value", "meaning"):
            table.add_column(heading, overflow="fold")
        for row in figures(compared):
            table.add_row(*map(Text, row))
        screen.print(table)
    if out:
        write_comparison_page(compared, (str(a), str(b)), out)


def calibrate(
    recording: Annotated[Path, typer.Argument(help="An .aedat4 file with the frames and events of one sensor.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The sensor's YAML file, for convert --preset.")],
    overwrite: Overwrite = False,
) -> None:
    """Fit the pixel model to a recording that holds frames and events."""
    import yaml

    from ..files import claim_output, write_beside
    from ..formats import read, read_frames
    from ..simulator import calibrate as fit

    claim_output(out, overwrite=overwrite)
    found = fit(list(read_frames(recording)), read(recording))
    with write_beside(out) as beside:
        fitted = yaml.safe_dump(found.to_yaml_settings(), sort_keys=False)
        beside.write_text(f"# Fitted by dvspipe calibrate to {recording.name}\n{fitted}", encoding="utf-8")
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in asdict(found).items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    screen.print(table)
    screen.print(f"{out}: use it as dvspipe convert VIDEO -o EVENTS.h5 --preset {out}")


def view(
    out: Annotated[Path, typer.Option("--out", "-o", help="A .webm or .gif to play, or a .png.")],
    file: Annotated[Path | None, typer.Argument(help="A recording.")] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="Pictures of counts, surface or decay (twelve in a .png); or an xyt, raster or rate chart as .png."
        ),
    ] = "counts",
    window: Annotated[float, typer.Option(min=0.1, max=1e6, help="Time shown in one picture, in ms.")] = 33.333,
    speed: Annotated[float, typer.Option(min=0.001, max=1000, help="Times faster than real time.")] = 1.0,
    fps: Annotated[float | None, typer.Option(min=1, max=120, help="Pictures per second of playing.")] = None,
    colours: Annotated[
        str, typer.Option(help="light, dark or colour-blind; viridis, inferno or grey for ON and OFF alike.")
    ] = "light",
    beside: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="The video that the events came from, shown beside them.")
    ] = None,
    neuron: Annotated[bool, typer.Option("--neuron", help="Instead: how LIF neurons answer a spike train.")] = False,
    tau_ms: Annotated[
        list[float] | None, typer.Option(help="Of --neuron: a membrane time constant; several times for several.")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Of --neuron: current of an input spike, in thresholds; also several.")
    ] = None,
    spikes: Annotated[
        str | None, typer.Option(metavar="MS,MS,...", help="Of --neuron: times of the input spikes.")
    ] = None,
    sensor: Sensor = None,
    hint: Hinted = None,
    overwrite: Overwrite = False,
) -> None:
    """Show events as pictures, ON and OFF in two colours; or how a neuron works."""
    if neuron == (file is not None):
        raise ConfigError("view: expected either a recording or --neuron")
    if not neuron and (tau_ms or weight or spikes):
        raise ConfigError("view: --tau-ms, --weight and --spikes are for --neuron")
    if file is None:
        return view_neuron(out, tau_ms, weight, spikes, overwrite=overwrite)
    from ..config import build
    from ..files import claim_output
    from ..formats import describe, open_recording
    from ..report import PLOTS, PreviewSettings, draw_events, write_preview

    if beside is not None and mode in PLOTS:
        raise ConfigError(f"view: --beside goes with pictures of events, not with --mode {mode}")
    shown = {"window_us": round(window * 1000), "speed": speed, "fps": fps, "colours": colours}
    settings = build(PreviewSettings, shown if mode in PLOTS else shown | {"mode": mode}, "view")
    claim_output(out, overwrite=overwrite)
    size, hints = sensor_size(sensor), hints_of(hint)
    recording = open_recording(file, sensor=size, hints=hints)
    span, count = None, 0
    if out.suffix.lower() == ".png":
        found = describe(file, sensor=size, hints=hints)
        span, count = (found.t_first_us or 0, found.t_last_us or 0), found.events
    if mode in PLOTS:
        draw_events(
            mode, recording.chunks(), recording.sensor, out, count=count, span_us=span or (0, 0),
            colours=colours, title=recording.path.name,
        )  # fmt: skip
    else:
        write_preview(recording.chunks(), recording.sensor, out, settings, span_us=span, beside=beside)
    screen.print(f"{out}: {recording.path.name}, sensor {recording.sensor}")
    return None
