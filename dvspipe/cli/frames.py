"""Command `frames`: write recordings as folders of pictures or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..base.errors import ConfigError, DvspipeError, count_noun
from .activity import ShownStage
from .options_typer import Hint, JobsOption, Overwrite, Sensor, choose_engine, parse_hints, parse_sensor, to_us
from .screen import fail_inputs, messages, notes, progress, screen, show_name, skip

if TYPE_CHECKING:
    from ..base.config import SettingsTree
    from ..parallel import Engine
    from ..report.frames import FramePlan


def frames(
    source: Annotated[
        Path, typer.Argument(metavar="RECORDING|DIR", help="Recording, or folder of recordings, searched recursively.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Output folder.")],
    every: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, metavar="MS", help="Time window of a frame; default: 33.333."),
    ] = None,
    events: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of events of a frame, instead of a time window.")
    ] = None,
    form: Annotated[
        Literal["counts", "surface", "voxels"],
        typer.Option("--as", help="Values: counts per pixel, time surface, or voxels (only npy)."),
    ] = "counts",
    format_: Annotated[
        Literal["png", "npy"], typer.Option("--format", help="File format: pictures or NumPy arrays.")
    ] = "png",
    layout: Annotated[
        Literal["folders", "classes", "yolo", "coco"],
        typer.Option(
            help="folders: a folder per recording; classes: PART/CLASS, as YOLO classifies; yolo, coco: with boxes of "
            "NAME_bbox.npy beside each recording."
        ),
    ] = "folders",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Frame setting: tau_us=50000 (surface), bins=5 (voxels), colours=dark, classes=LIST (names "
            "of boxes), val=0.2 (share of recordings for the part val), seed=1. Repeatable.",
        ),
    ] = None,
    jobs: JobsOption = None,
    sensor: Sensor = None,
    hint: Hint = None,
    overwrite: Overwrite = False,
) -> None:
    """Write events as frames: a picture or array per time window or number of events, and a table of their times.

    A folder gives a data set, also in the layouts of YOLO and COCO. The same command resumes after an interruption.
    """
    from ..base.config import build, parse_overrides
    from ..report.config import PreviewSettings
    from ..report.frame_layouts import plan_frames
    from ..report.frames import SETTINGS, FrameSettings

    if every is not None and events is not None:
        raise ConfigError(f"frames: --every {every:g} and --events {events}: expected one of them")
    if out.suffix in (".npy", ".png") and not out.is_dir():
        raise ConfigError(f"{out}: the output is a folder (expected -o {out.stem} --format {out.suffix[1:]})")
    every_us = to_us(every) if events is not None or every is not None else PreviewSettings().window_us
    values: SettingsTree = {"every_us": every_us, "every_events": events}
    values |= {"form": form, "format": format_, "layout": layout}
    chosen = build(FrameSettings, parse_overrides(settings or []) | values, "frames")
    engine = choose_engine(jobs, "local")
    plan = plan_frames(source, out, chosen, sensor=parse_sensor(sensor), hints=parse_hints(hint))
    done_before = 0 if overwrite else len(plan.tasks) - len(plan.unwritten())
    if done_before and not notes.quiet:
        messages.print(f"{done_before:,} of {count_noun(len(plan.tasks), 'recording')} already written")
    try:
        _write(plan, engine, overwrite=overwrite)
    except KeyboardInterrupt:
        if (out / SETTINGS).exists():
            messages.print("run the same command again to resume")
        raise


def _write(plan: FramePlan, engine: Engine, *, overwrite: bool) -> None:
    """Write the frames, and print a line per recording."""
    from ..report.frame_sets import write_frames

    failed = 0
    with progress() as show:
        for outcome in write_frames(plan, engine=engine, overwrite=overwrite, progress=ShownStage(show, "recordings")):
            try:
                count = outcome.result()
            except DvspipeError as error:
                if len(plan.tasks) == 1:
                    raise
                failed += 1
                skip(error)
            else:
                what = f"{count_noun(count.frames, 'frame')} of {count_noun(count.events, 'event')}, {count.sensor}"
                screen.print(f"{show_name(plan.out / outcome.item.times)}: {what}")
    fail_inputs(failed, len(plan.tasks), "recordings could not be written")
