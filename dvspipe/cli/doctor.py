"""Command `doctor`: what this machine has and lacks, and whether an event camera works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..base.errors import count_noun
from ..base.files import claim_output
from ..verbs.doctor import doctor as verb
from .commands import takes
from .options import AsJson, Overwrite
from .screen import EXIT_ERROR, fail, messages, notes, print_parts, progress


@takes(verb)
def doctor(
    *,
    camera: bool = False,
    serial: str | None = None,
    out: Annotated[Path | None, Parameter(alias="-o", help="File for the report, as JSON.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    if out is not None:
        claim_output(out, overwrite=overwrite)

    told = set[str]()
    with progress() as show:

        def tell(stage: str, done_s: float, total_s: float) -> None:
            # What to do stays on the screen, unlike the progress below it.
            if stage not in told and not notes.quiet:
                messages.print(stage)
            told.add(stage)
            show(stage, done_s, total_s)

        diagnosis = verb(camera=camera, serial=serial, progress=tell)

    if out is not None:
        diagnosis.write(out)
    if as_json:
        sys.stdout.write(diagnosis.model_dump_json(indent=1) + "\n")
    else:
        print_parts(*diagnosis.describe())

    if diagnosis.broken:
        names = ", ".join(check.name for check in diagnosis.broken)
        fail(f"{count_noun(len(diagnosis.broken), 'check')} failed: {names}", EXIT_ERROR)
