"""Command `learn`: learn gestures from a few films each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..base.errors import count_noun
from ..base.texts import show_name
from ..cli.commands import takes
from ..cli.interrupts import Interrupt
from ..cli.options import Overwrite
from ..cli.screen import notes, progress, screen, warn
from ..cli.training import TrainingScreen
from . import learning
from .config import STRANGERS, LearnConfig
from .films import list_films, list_videos, set_parts
from .learning import PAGE, check_unfinished, learn_study, prepare

if TYPE_CHECKING:
    from ..results import TestResult
    from .study import StudiedFilm


@takes(learning.learn, without=("films", "other", "command"))
def learn(
    films: Annotated[
        list[Path],
        Parameter(help="Film of each gesture, named after it (wave.mp4); or DIR with DIR/GESTURE/FILM."),
    ],
    out: Path,
    *,
    other: Annotated[
        list[Path] | None, Parameter(help="Films without any of the gestures, or folders of them. Repeatable.")
    ] = None,
    no_train: Annotated[
        bool, Parameter(help="Only find the gestures in the films and write the page to check them.")
    ] = False,
    starts: Mapping[str, float] | None = None,
    stops: Mapping[str, float] | None = None,
    thorough: bool = False,
    overwrite: Overwrite = False,
    config: LearnConfig = LearnConfig(),
) -> None:
    examples = set_parts(list_films(films), starts or {}, stops or {})
    config = learning.choose_config(config, thorough=thorough)
    check_unfinished(out, overwrite=overwrite)  # before anything in the folder changes

    command = shlex.join(["dvspipe", "learn", *map(str, films), "-o", str(out)])
    if not overwrite:
        Interrupt.advice = "the same command continues with the missing tracks, clips and epochs"

    with progress() as show:
        callback = TrainingScreen(show)
        study = prepare(examples, out, config, other=list_videos(other or []), callback=callback)
        for studied in study.films:
            _print_film(studied)
        notes.print(f"check the movements: {out / PAGE}")

        if no_train:
            return
        learned = learn_study(study, out, config, command=command, callback=callback, overwrite=overwrite)

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


def _print_film(studied: StudiedFilm) -> None:
    film = studied.film
    part = studied.part
    repeated = "once"
    if part.period_us is not None:
        repeated = f"{count_noun(part.repetitions, 'time')}, every {part.period_us / 1e6:.2f} s"
    hands = "both hands" if len(part.sides) == 2 else f"{part.sides[0]} hand"

    screen.print(
        f"{show_name(film.path)}: {film.name}, {part.start_us / 1e6:.2f} to {part.stop_us / 1e6:.2f} s, "
        f"{hands}, {repeated}"
    )

    for text in part.warnings:
        warn(f"{show_name(film.path)}: {text}")
    if studied.alike:
        notes.print(f"{film.name} resembles {', '.join(studied.alike)}, so these are not among the other gestures")
