"""Recordings: what they hold, what is wrong with them, parts of them, several as one, without noise."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from ..config import build
from ..errors import ConfigError, DvspipeError, EventError
from .options import (
    AsJson,
    Hint,
    OutFile,
    Overwrite,
    Roi,
    Sensor,
    Start,
    Stop,
    parse_hints,
    parse_sensor,
    select_part,
    to_us,
)
from .screen import EXIT_SOME_FAILED, describe_error, fail, make_table, screen, skip

if TYPE_CHECKING:
    from ..formats import RecordingInfo

Recording = Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording.")]
Recordings = Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings.")]
Found = TypeVar("Found")


def info(
    files: Recordings,
    sensor: Sensor = None,
    hint: Hint = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read every event, even if the file says how many there are.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what recordings hold: sensor, events, duration, rates, polarities, settings."""
    from ..formats import describe

    size, hints = parse_sensor(sensor), parse_hints(hint)
    found, failed = _for_each(files, lambda file: describe(file, sensor=size, hints=hints, read_all=whole))
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    else:
        for one in found:
            _print_description(one)
    if failed:
        fail(f"{failed} of {len(files)} recordings could not be read", EXIT_SOME_FAILED)


def _for_each(files: list[Path], work: Callable[[Path], Found]) -> tuple[list[Found], int]:
    """Return the results for the files, and how many failed; the error of a single file is raised."""
    found, failed = [], 0
    for file in files:
        try:
            found.append(work(file))
        except DvspipeError as error:
            if len(files) == 1:
                raise
            failed += 1
            skip(error)
    return found, failed


def _print_description(found: RecordingInfo) -> None:
    table = make_table()
    table.title, table.title_justify = Text(found.file), "left"
    table.add_row("format", found.format)
    table.add_row("sensor", f"{found.width} x {found.height} ({found.sensor_source})")
    table.add_row("events", f"{found.events:,}")
    if found.t_first_us is not None and found.t_last_us is not None:
        table.add_row("time", f"{found.t_first_us:,} to {found.t_last_us:,} us ({found.duration_us * 1e-6:.6g} s)")
    if found.rate_hz is not None:
        per_pixel = found.rate_hz / found.width / found.height
        table.add_row("rate", f"{found.rate_hz:,.0f} events/s, {per_pixel:.3g} per pixel")
    if found.on_fraction is not None:
        table.add_row("polarity", f"{found.on_fraction:.1%} ON, {1 - found.on_fraction:.1%} OFF")
    for key, value in found.attributes.items():
        if key not in ("width", "height", "format"):
            table.add_row(Text(key), Text(json.dumps(value) if isinstance(value, dict | list) else str(value)))
    screen.print(table)


def check(
    files: Recordings,
    sensor: Sensor = None,
    hint: Hint = None,
    gap: Annotated[
        float | None, typer.Option(min=0.001, metavar="MS", help="Report a longer time without events as a gap.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong or unusual in recordings; exit code 1 if something is wrong."""
    from ..checking import CheckSettings, check_recording

    size, hints = parse_sensor(sensor), parse_hints(hint)
    settings = build(CheckSettings, {"gap_us": to_us(gap)}, "check")
    reports, failed = _for_each(files, lambda file: check_recording(file, sensor=size, hints=hints, settings=settings))
    if as_json:
        sys.stdout.write(json.dumps([report.to_record() for report in reports], indent=1) + "\n")
    for report in [] if as_json else reports:
        verdict = "wrong" if report.wrong else "unusual" if report.findings else "nothing wrong"
        screen.print(
            f"{report.file}: {verdict}; {report.format}, {report.width}x{report.height}, {report.events:,} events"
        )
        for finding in report.findings:
            screen.print(f"  {finding.severity}: {describe_error(DvspipeError(finding.message, *finding.remedies))}")
    wrong = sum(report.wrong for report in reports)
    if wrong or failed:
        fail(f"{wrong + failed} of {len(files)} recordings are wrong", EXIT_SOME_FAILED)


def cut(
    file: Recording,
    out: OutFile,
    start: Start = 0.0,
    stop: Stop = None,
    roi: Roi = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep a part of a recording in time or in space; the times of events do not change."""
    from ..formats import open_recording, write

    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, roi)
    count = write(out, part.chunks(), part.sensor, source=file.name, overwrite=overwrite)
    screen.print(f"{out}: {count:,} events of {part.sensor}")


def merge(
    files: Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings of one sensor.")],
    out: OutFile,
    one_after_another: Annotated[
        bool, typer.Option("--one-after-another", help="Shift each recording to start after the previous one.")
    ] = False,
    gap: Annotated[float, typer.Option(min=0, metavar="MS", help="Time between one and the next.")] = 1.0,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Merge several recordings into one, by their times or one after another."""
    from ..events import join
    from ..events import merge as merge_events
    from ..formats import open_recording, write

    size, hints = parse_sensor(sensor), parse_hints(hint)
    recordings = [open_recording(file, sensor=size, hints=hints) for file in files]
    for file, recording in zip(files, recordings, strict=True):
        if recording.sensor != recordings[0].sensor:
            raise EventError(
                f"{file}: has a sensor of {recording.sensor}, expected {recordings[0].sensor} as {files[0]}"
            )
    streams = [recording.chunks() for recording in recordings]
    parts = join(streams, round(gap * 1000)) if one_after_another else merge_events(streams)
    count = write(out, parts, recordings[0].sensor, source=", ".join(file.name for file in files), overwrite=overwrite)
    screen.print(f"{out}: {count:,} events of {len(files)} recordings, {recordings[0].sensor}")


def filter_(
    file: Recording,
    out: OutFile,
    refractory: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="MS", help="Drop events within this time after the pixel's previous event."),
    ] = None,
    activity: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="MS", help="Drop events without an event of a neighbour within this time."),
    ] = None,
    hot_pixels: Annotated[
        bool, typer.Option("--hot-pixels", help="Drop pixels that are far busier than those around them.")
    ] = False,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove noise: hot pixels, events within a refractory period, events that no neighbour supports."""
    from ..filters import FilterConfig, FilterCounts, count_pixels, filter_stream, find_hot_pixels
    from ..formats import open_recording, write

    if not (refractory or activity or hot_pixels):
        raise ConfigError("filter: no filter given; use --refractory, --activity or --hot-pixels")
    periods_us = {"refractory_us": to_us(refractory), "activity_us": to_us(activity)}
    config = build(FilterConfig, periods_us, "filter")
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    hot = find_hot_pixels(count_pixels(recording.chunks(), recording.sensor)) if hot_pixels else None
    counts = [FilterCounts()]
    kept = filter_stream(recording.chunks(), config, hot=hot, callback=counts.append)
    settings = {"filter": config.model_dump() | {"hot_pixels": hot_pixels}}
    write(out, kept, recording.sensor, source=file.name, settings=settings, overwrite=overwrite)
    total = counts[-1]
    pixels = f" ({int(hot.sum())} pixels)" if hot is not None else ""
    screen.print(
        f"{out}: {total.kept:,} of {total.events:,} events; dropped {total.hot_pixels:,} of hot pixels{pixels}, "
        f"{total.refractory:,} within the refractory period, {total.background:,} without support"
    )
