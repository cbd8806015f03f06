"""Verb that learns gestures from films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.config import as_settings, plain_settings
from ..oneshot.config import THOROUGH, LearnConfig, LearnKeywords

if TYPE_CHECKING:  # torch takes seconds to import
    from ..oneshot import ExampleFilm, Learned
    from ..training import TrainingCallback


def learn(
    films: str | Path | ExampleFilm | Sequence[str | Path | ExampleFilm],
    out: str | Path,
    config: LearnConfig | Mapping[str, object] | None = None,
    *,
    starts: Mapping[str, float] | None = None,
    stops: Mapping[str, float] | None = None,
    other: str | Path | Sequence[str | Path] = (),
    thorough: bool = False,
    overwrite: bool = False,
    command: str = "",
    callback: TrainingCallback | None = None,
    **named: Unpack[LearnKeywords],
) -> Learned:
    """Learn new gestures from a few films each: render the movements on many people, and train a classifier on them.

    After an interruption, the same call continues with the missing tracks, clips and epochs. With five gestures from
    one film each, 10 of 38 films of strangers were right; films of more people help.

    Args:
        films: Film of each gesture, named after it (wave.mp4); or DIR with DIR/GESTURE/FILM; see `list_films`.
        out: Run folder of the new classifier.
        config: Settings; also a mapping.
        starts: Start of the gesture in seconds, by its name; if it has several films, by the name of a film without its
            suffix. None: found automatically.
        stops: End of the gesture in seconds, likewise. None: found automatically.
        other: Films without any of the gestures, or a folder of them.
        thorough: Render four times as many people and train twice as many epochs; takes about five times as long.
        overwrite: Replace an earlier run in the folder.
        command: Command that repeats the run, for the records.
        callback: Training callback; None: log lines.
        named: Settings of `LearnConfig` by name.

    Raises:
        DataError: If a film shows no arms, no movement or too short a movement, or a name is unknown.
        VideoError: If a film cannot be read or shows no person.
        FileError: If a film is missing, or the folder contains a complete run or cannot be written.

    Example:
        >>> learned = learn(["wave.mp4", "stop.mp4"], "my-gestures", people=48)  # doctest: +SKIP
        >>> learned.run.test.accuracy, learned.similar  # doctest: +SKIP
        (0.94, ())
    """
    from ..oneshot import check_unfinished, learn_study, list_videos, prepare, set_parts
    from ..training import LogCallback

    chosen = choose_config(config, thorough=thorough, named=named)
    run = Path(out)
    callback = callback or LogCallback()

    examples = set_parts(_as_films(films), starts or {}, stops or {})
    check_unfinished(run, overwrite=overwrite)  # before anything in the folder changes
    study = prepare(examples, run, chosen, other=list_videos(other), callback=callback)
    return learn_study(study, run, chosen, command=command, callback=callback, overwrite=overwrite)


def choose_config(
    config: LearnConfig | Mapping[str, object] | None,
    *,
    thorough: bool = False,
    named: Mapping[str, object] | None = None,
) -> LearnConfig:
    """Return the settings of `learn`."""
    given = plain_settings(LearnConfig, config, named, learn)
    return as_settings(LearnConfig, THOROUGH if thorough else None, given)


def _as_films(films: str | Path | ExampleFilm | Sequence[str | Path | ExampleFilm]) -> tuple[ExampleFilm, ...]:
    from ..oneshot import ExampleFilm, list_films

    given = [films] if isinstance(films, str | Path | ExampleFilm) else films

    examples: list[ExampleFilm] = []
    for film in given:
        examples += [film] if isinstance(film, ExampleFilm) else list_films([film])
    return tuple(examples)
