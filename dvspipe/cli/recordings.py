"""Recordings: what they hold, what is wrong with them, parts of them, several as one, without noise."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from ..errors import ConfigError, DvspipeError, EventError, count_noun
from .options import (
    AsJson,
    EngineName,
    Hint,
    JobsOption,
    Overwrite,
    RayAddress,
    Roi,
    Sensor,
    ShardOption,
    Start,
    Stop,
    choose_engine,
    note_shard,
    parse_hints,
    parse_sensor,
    parse_shard,
    select_part,
    to_us,
)
from .screen import (
    EXIT_SOME_FAILED,
    ShowProgress,
    describe_error,
    fail,
    make_table,
    messages,
    progress,
    screen,
    show_name,
    show_share,
    skip,
    warn,
)

if TYPE_CHECKING:
    from ..events import Events, SensorSize
    from ..formats import Recording, RecordingInfo
    from ..parallel import Outcome, Progress

    Change = Callable[[Sequence[Recording], Sequence[Progress | None]], Iterator[Events]]

RecordingArgument = Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording; - is standard input.")]
RecordingsArgument = Annotated[list[Path], typer.Argument(metavar="RECORDING", help="Recordings; - is standard input.")]
Output = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="Output file; its suffix chooses the format; - is CSV on stdout."),
]
Found = TypeVar("Found")
SHARE = 1000  # of a recording in a bar for several


def info(
    files: RecordingsArgument,
    sensor: Sensor = None,
    hint: Hint = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read every event, even if the file says how many there are.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what recordings hold: sensor, events, duration, rates, polarities, settings."""
    from ..formats import describe
    from ..parallel import map_items

    size, hints = parse_sensor(sensor), parse_hints(hint)
    with progress() as show:

        def describe_one(file: Path, _: Progress) -> RecordingInfo:
            return describe(file, sensor=size, hints=hints, read_all=whole, progress=partial(show, str(file)))

        found = _collect(map_items(describe_one, files), len(files))
    failed = len(files) - len(found)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    else:
        for one in found:
            _print_description(one)
    if failed:
        fail(f"{failed} of {len(files)} recordings could not be read", EXIT_SOME_FAILED)


def _collect(outcomes: Iterable[Outcome[Path, Found]], files: int) -> list[Found]:
    """Return the results for files and print the errors; that of a single file is raised."""
    found = []
    for outcome in outcomes:
        if outcome.error is None:
            found.append(outcome.result())
        elif files == 1:
            raise outcome.error
        else:
            skip(outcome.error)
    return found


def _print_description(found: RecordingInfo) -> None:
    table = make_table()
    table.title, table.title_justify = Text(show_name(found.file)), "left"
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
            for name, text in _list_values(key, value):
                table.add_row(Text(name), Text(text))
    screen.print(table)


def _list_values(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield a line per value; those of nested settings have dotted names, and settings without a value are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _list_values(f"{name}.{key}", inner)
    elif value is not None:
        yield name, json.dumps(value) if isinstance(value, list) else str(value)


def check(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="RECORDING", help="Recordings, or folders of them; - is standard input."),
    ],
    sensor: Sensor = None,
    hint: Hint = None,
    gap: Annotated[
        float | None, typer.Option(min=0.001, metavar="MS", help="Report a longer time without events as a gap.")
    ] = None,
    jobs: JobsOption = 1,
    engine: EngineName = "local",
    ray_address: RayAddress = None,
    shard: ShardOption = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong or unusual in recordings; exit code 1 if something is wrong."""
    from ..config import build
    from ..recordings.checking import CheckOptions, CheckSettings, check_many
    from ..recordings.conversion import find_recordings

    settings = build(CheckSettings, {"gap_us": to_us(gap)}, "check")
    options = CheckOptions(parse_sensor(sensor), parse_hints(hint), settings)
    done_by, share = choose_engine(context, jobs, engine, ray_address), parse_shard(shard)
    files = find_recordings(files, shard=share)
    note_shard(share, len(files))
    with progress() as show:
        outcomes = check_many(files, options, engine=done_by, progress=show_share(show, len(files)))
        reports = _collect(outcomes, len(files))
    failed = len(files) - len(reports)
    if as_json:
        sys.stdout.write(json.dumps([report.to_record() for report in reports], indent=1) + "\n")
    for report in [] if as_json else reports:
        verdict = "wrong" if report.wrong else "unusual" if report.findings else "nothing wrong"
        screen.print(
            f"{show_name(report.file)}: {verdict}; {report.format}, {report.width}x{report.height}, "
            f"{report.events:,} events"
        )
        for finding in report.findings:
            screen.print(f"  {finding.severity}: {describe_error(DvspipeError(finding.message, *finding.remedies))}")
    wrong = sum(report.wrong for report in reports)
    if wrong or failed:
        unread = f", {failed} could not be read" if failed else ""
        fail(f"{wrong} of {len(files)} recordings are wrong{unread}", EXIT_SOME_FAILED)


def cut(
    file: RecordingArgument,
    out: Output,
    start: Start = 0.0,
    stop: Stop = None,
    roi: Roi = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep a part of a recording in time or in space; the times of events do not change."""
    from ..formats import open_recording

    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, roi)

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        return part.chunks(recordings[0], shown[0])

    count = _write(out, [recording], keep, size=part.sensor, overwrite=overwrite)
    _say(out, f"{count_noun(count, 'event')} of {part.sensor}")
    if not count:
        warn(f"{show_name(out)}: has no events: {file} has none in this part; look at it with dvspipe view {file}")


def _write(
    out: Path, recordings: Sequence[Recording], change: Change, *, size: SensorSize, overwrite: bool, **settings: object
) -> int:
    """Write what a function makes of recordings, with their labels of noise and their settings.

    Args:
        out: The file to write.
        recordings: Its sources; labels are kept if all have them, settings if all have the same.
        change: Returns the events to write, given recordings and their progress. It does not depend on polarities,
            because it is also called with the labels in their place.
        size: The sensor of these events.
        overwrite: Whether an existing file is replaced.
        settings: What to add to the settings.
    """
    from ..formats import write

    labels = [recording.noise for recording in recordings]
    labelled = [noise for noise in labels if noise is not None]
    first, *others = (recording.attributes.get("settings") for recording in recordings)
    kept = first if isinstance(first, dict) and all(other == first for other in others) else {}
    with progress() as show:
        return write(
            out,
            change(recordings, _shares(show, len(recordings))),
            size,
            source=", ".join(recording.path.name for recording in recordings),
            settings=kept | settings,
            overwrite=overwrite,
            noise=change(labelled, [None] * len(labels)) if len(labelled) == len(labels) else None,
        )


def _shares(show: ShowProgress, count: int) -> list[Progress]:
    """Return a progress for each of several recordings, which have equal shares of one bar."""
    shares = [0.0] * count

    def report(number: int, done: int, total: int) -> None:
        shares[number] = done / total if total else 0.0
        show("events", round(SHARE * sum(shares)), SHARE * count)

    return [partial(report, number) for number in range(count)]


def _say(out: Path, text: str) -> None:
    """Print what was written, on standard error if standard output has the events."""
    from ..formats import STANDARD

    (messages if out == STANDARD else screen).print(f"{show_name(out)}: {text}")


def merge(
    files: RecordingsArgument,
    out: Output,
    one_after_another: Annotated[
        bool, typer.Option("--one-after-another", help="Shift each recording to start after the previous one.")
    ] = False,
    gap: Annotated[
        float | None, typer.Option(min=0, metavar="MS", help="Time between one and the next; default: 1.")
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Merge several recordings of one sensor into one, by their times or one after another."""
    from ..events import join
    from ..events import merge as merge_events
    from ..formats import STANDARD, open_recording

    if gap is not None and not one_after_another:
        raise ConfigError(f"merge: --gap {gap:g} is only for --one-after-another")
    if files.count(STANDARD) > 1:
        raise ConfigError("merge: standard input (-) can be given only once")
    given, hints = parse_sensor(sensor), parse_hints(hint)
    opened = [open_recording(file, sensor=given, hints=hints) for file in files]
    size = opened[0].sensor
    for file, recording in zip(files, opened, strict=True):
        if recording.sensor != size:
            raise EventError(f"{file}: has a sensor of {recording.sensor}, expected {size} as {files[0]}")

    def unite(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        streams = [one.chunks(progress=show) for one, show in zip(recordings, shown, strict=True)]
        return (
            join(streams, round((1.0 if gap is None else gap) * 1000)) if one_after_another else merge_events(streams)
        )

    count = _write(out, opened, unite, size=size, overwrite=overwrite)
    _say(out, f"{count_noun(count, 'event')} of {count_noun(len(files), 'recording')}, {size}")


def filter_(
    file: RecordingArgument,
    out: Output,
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
    from ..config import build
    from ..events.filters import FilterConfig, FilterCounts, check_pixels, count_pixels, filter_stream, find_hot_pixels
    from ..formats import open_recording

    if not (refractory or activity or hot_pixels):
        raise ConfigError("filter: no filter given; use --refractory, --activity or --hot-pixels")
    periods_us = {"refractory_us": to_us(refractory), "activity_us": to_us(activity)}
    config = build(FilterConfig, periods_us, "filter")
    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    try:
        check_pixels(recording.sensor)
    except EventError as error:
        raise error.named(str(file)) from error
    hot = None
    if hot_pixels:
        with progress() as show:
            parts = recording.chunks(progress=partial(show, "hot pixels"))
            hot = find_hot_pixels(count_pixels(parts, recording.sensor))
    counts = [FilterCounts()]

    def keep(recordings: Sequence[Recording], shown: Sequence[Progress | None]) -> Iterator[Events]:
        callback = None if shown[0] is None else counts.append
        return filter_stream(recordings[0].chunks(progress=shown[0]), config, hot=hot, callback=callback)

    settings = config.model_dump() | {"hot_pixels": hot_pixels}
    _write(out, [recording], keep, size=recording.sensor, overwrite=overwrite, filter=settings)
    total = counts[-1]
    pixels = f" ({int(hot.sum())} pixels)" if hot is not None else ""
    _say(
        out,
        f"{total.kept:,} of {total.events:,} events; dropped {total.hot_pixels:,} of hot pixels{pixels}, "
        f"{total.refractory:,} within the refractory period, {total.background:,} without support",
    )
