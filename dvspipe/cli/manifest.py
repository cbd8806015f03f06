"""Command `manifest`: show the state of the inputs of an output folder."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import ConfigError, count_noun
from .options import AsJson
from .screen import TextTable, screen, show_name

MIN_WORK_S = 60.0  # rates of shorter times are not meaningful


def manifest(
    folder: Annotated[Path, Parameter(help="Output folder of dvspipe convert or infer.")],
    /,
    *,
    failed: Annotated[bool, Parameter(help="Print only the failed inputs, one per line.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show done, failed and unfinished inputs of an output folder, and their speed, over all machines."""
    if failed and as_json:
        raise ConfigError("--failed: cannot be combined with --json")

    from ..results import Manifest

    summary = Manifest(folder).summarize()
    if as_json:
        sys.stdout.write(summary.model_dump_json(indent=1) + "\n")
        return
    if failed:
        for row in summary.failed:
            screen.print(row.input)
        return

    table = TextTable()
    for name, value in (
        ("inputs", f"{summary.inputs:,}"),
        ("done", f"{summary.done:,}, {summary.events:,} events, {summary.bytes / 1e6:,.1f} MB"),
        ("failed", f"{len(summary.failed):,}"),
        ("unfinished", f"{summary.unfinished:,}"),
        ("retries", f"{summary.retries:,}"),
        (
            "time",
            f"{timedelta(seconds=round(summary.elapsed_s))}, with {count_noun(summary.workers, 'worker')}",
        ),
        ("work", _describe_work(summary.work_s, summary.inputs_per_hour)),
    ):
        table.add_row(name, value)
    screen.print(table)

    for row in summary.failed:
        screen.print(f"failed: {show_name(row.error)}")


def _describe_work(work_s: float, inputs_per_hour: float) -> str:
    """Describe the total time of all processes, and the rate if the time is at least `MIN_WORK_S`."""
    rate = f", {inputs_per_hour:,.0f} inputs per process hour" if work_s >= MIN_WORK_S else ""
    return f"{work_s / 3600:,.2f} process hours{rate}"
