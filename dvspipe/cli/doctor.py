"""Command `doctor`: what this machine has and lacks."""

from __future__ import annotations

import sys

from ..base.errors import count_noun
from ..verbs.doctor import doctor as verb
from .commands import takes
from .options import AsJson
from .screen import EXIT_ERROR, fail, print_parts


@takes(verb)
def doctor(*, as_json: AsJson = False) -> None:
    diagnosis = verb()
    if as_json:
        sys.stdout.write(diagnosis.model_dump_json(indent=1) + "\n")
    else:
        print_parts(*diagnosis.describe())

    if diagnosis.broken:
        names = ", ".join(check.name for check in diagnosis.broken)
        fail(f"{count_noun(len(diagnosis.broken), 'check')} failed: {names}", EXIT_ERROR)
