"""Command `adapt`: adapt a trained classifier to unlabelled recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..base.files import claim_output, require_suffix
from ..inference import InferConfig
from ..results import CHECKPOINT_SUFFIX
from ..verbs.classification import adapt as verb
from .activity import show_share
from .commands import OF_FILES, takes
from .infer import note_overrides
from .options import AsJson, Overwrite
from .screen import fail_inputs, notes, print_parts, progress, skip


@takes(verb, without=("recordings", *OF_FILES, "pose", "stateful", "enter", "leave", "least_us"))
def adapt(
    checkpoint: str,
    recordings: Annotated[list[Path], Parameter(help="Recordings, videos, or folders of these.")],
    out: Annotated[Path, Parameter(help="Checkpoint file to write (.safetensors).")],
    *,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
    config: InferConfig = InferConfig(),
    **given: Any,
) -> None:
    require_suffix(out, "a checkpoint", CHECKPOINT_SUFFIX)
    claim_output(out, overwrite=overwrite)

    from ..inference import Classifier, plan_tasks, refuse_module

    sources = [task.source for task in plan_tasks(recordings)]

    # A custom module is refused before its code is loaded.
    refuse_module(checkpoint)
    classifier = Classifier.load(checkpoint)

    with progress() as show:
        adaptation = verb(classifier, sources, config, **given, progress=show_share(show, len(sources)))

    note_overrides(classifier, config, sources)
    for error in adaptation.skipped:
        skip(error)
    adaptation.save(out)

    if as_json:
        sys.stdout.write(adaptation.record.model_dump_json() + "\n")
    else:
        print_parts(*adaptation.describe())
        notes.print(f"checkpoint: {out}")

    fail_inputs(len(adaptation.skipped), len(sources), "recordings were skipped")
