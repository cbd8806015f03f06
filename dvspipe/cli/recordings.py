"""Commands `info`, `check` and `compare`: inspect recordings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..base.texts import TextTable, show_name
from ..formats import info as verb_info
from ..recordings.config import ConvertConfig
from ..verbs import inspection
from .activity import ShownShare
from .commands import takes
from .options import (
    AsJson,
    EngineName,
    RecordingFiles,
    ShardName,
    choose_engine,
    note_shard,
    parse_shard,
)
from .screen import choose_exit_code, fail, fail_inputs, print_parts, progress, screen, skip

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
        defaults = ConvertConfig().model_dump(mode="json")
        for one in described:
            print_parts(*one.describe(defaults))

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


@takes(inspection.check)
def check(
    recordings: list[Path],
    *,
    jobs: int | None = None,
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
        outcomes = check_many(files, options, engine=workers, progress=ShownShare(show))
        reports = _collect(outcomes, len(files))

    failed = len(files) - len(reports)
    if as_json:
        sys.stdout.write(json.dumps([report.to_record() for report in reports], indent=1) + "\n")

    for report in [] if as_json else reports:
        print_parts(*report.describe())

    if (wrong := sum(report.wrong for report in reports)) or failed:
        unread = f", {failed:,} could not be read" if failed else ""
        code = choose_exit_code(failed, len(files))
        fail(f"{wrong:,} of {len(files):,} recordings are wrong{unread}", code)


@takes(inspection.compare)
def compare(
    a: Path,
    b: Path,
    *,
    out: Path | None = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    from ..report import describe_comparison

    with progress() as show:
        compared = inspection.compare(a, b, **given, out=out, progress=partial(show, "comparison"))

    if as_json:
        sys.stdout.write(json.dumps(compared.to_record(), allow_nan=False) + "\n")
    else:
        names = TextTable()
        names.add_row("A", a)
        names.add_row("B", b)
        print_parts(names)

        table = TextTable("figure", "value", "meaning", optional=("meaning",))
        for row in describe_comparison(compared):
            table.add_row(*row)
        print_parts(table)

    if out and not as_json:
        screen.print(f"page: {show_name(out)}")
