"""Commands `synth`: create synthetic recordings with labels."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from .activity import ShownStage
from .options_typer import EngineOption, Seed, ShardOption, choose_engine, parse_shard
from .screen import notes, progress, screen

synth = typer.Typer(help="Create synthetic recordings with labels.", no_args_is_help=True)

MIN_PEOPLE = 3  # one per part of a data set

DEFAULT_JOBS = 2

SynthJobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, metavar="N", help=f"Number of worker processes; default: {DEFAULT_JOBS}."),
]
Videos = Annotated[bool, typer.Option("--videos", help="Also write the videos (.webm or .mp4).")]


@synth.command()
def nmnist(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Output folder for Train/<digit>/<id>.bin.")
    ],
    mnist: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the MNIST files.")],
    count: Annotated[
        int, typer.Option("--n", min=1, metavar="N", help="Number of MNIST training images to record.")
    ] = 10_000,
    test: Annotated[
        int, typer.Option(min=0, metavar="N", help="Number of MNIST test images to record, into Test/<digit>.")
    ] = 0,
    seed: Seed = 0,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="N-MNIST folder: skip the MNIST images recorded there; default: none."),
    ] = None,
    videos: Videos = False,
    jobs: SynthJobs = None,
    engine: EngineOption = "local",
    shard: ShardOption = None,
) -> None:
    """Record MNIST digits with a simulated sensor and the camera motion of N-MNIST; existing files are kept."""
    from ..synthesis import DigitsPlan, write_digits

    made_by, share = choose_engine(jobs, engine, DEFAULT_JOBS), parse_shard(shard)
    plan = DigitsPlan(mnist, count, test, seed, exclude, videos)
    with progress() as show:
        written = write_digits(out, plan, engine=made_by, shard=share, progress=ShownStage(show, "synthetic files"))
    screen.print(f"{out}: synthetic recordings of digits: {count + test}, new files: {written}")
    notes.print(
        f"next:\n  {shlex.join(['dvspipe', 'train', 'nmnist-synthetic', f'data.root={out}'])} data.test_root=NMNIST"
    )


@synth.command()
def gestures(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Output folder for <class>/user<person>_<light|webcam>_<clip>.h5."
        ),
    ],
    people: Annotated[int, typer.Option(min=1, metavar="N", help="Number of people.")] = 30,
    clips: Annotated[int, typer.Option(min=1, metavar="N", help="Number of clips per person, class and camera.")] = 3,
    seed: Seed = 0,
    duration: Annotated[float, typer.Option(min=0.1, max=60, metavar="SECONDS", help="Length of a clip.")] = 1.5,
    camera: Annotated[
        Literal["dvs", "webcam", "both"],
        typer.Option(help="Camera: a simulated DVS128, a webcam or phone with converted videos, or a clip of each."),
    ] = "dvs",
    tracks: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Recorded movements of real people for half of the clips: <class>/<joints>.csv from dvspipe track.",
        ),
    ] = None,
    videos: Videos = False,
    jobs: SynthJobs = None,
    engine: EngineOption = "local",
    shard: ShardOption = None,
) -> None:
    """Make recordings of rendered people who perform the gestures of DVS128 Gesture; existing files are kept."""
    from ..base.labels import GESTURES
    from ..synthesis import GesturesPlan, write_gestures

    made_by, share = choose_engine(jobs, engine, DEFAULT_JOBS), parse_shard(shard)
    plan = GesturesPlan(people, clips, seed, round(duration * 1e6), videos, camera, tracks)
    with progress() as show:
        written = write_gestures(out, plan, engine=made_by, shard=share, progress=ShownStage(show, "synthetic clips"))
    screen.print(
        f"{out}: {plan.count} synthetic clips in {len(GESTURES)} classes, people: {people}, new files: {written}"
    )
    if people >= MIN_PEOPLE:
        notes.print(f"next:\n  dvspipe train gesture data.root={out}")
    else:
        notes.print(f"training needs at least {MIN_PEOPLE} people")
