"""Command `manifest`: show the state of the inputs of an output folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import ConfigError
from .options import AsJson
from .screen import print_parts, screen


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

    print_parts(*summary.describe())
