"""Command `adapt`: adapt a trained classifier to unlabelled recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base.errors import count_noun
from .activity import show_share
from .infer import note_overrides
from .options_typer import (
    AsJson,
    CheckpointName,
    Hint,
    Overwrite,
    Recordings,
    Sensor,
    SettingOptions,
    build_config,
    parse_hints,
    parse_sensor,
)
from .screen import TextTable, fail_inputs, notes, progress, screen, skip

if TYPE_CHECKING:
    from ..results import AdaptationRecord

OutFile = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Checkpoint file to write (.safetensors).")]
Strength = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Adaptation strength: how far to move batch-norm statistics, 0 (not at all) to 1."
    ),
]


def adapt(
    checkpoint: CheckpointName,
    recordings: Recordings,
    out: OutFile,
    strength: Strength = 0.5,
    settings: SettingOptions = None,
    sensor: Sensor = None,
    hint: Hint = None,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Adapt a trained network to the sensor of unlabelled recordings.

    The statistics of its batch norms move towards the statistics of the recordings.
    """
    from ..base.files import claim_output, require_suffix
    from ..inference import Classifier, adapt, plan_tasks, refuse_module
    from ..results import CHECKPOINT_SUFFIX

    require_suffix(out, CHECKPOINT_SUFFIX, "a checkpoint")
    claim_output(out, overwrite=overwrite)
    config = build_config(settings)
    sources = [task.source for task in plan_tasks(recordings)]
    refuse_module(checkpoint)
    classifier = Classifier.load(checkpoint)
    with progress() as show:
        adaptation = adapt(
            classifier,
            sources,
            config,
            strength=strength,
            sensor=parse_sensor(sensor),
            hints=parse_hints(hint),
            progress=show_share(show, len(sources)),
        )
    note_overrides(classifier, config, sources)
    for error in adaptation.skipped:
        skip(error)
    adaptation.save(out)
    if as_json:
        sys.stdout.write(adaptation.record.model_dump_json() + "\n")
    else:
        print_adaptation(adaptation.record)
        notes.print(f"checkpoint: {out}")
    fail_inputs(len(adaptation.skipped), len(sources), "recordings were skipped")


def print_adaptation(record: AdaptationRecord) -> None:
    """Print how far each batch norm moved, and the number of windows predicted as each class, before and after."""
    screen.print(
        f"adapted to {record.used} of {count_noun(record.windows, 'window')} (quiet windows are skipped) from "
        f"{count_noun(record.recordings, 'recording')}"
    )
    if record.applied < record.strength:
        screen.print(f"strength {record.applied:.2f} instead of {record.strength:g}, because few classes are predicted")
    moved = TextTable("norm", "mean moved by", "deviation moved by", right=("mean moved by", "deviation moved by"))
    for norm in record.norms:
        moved.add_row(norm.name, f"{norm.mean:.2f} sd", f"{norm.deviation:.2f} sd")
    screen.print(moved)
    changed = TextTable("class", "windows before", "after", right=("windows before", "after"))
    for name, before, after in zip(record.classes, record.before, record.after, strict=True):
        if before or after:
            changed.add_row(name, before, after)
    screen.print(changed)
