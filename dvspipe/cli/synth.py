"""Recordings made on the machine."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from .screen import progress, screen

synth = typer.Typer(
    help="Make labelled recordings on the machine.", context_settings={"help_option_names": ["-h", "--help"]}
)


@synth.command()
def nmnist(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for Train/<digit>/<id>.bin, as N-MNIST has them.")],
    mnist: Annotated[Path, typer.Option(help="Folder with MNIST's files.")],
    count: Annotated[int, typer.Option("--n", min=1, help="Recordings of images of MNIST's training set.")] = 10_000,
    test: Annotated[int, typer.Option(min=0, help="The same of its test set, for Test/<digit>.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything.")] = 0,
    exclude: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of N-MNIST whose images are left out.")
    ] = None,
    videos: Annotated[
        bool, typer.Option("--videos", help="Also write the videos that the sensor sees, .webm.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Record MNIST's digits as N-MNIST was recorded, on a simulated sensor; goes on where it was stopped."""
    from ..synthesis import DigitsPlan, write_digits

    plan = DigitsPlan(mnist, count, test, seed, exclude, videos)
    with progress() as show:
        written = write_digits(out, plan, jobs=jobs, progress=partial(show, "synthetic files"))
    screen.print(f"{out}: {count + test} synthetic recordings of digits, {written} files new; next:")
    screen.print(f"  {shlex.join(['dvspipe', 'train', 'nmnist-synthetic', f'data.root={out}'])} data.test_root=NMNIST")


@synth.command()
def gestures(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for <class>/user<person>_<light>_<clip>.h5.")],
    people: Annotated[int, typer.Option(min=1, help="Identities.")] = 30,
    clips: Annotated[int, typer.Option(min=1, help="Clips of each person and class.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of everything.")] = 0,
    duration: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds of a clip.")] = 1.5,
    videos: Annotated[bool, typer.Option("--videos", help="Also write the rendered videos, .webm.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Render people who perform the gestures of DVS128 Gesture, as a DVS128 sees them; goes on where it was stopped."""
    from ..synthesis import GESTURES, GesturesPlan, write_gestures

    plan = GesturesPlan(people, clips, seed, round(duration * 1e6), videos)
    with progress() as show:
        written = write_gestures(out, plan, jobs=jobs, progress=partial(show, "synthetic clips"))
    screen.print(
        f"{out}: {people * clips * len(GESTURES)} synthetic clips of {people} people in {len(GESTURES)} classes, "
        f"{written} files new; next:"
    )
    screen.print(f"  dvspipe train gesture data.root={out}")
