"""Command `learn`: learn gestures from one film each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..base.errors import ConfigError, count_noun
from .options_typer import Overwrite, Seed
from .screen import messages, notes, screen, show_name, warn
from .training import show_training

if TYPE_CHECKING:
    from ..oneshot import StudiedFilm
    from ..results import TestResult


def learn(
    films: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILM...", help="Film of each gesture, named after it (wave.mp4); or DIR with DIR/<gesture>/<film>."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Run folder of the new classifier.")],
    other: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILM|FOLDER", help="Films without any of the gestures. Repeatable."),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SECONDS", help="Start of the gesture in the film of NAME; default: found. Repeatable."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SECONDS", help="End of the gesture in the film of NAME; default: found. Repeatable."
        ),
    ] = None,
    camera: Annotated[
        Literal["both", "dvs", "webcam"],
        typer.Option(help="Cameras that record the rendered people: a DVS128, webcams and phones, or both."),
    ] = "both",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="The mirrored movement, with the other hand, is the same gesture.")
    ] = False,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough",
            help="Render four times as many people and train twice as many epochs; takes about five times as long.",
        ),
    ] = False,
    people: Annotated[
        int | None, typer.Option(min=4, metavar="N", help="Number of rendered people; default: 24, or 96 if thorough.")
    ] = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Only find the gestures in the films and write the page to check them.")
    ] = False,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of rendering processes.")] = 2,
    overwrite: Overwrite = False,
) -> None:
    """Learn new gestures from one film each: render the movements on many people, and train a classifier on them.

    An interrupted run continues when the command is repeated. With five gestures from one film each, 10 of 38 films of
    strangers were right; films of more people help.
    """
    from ..oneshot import (
        PAGE,
        STRANGERS,
        THOROUGH,
        LearnConfig,
        check_unfinished,
        learn_study,
        list_films,
        list_videos,
        prepare,
        set_parts,
    )

    found = set_parts(list_films(films), _parse_times(start, "--start"), _parse_times(stop, "--stop"))
    base = THOROUGH if thorough else LearnConfig()
    chosen = {"camera": camera, "mirror": mirror, "seed": seed, "jobs": jobs, "people": people or base.people}
    config = base.model_copy(update=chosen)
    check_unfinished(out, overwrite=overwrite)  # before anything in the folder changes
    command = shlex.join(["dvspipe", "learn", *map(str, films), "-o", str(out)])
    with show_training() as callback:
        try:
            study = prepare(found, out, config, other=list_videos(other or []), callback=callback)
            for each in study.films:
                _print_film(each)
            notes.print(f"check the movements: {out / PAGE}")
            if no_train:
                return
            learned = learn_study(study, out, config, command=command, callback=callback, overwrite=overwrite)
        except KeyboardInterrupt:
            messages.print(f"{command} continues with the missing tracks, clips and epochs")
            raise
    _print_test(learned.run.test, STRANGERS)
    for line in learned.similar:
        warn(line)
    notes.print(f"to improve it: {'; '.join(_list_advice(thorough=thorough, other=bool(other)))}")
    notes.print(f"report: {learned.run.folder.report}; next:")
    notes.print(f"  {shlex.join(['dvspipe', 'infer', str(out), 'VIDEO', '-o', 'answers'])}")


def _print_test(test: TestResult, strangers: str) -> None:
    """Print the results on rendered people, and what to expect of strangers."""
    if test.joints is not None:
        screen.print(
            f"test accuracy (synthetic) on videos, by joints {test.joints.accuracy:.1%}, {test.joints.correct} of "
            f"{test.joints.samples} movements of other rendered people"
        )
    screen.print(f"test accuracy (synthetic) on events {test.accuracy:.1%}, {test.correct} of {test.data}")
    notes.print(f"expect less of real people: {strangers}")


def _list_advice(*, thorough: bool, other: bool) -> Iterator[str]:
    """Yield what gives a better classifier, and is not done yet."""
    yield "more films of each gesture, of other people and in other manners, in DIR/<gesture>"
    if not other:
        yield "--other FILMS without the gestures"
    if not thorough:
        yield "--thorough"


def _parse_times(texts: list[str] | None, option: str) -> dict[str, float]:
    """Parse NAME=SECONDS."""
    times: dict[str, float] = {}
    for text in texts or []:
        name, _, seconds = text.rpartition("=")
        try:
            times[name] = float(seconds)
        except ValueError:
            raise ConfigError(f"{option} {text}: not a time (expected NAME=SECONDS, such as wave=1.5)") from None
        if not name or not times[name] >= 0:
            raise ConfigError(f"{option} {text}: not a time (expected NAME=SECONDS, such as wave=1.5)")
    return times


def _print_film(each: StudiedFilm) -> None:
    part = each.part
    repeated = (
        "once"
        if part.period_us is None
        else f"{count_noun(part.repetitions, 'time')}, every {part.period_us / 1e6:.2f} s"
    )
    hands = "both hands" if len(part.sides) == 2 else f"{part.sides[0]} hand"
    screen.print(
        f"{show_name(each.film.path)}: {each.film.name}, {part.start_us / 1e6:.2f} to {part.stop_us / 1e6:.2f} s, "
        f"{hands}, {repeated}"
    )
    for text in part.warnings:
        warn(f"{show_name(each.film.path)}: {text}")
    if each.alike:
        notes.print(f"{each.film.name} resembles {', '.join(each.alike)}, so these are not among the other gestures")
