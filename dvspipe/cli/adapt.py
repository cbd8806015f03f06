"""Command `adapt`: adapt a trained classifier to unlabelled recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..inference import InferConfig
from ..verbs.classification import adapt as verb
from .activity import ShownShare
from .commands import OF_FILES, takes
from .infer import note_overrides
from .options import AsJson
from .screen import fail_inputs, notes, print_parts, progress, skip


@takes(verb, without=(*OF_FILES, "joints", "stateful", "enter", "leave", "least_us"))
def adapt(
    checkpoint: str,
    recordings: list[Path],
    out: Path,
    *,
    as_json: AsJson = False,
    config: InferConfig = InferConfig(),
    **given: Any,
) -> None:
    with progress() as show:
        adaptation = verb(checkpoint, recordings, out, config, **given, progress=ShownShare(show))

    note_overrides(adaptation.classifier, config, adaptation.files)
    for error in adaptation.skipped:
        skip(error)

    if as_json:
        sys.stdout.write(adaptation.record.model_dump_json() + "\n")
    else:
        print_parts(*adaptation.describe())
        notes.print(f"checkpoint: {out}")

    fail_inputs(len(adaptation.skipped), len(adaptation.files), "recordings were skipped")
