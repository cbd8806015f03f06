"""Commands `info`, `check` and `compare`: inspect recordings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter
from rich.text import Text

from ..base.errors import DvspipeError
from ..base.files import claim_output, require_suffix
from ..formats import info as verb_info
from ..verbs import inspection
from .activity import show_share
from .commands import takes
from .options import (
    AsJson,
    EngineName,
    JobCount,
    Overwrite,
    RecordingFiles,
    ShardName,
    choose_engine,
    note_shard,
    parse_shard,
)
from .screen import (
    TextTable,
    choose_exit_code,
    describe_error,
    fail,
    fail_inputs,
    progress,
    screen,
    show_name,
    skip,
)

if TYPE_CHECKING:
    from ..formats import RecordingInfo
    from ..parallel import Outcome, Progress

Value = TypeVar("Value")


@takes(verb_info, without=("recording",))
def info(recordings: RecordingFiles, *, as_json: AsJson = False, **given: Any) -> None:
    from ..parallel import map_items

    with progress() as show:

        def describe_one(file: Path, _: Progress) -> RecordingInfo:
            return verb_info(file, progress=partial(show, str(file)), **given)

        described = _collect(map_items(describe_one, recordings), len(recordings))

    failed = len(recordings) - len(described)
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in described], indent=1) + "\n")
    else:
        for one in described:
            _print_description(one)

    fail_inputs(failed, len(recordings), "recordings could not be read")


def _collect(outcomes: Iterable[Outcome[Path, Value]], files: int) -> list[Value]:
    """Return the results of files and print errors; raise the error of a single file."""
    values = []
    for outcome in outcomes:
        if outcome.error is None:
            values.append(outcome.result())
        elif files == 1:
            raise outcome.error
        else:
            skip(outcome.error)

    return values


def _print_description(recording: RecordingInfo) -> None:
    screen.print(Text(show_name(recording.file)))

    table = TextTable()
    table.add_row("format", recording.format)
    table.add_row("sensor", f"{recording.width} x {recording.height} ({recording.sensor_source})")
    table.add_row("events", f"{recording.events:,}")

    first_us, last_us = recording.t_first_us, recording.t_last_us
    if first_us is not None and last_us is not None:
        table.add_row("time", f"{first_us:,} to {last_us:,} us ({recording.duration_us * 1e-6:.6g} s)")
    if recording.rate_hz is not None:
        per_pixel = recording.rate_hz / recording.width / recording.height
        digits = ",.0f" if per_pixel >= 100 else ".3g"  # three digits without an exponent
        table.add_row("rate", f"{recording.rate_hz:,.0f} events/s, {per_pixel:{digits}} per pixel")
    if recording.on_fraction is not None:
        table.add_row("polarity", f"{recording.on_fraction:.1%} ON, {1 - recording.on_fraction:.1%} OFF")
    elif recording.events:
        table.add_row("polarity", "not counted in this large file; use --read-all to count")

    # Attributes that the rows above show are left out; of the settings, only changes are listed.
    for key, value in recording.attributes.items():
        if key not in ("width", "height", "format", "settings"):
            for name, text in _list_values(key, value):
                table.add_row(name, text)
    if settings := recording.attributes.get("settings"):
        changed = list(_list_changed_settings(settings))
        for name, text in changed or [("settings", "defaults")]:
            table.add_row(name, text)

    screen.print(table)


def _list_changed_settings(stored: object) -> Iterator[tuple[str, str]]:
    """Yield the (name, text) of each setting that differs from the defaults of conversions."""
    from ..recordings.config import ConvertConfig

    # Settings are compared as texts with dotted names, so a change inside a group is listed alone.
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


@takes(inspection.check, without=("recording",))
def check(
    recordings: Annotated[list[Path], Parameter(help="Recordings, folders of recordings, or - for standard input.")],
    *,
    jobs: JobCount = None,
    engine: EngineName = "local",
    shard: ShardName = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    from ..recordings.checking import CheckOptions, check_many
    from ..recordings.conversion import find_recordings

    options = CheckOptions(**given)
    workers = choose_engine(jobs, engine)
    share = parse_shard(shard)
    files = find_recordings(recordings, shard=share)
    note_shard(share, len(files))

    with progress() as show:
        outcomes = check_many(files, options, engine=workers, progress=show_share(show, len(files)))
        reports = _collect(outcomes, len(files))

    failed = len(files) - len(reports)
    if as_json:
        sys.stdout.write(json.dumps([report.to_record() for report in reports], indent=1) + "\n")

    for report in [] if as_json else reports:
        # Findings are unusual, unless one of them makes the recording wrong.
        verdict = "unusual" if report.findings else "nothing wrong"
        if report.wrong:
            verdict = "wrong"

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


@takes(inspection.compare)
def compare(
    a: Path,
    b: Path,
    *,
    out: Annotated[Path | None, Parameter(help="HTML page to write, with charts; default: print only.")] = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    from ..report import PAGE_SUFFIXES, describe_comparison, write_comparison_page

    if out:
        require_suffix(out, "a page", *PAGE_SUFFIXES)
        claim_output(out, overwrite=overwrite)

    with progress() as show:
        compared = inspection.compare(a, b, **given, progress=partial(show, "comparison"))

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
