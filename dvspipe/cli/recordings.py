"""Commands `info`, `check`, `cut` and `merge`: inspect and edit recordings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from ..base.errors import ConfigError, DvspipeError, count_noun
from .activity import show_share
from .options import (
    AsJson,
    EngineOption,
    Hint,
    JobsOption,
    Overwrite,
    Roi,
    Sensor,
    ShardOption,
    Start,
    Stop,
    choose_engine,
    note_shard,
    parse_hints,
    parse_region,
    parse_sensor,
    parse_shard,
    to_us,
)
from .screen import (
    TextTable,
    choose_exit_code,
    describe_error,
    fail,
    fail_inputs,
    messages,
    progress,
    screen,
    show_name,
    skip,
    warn,
)

if TYPE_CHECKING:
    from ..formats import RecordingInfo
    from ..parallel import Outcome, Progress

RecordingArgument = Annotated[Path, typer.Argument(metavar="RECORDING", help="Recording, or - for standard input.")]
RecordingsArgument = Annotated[
    list[Path], typer.Argument(metavar="RECORDING", help="Recordings; - for standard input.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Output file (its suffix selects the format), or - for CSV on stdout."
    ),
]
Value = TypeVar("Value")
COUNT_ALL = "--whole"


def info(
    files: RecordingsArgument,
    sensor: Sensor = None,
    hint: Hint = None,
    whole: Annotated[
        bool, typer.Option(COUNT_ALL, help="Count all events, even if the file stores their number.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the contents of recordings: format, sensor, events, duration, event rate, polarities and settings."""
    from ..formats import info
    from ..parallel import map_items

    size, hints = parse_sensor(sensor), parse_hints(hint)
    with progress() as show:

        def describe_one(file: Path, _: Progress) -> RecordingInfo:
            return info(file, sensor=size, hints=hints, read_all=whole, progress=partial(show, str(file)))

        found = _collect(map_items(describe_one, files), len(files))
    failed = len(files) - len(found)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    else:
        for one in found:
            _print_description(one)
    fail_inputs(failed, len(files), "recordings could not be read")


def _collect(outcomes: Iterable[Outcome[Path, Value]], files: int) -> list[Value]:
    """Return the results of files and print errors; raise the error of a single file."""
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
    screen.print(Text(show_name(found.file)))
    table = TextTable()
    table.add_row("format", found.format)
    table.add_row("sensor", f"{found.width} x {found.height} ({found.sensor_source})")
    table.add_row("events", f"{found.events:,}")
    if found.t_first_us is not None and found.t_last_us is not None:
        table.add_row("time", f"{found.t_first_us:,} to {found.t_last_us:,} us ({found.duration_us * 1e-6:.6g} s)")
    if found.rate_hz is not None:
        per_pixel = found.rate_hz / found.width / found.height
        digits = ",.0f" if per_pixel >= 100 else ".3g"  # three digits without an exponent
        table.add_row("rate", f"{found.rate_hz:,.0f} events/s, {per_pixel:{digits}} per pixel")
    if found.on_fraction is not None:
        table.add_row("polarity", f"{found.on_fraction:.1%} ON, {1 - found.on_fraction:.1%} OFF")
    elif found.events:
        table.add_row("polarity", f"not counted in this large file; use {COUNT_ALL} to count")

    for key, value in found.attributes.items():
        if key not in ("width", "height", "format", "settings"):
            for name, text in _list_values(key, value):
                table.add_row(name, text)
    if settings := found.attributes.get("settings"):
        changed = list(_list_changed_settings(settings))
        for name, text in changed or [("settings", "defaults")]:
            table.add_row(name, text)
    screen.print(table)


def _list_changed_settings(stored: object) -> Iterator[tuple[str, str]]:
    """Yield the (name, text) of each setting that differs from the defaults of conversions."""
    from ..recordings.conversion import ConvertConfig

    defaults = set(_list_values("settings", ConvertConfig().model_dump(mode="json")))
    for setting in _list_values("settings", stored):
        if setting not in defaults:
            yield setting


def _list_values(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the (name, text) of each value, with dotted names for nested settings; skip values of None."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _list_values(f"{name}.{key}", inner)
    elif value is not None:
        yield name, json.dumps(value) if isinstance(value, list) else str(value)


def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="RECORDING", help="Recordings, folders of recordings, or - for standard input."),
    ],
    sensor: Sensor = None,
    hint: Hint = None,
    gap: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="MS",
            help="Report longer times without events as gaps; default: adapted to the recording, at least 16.384.",
        ),
    ] = None,
    jobs: JobsOption = None,
    engine: EngineOption = "local",
    shard: ShardOption = None,
    as_json: AsJson = False,
) -> None:
    """Find errors and unusual properties of recordings; exit code 1 if there are errors."""
    from ..base.config import build
    from ..recordings.checking import CheckOptions, CheckSettings, check_many
    from ..recordings.conversion import find_recordings

    settings = build(CheckSettings, {"gap_us": to_us(gap)}, "check")
    options = CheckOptions(sensor=parse_sensor(sensor), hints=parse_hints(hint), settings=settings)
    done_by, share = choose_engine(jobs, engine), parse_shard(shard)
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
    if (wrong := sum(report.wrong for report in reports)) or failed:
        unread = f", {failed:,} could not be read" if failed else ""
        code = choose_exit_code(failed, len(files))
        fail(f"{wrong:,} of {len(files):,} recordings are wrong{unread}", code)


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
    """Cut a recording in time and in space; event times do not change."""
    from ..formats import open_recording
    from ..recordings.editing import cut_recording, select_part

    recording = open_recording(file, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    part = select_part(recording, start, stop, parse_region(roi))
    with progress() as show:
        count = cut_recording(part, out, overwrite=overwrite, progress=partial(show, "events"))
    print_summary(out, f"{count_noun(count, 'event')} of {part.sensor}")
    if not count:
        warn(f"{show_name(out)}: has no events: this part of {file} is empty; show it with dvspipe view {file}")


def print_summary(out: Path, text: str) -> None:
    """Print a summary of the output, on standard error if the events go to standard output."""
    from ..formats import STANDARD

    (messages if out == STANDARD else screen).print(f"{show_name(out)}: {text}")


def merge(
    files: RecordingsArgument,
    out: Output,
    one_after_another: Annotated[
        bool,
        typer.Option("--one-after-another", help="Concatenate: shift each recording to start after the previous one."),
    ] = False,
    gap: Annotated[
        float | None,
        typer.Option(min=0, metavar="MS", help="With --one-after-another: time between recordings; default: 1."),
    ] = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Merge recordings of the same sensor into one, in order of event times or one after another."""
    from ..formats import STANDARD, open_recording
    from ..recordings.editing import merge_recordings

    if gap is not None and not one_after_another:
        raise ConfigError(f"merge: --gap {gap:g}: only with --one-after-another")
    if files.count(STANDARD) > 1:
        raise ConfigError("merge: standard input (-) can be given only once")
    given, hints = parse_sensor(sensor), parse_hints(hint)
    opened = [open_recording(file, sensor=given, hints=hints) for file in files]
    gap_us = round((1.0 if gap is None else gap) * 1000) if one_after_another else None
    with progress() as show:
        count = merge_recordings(opened, out, gap_us=gap_us, overwrite=overwrite, progress=partial(show, "events"))
    print_summary(out, f"{count_noun(count, 'event')} of {count_noun(len(files), 'recording')}, {opened[0].sensor}")
