"""Learning tab: film gestures, check the parts that show them, train a classifier on them, and try it.

A gesture has one or more films. Each is tracked when it is added (`study_film`), to show the part of it that is used;
training (`train_gestures`) takes seconds.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from ..base.errors import ConfigError, DvspipeError, count_noun
from ..base.gestures import OTHER
from ..base.progress import CurrentStep
from ..base.texts import readable
from ..video.config import VideoSettings
from ..video.opening import open_video
from .examples import FILM
from .jobs import StagedProgress
from .shared import (
    VIDEO_FILE,
    ChosenFile,
    Tab,
    Updates,
    Upload,
    add_command,
    add_parts,
    address_of,
    follow,
    offer_file,
    show_caption,
    show_empty,
    show_picture,
    take_upload,
)
from .workspace import Session, Workspace

if TYPE_CHECKING:  # `oneshot` imports torch, and that takes seconds
    from ..oneshot import CutFilm, ExampleFilm, LearnConfig

MAX_NAME = 40  # characters of a gesture's name, part of file names
FILMS = "films"
PICTURES = "pictures"
RUN_NAME = "gestures"
NO_FILM = "Choose a film, name its gesture, and add it. The part that is used appears here."
NO_RUN = "Add one or more gestures, with one or more films each, then train."
CARD_PX = 240  # longer side of the picture of a gesture


@dataclass(frozen=True, eq=False)
class AddedFilm:
    """Film of a gesture, tracked.

    Args:
        source: Name of the film as chosen in the app.
        cut: Film with its track, and the part that shows the gesture.
        picture: Picture of the middle of this part.
    """

    source: str
    cut: CutFilm
    picture: Path

    @property
    def film(self) -> ExampleFilm:
        """Film in the folder of the session."""
        return self.cut.film

    @property
    def gesture(self) -> str:
        """Name of the gesture."""
        return self.film.name

    @property
    def name(self) -> str:
        """Name of the film: the gesture and a number."""
        return self.film.path.stem

    @property
    def part_s(self) -> tuple[float, float]:
        """Start and end of the gesture in the film, in seconds."""
        return self.cut.part_s

    def to_choice(self) -> tuple[str, str]:
        """Return the label of the film in a list, and its name."""
        start_s, stop_s = self.part_s
        return f"{start_s:.2f} to {stop_s:.2f} s of {self.source}", self.name


@dataclass(frozen=True)
class Trained:
    """Classifier of gestures from films.

    Args:
        run: Run folder.
        gestures: Names of the gestures.
        summary: Markdown summary of its test.
        archive: ZIP file of the run folder.
    """

    run: Path
    gestures: tuple[str, ...]
    summary: str
    archive: Path

    def to_choice(self) -> tuple[str, str]:
        """Return the label of the classifier in a list, and its run folder."""
        return f"{self.run.name} ({', '.join(map(readable, self.gestures))})", str(self.run)


def name_gesture(text: str) -> str:
    """Return the class name of a gesture from typed text.

    Example:
        >>> name_gesture(" my wave ")
        'my_wave'
    """
    name = "_".join(str(text).split())
    if not name:
        raise ConfigError("the gesture has no name")
    if not re.fullmatch(r"\w[\w-]*", name) or len(name) > MAX_NAME:
        raise ConfigError(
            f"{name[:MAX_NAME]}: not a name for a gesture (expected letters, digits, spaces and hyphens, at most "
            f"{MAX_NAME} characters)"
        )
    if name == OTHER:
        raise ConfigError(f"a gesture cannot be called {readable(OTHER)}, the class of all other gestures")

    return name


def copy_film(source: ChosenFile, gesture: str, folder: Path) -> ExampleFilm:
    """Copy the film of a gesture to a new file below `folder`, because uploads are removed after an hour."""
    from ..oneshot import ExampleFilm

    films = folder / FILMS / gesture
    films.mkdir(parents=True, exist_ok=True)

    number = 1 + sum(1 for _ in films.iterdir())
    film = shutil.copyfile(source.path, films / f"{gesture}-{number}{source.path.suffix.lower()}")
    return ExampleFilm(Path(film), gesture)


def study_film(film: ExampleFilm, source: str, folder: Path, progress: StagedProgress) -> AddedFilm:
    """Track a film, find the part that shows the gesture, and draw the middle of it."""
    from ..oneshot import cut_film

    cut = cut_film(film, lambda done, total: progress(done, total, "tracking"))
    pictures = folder / PICTURES
    pictures.mkdir(exist_ok=True)
    picture = pictures / f"{film.path.stem}.jpg"

    middle_s = sum(cut.part_s) / 2
    _, pixels = next(iter(open_video(film.path, VideoSettings(start_s=middle_s)).pictures()))
    small = Image.fromarray(pixels)
    small.thumbnail((CARD_PX, CARD_PX))
    small.save(picture)
    return AddedFilm(source, cut, picture)


def group_films(added: tuple[AddedFilm, ...]) -> dict[str, list[AddedFilm]]:
    """Return the films of each gesture, in the order in which they were added."""
    groups: dict[str, list[AddedFilm]] = {}
    for film in added:
        groups.setdefault(film.gesture, []).append(film)

    return groups


def style_cards(groups: dict[str, list[AddedFilm]]) -> str:
    """Return the HTML of the style that shows the picture of each gesture's last film on its card."""
    rules = []
    for number, films in enumerate(groups.values(), 1):
        picture = f'url("{address_of(films[-1].picture)}") !important'
        rules.append(f".cards label:nth-of-type({number})::before {{ background-image: {picture}; }}")

    return f"<style>{''.join(rules)}</style>"


class Stages:
    """Progress callback of work with named steps, which are stages of the page's work; see `StepProgress`."""

    def __init__(self, progress: StagedProgress) -> None:
        self._progress = progress

    def __call__(self, done: float, total: float) -> None:
        """Report the amount done."""
        self._progress(done, total)

    def show_step(self, done: float, total: float, step: CurrentStep) -> None:
        """Report the amount done of a stage."""
        self._progress(done, total, step.names[0])


def train_gestures(films: Sequence[ExampleFilm], run: Path, config: LearnConfig, progress: StagedProgress) -> Trained:
    """Train a classifier as `dvspipe learn` does."""
    from ..oneshot import learn

    learned = learn(films, run, config, progress=Stages(progress))
    archive = shutil.make_archive(str(run), "zip", run.parent, run.name)
    lines = [*learned.describe(), f"The tabs Webcam and Video now offer it as {run.name}."]
    return Trained(run, learned.classes[:-1], "\n\n".join(lines), Path(archive))


def command_of(added: tuple[AddedFilm, ...], other: Sequence[ChosenFile], run: str, *, mirror: bool) -> str:
    """Return the equivalent command, after a note for each film: where it must be copied, and which part of it."""
    notes = []
    for film in added:
        start_s, stop_s = film.film.start_s, film.film.stop_s
        part = f", from {start_s:g} s" + ("" if stop_s is None else f" to {stop_s:g} s")
        copied = part if start_s or stop_s is not None else ""
        notes.append(f"# {FILMS}/{film.gesture}/{film.film.path.name}: a copy of {film.source}{copied}\n")

    notes += [f"# {FILMS}/{OTHER}/{film.path.name}: a copy of {film.name}\n" for film in other]
    words = ["dvspipe", "learn", FILMS, "-o", run, *(["--mirror"] if mirror else [])]
    return "".join(notes) + shlex.join(words)


class LearnTab(Tab):
    """Learning tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.changing = self.make_message()
        self.training = self.make_message()
        self.added = gr.State(())
        self.trained = gr.State(())

        gr.Markdown(
            "Film each gesture once or more. A classifier is trained on the movements of the joints. It is right more "
            "often on other people if the films show several people."
        )

        self.pictures = gr.HTML("")
        self.chosen = gr.Radio(
            [],
            label="Gestures",
            info="Choose one to see its films, or to add another film of it.",
            elem_classes="cards",
            visible=False,
        )
        add_parts(self._add_picker, self._add_view, self._add_films)
        add_parts(self._add_gestures, self._add_result, self._add_command)
        self._connect(opened)

    def _add_picker(self) -> None:
        gr.Markdown("### 1. Film a gesture")
        self.picker = self.add_picker(VIDEO_FILE, webcam=True)
        self.name = gr.Dropdown(
            [],
            value=None,
            label="Name of the gesture",
            info="Type a new name, or choose a gesture to add another film of it.",
            allow_custom_value=True,
        )
        self.add = self.add_work("Add", variant="primary")

    def _add_view(self) -> None:
        self.view = gr.HTML(show_empty(NO_FILM))

    def _add_films(self) -> None:
        with gr.Column(visible=False) as self.part:
            self.films = gr.Radio([], label="Films of the gesture", info="Choose one to see or change its part.")
            with gr.Row():
                self.start = gr.Number(label="Start (s)", precision=2, step=0.1, min_width=100)
                self.stop = gr.Number(label="Stop (s)", precision=2, step=0.1, min_width=100)
            self.use_part = self.add_work("Use this part", self.changing)
            self.remove = gr.Button("Remove this film", size="sm")

    def _add_gestures(self) -> None:
        gr.Markdown("### 2. Train")
        with gr.Accordion("Other films", open=False):
            gr.Markdown("Films without any of the gestures; their movements are trained as other gestures.")
            self.other_files = gr.File(label="Videos", file_count="multiple", type="filepath", height=140)
            self.other_names = gr.Dropdown(
                self.space.list_videos(), value=[], multiselect=True, label=f"Videos in {self.space.folder.name}/"
            )

        self.mirror = gr.Checkbox(label="The mirrored movement, with the other hand, is the same gesture")
        self.train = self.add_work("Train", self.training, variant="primary")

    def _add_result(self) -> None:
        self.result = gr.Markdown(NO_RUN)

        with gr.Row():
            self.try_out = gr.Button(
                "Try it on the webcam", variant="primary", interactive=False, elem_classes="when-ready"
            )
            self.archive = gr.DownloadButton("Download the classifier", interactive=False, elem_classes="when-ready")

    def _add_command(self) -> None:
        self.command = add_command()

    def _connect(self, opened: Any) -> None:
        part = [self.films, self.start, self.stop, self.added]
        plan = [self.added, self.other_files, self.other_names, self.mirror, self.trained]
        limit = {"concurrency_limit": 2}  # sessions that track or train at the same time

        self.on(opened, self.open_first, [self.picker.source, self.added])
        self.after(self.picker.source.change, self.play_film, [self.picker.source, self.added])
        self.on(self.add.click, self.add_film, [self.picker.source, self.name, self.added], **limit)
        self.on(self.use_part.click, self.change_part, part, status=self.changing, **limit)
        self.on(self.chosen.input, self.show_gesture, [self.chosen, self.added])
        self.on(self.films.input, self.show_film, [self.films, self.added])
        self.on(self.remove.click, self.remove_film, [self.films, self.added])
        self.on(self.train.click, self.train_classifier, plan, status=self.training, **limit)

    def open_first(
        self, session: Session, source: ChosenFile | None, added: tuple[AddedFilm, ...]
    ) -> Iterator[Updates]:
        """Choose the example when the tab is opened first."""
        return iter(()) if source or added else self.picker.choose_example(session, FILM)

    def play_film(self, session: Session, source: ChosenFile | None, added: tuple[AddedFilm, ...]) -> Iterator[Updates]:
        """Play the chosen film; without one, what is shown of an added film stays."""
        if source is None:
            if not added:
                yield {self.view: show_empty(NO_FILM)}
            return

        # The server delivers its own files only, not the folder.
        player = show_empty(source.name)
        if source.path.is_relative_to(session.space.root):
            film = escape(address_of(source.path))
            player = f'<video class="picture" src="{film}" aria-label="{escape(source.name)}" controls muted></video>'
        yield {self.view: player + show_caption("Name the gesture of this film, and press Add.")}

    def add_film(
        self, session: Session, source: ChosenFile | None, name: str | None, added: tuple[AddedFilm, ...]
    ) -> Iterator[Updates]:
        """Track the chosen film, and add it to its gesture."""
        if source is None:
            raise ConfigError("no film is chosen")

        film = copy_film(source, name_gesture(name or ""), session.folder)
        try:
            for updates in self._study(session, self.status, film, source.name, added):
                # The next film is another one: an upload would otherwise stay chosen.
                yield {**updates, **self.picker.cleared()} if self.added in updates else updates
        except DvspipeError as error:
            film.path.unlink()
            raise error.named(source.name) from error

    def change_part(
        self,
        session: Session,
        name: str | None,
        start_s: float | None,
        stop_s: float | None,
        added: tuple[AddedFilm, ...],
    ) -> Iterator[Updates]:
        """Use another part of the chosen film; an empty time is found in the film."""
        chosen = find_added(added, name)
        film = replace(chosen.film, start_s=read_time(start_s) or 0.0, stop_s=read_time(stop_s))
        yield from self._study(session, self.changing, film, chosen.source, added)

    def _study(
        self, session: Session, status: gr.HTML, film: ExampleFilm, source: str, added: tuple[AddedFilm, ...]
    ) -> Iterator[Updates]:
        def show(new: AddedFilm) -> Updates:
            return self._show(new, put_film(added, new))

        work = partial(study_film, film, source, session.folder)
        yield from follow(session, status, f"adding {readable(film.name)}", work, show)

    def show_gesture(self, _: Session, name: str | None, added: tuple[AddedFilm, ...]) -> Iterator[Updates]:
        """Show the last film of the chosen gesture; the next film is added to this gesture."""
        films = group_films(added).get(name or "")
        if films is None:
            raise ConfigError("no gesture is chosen; add one first")
        yield {self.status: "", **self._show(films[-1], added, name)}

    def show_film(self, _: Session, name: str | None, added: tuple[AddedFilm, ...]) -> Iterator[Updates]:
        """Show the part of the chosen film."""
        yield {self.status: "", **self._show(find_added(added, name), added)}

    def remove_film(self, _: Session, name: str | None, added: tuple[AddedFilm, ...]) -> Iterator[Updates]:
        """Remove the chosen film; a gesture goes with its last film."""
        film = find_added(added, name)
        others = tuple(other for other in added if other is not film)
        left = group_films(others).get(film.gesture, others)
        yield {self.status: "", **self._show(left[-1] if left else None, others)}

    def _show(self, film: AddedFilm | None, added: tuple[AddedFilm, ...], name: str | None = None) -> Updates:
        """Return the updates that show a film, the list of all gestures, and the name for the next film.

        Without a film, the list is empty.
        """
        if film is None:
            return {
                self.added: added,
                self.name: gr.Dropdown(choices=[], value=None),
                self.chosen: gr.Radio(choices=[], value=None, visible=False),
                self.pictures: "",
                self.view: show_empty(NO_FILM),
                self.part: gr.Column(visible=False),
            }

        groups = group_films(added)
        cards = [(f"{readable(name)}: {count_noun(len(films), 'film')}", name) for name, films in groups.items()]
        choices = [each.to_choice() for each in groups[film.gesture]]
        start_s, stop_s = film.part_s
        return {
            self.added: added,
            self.name: gr.Dropdown(choices=[*groups], value=name),
            self.chosen: gr.Radio(choices=cards, value=film.gesture, visible=True),
            self.pictures: style_cards(groups),
            self.view: show_picture(film.picture, f"Movement of {readable(film.gesture)}"),
            self.part: gr.Column(visible=True),
            self.films: gr.Radio(choices=choices, value=film.name),
            self.start: round(start_s, 2),
            self.stop: round(stop_s, 2),
        }

    def train_classifier(
        self,
        session: Session,
        added: tuple[AddedFilm, ...],
        other_files: list[Upload] | None,
        other_names: list[str] | None,
        mirror: Any,
        trained: tuple[Trained, ...],
    ) -> Iterator[Updates]:
        """Train a classifier of the added gestures."""
        if not added:
            raise ConfigError("no gesture is added")

        from ..oneshot import ExampleFilm, LearnConfig

        other = [take_upload(file) for file in other_files or []]
        other += [ChosenFile(self.space.resolve(name), name) for name in other_names or []]
        films = [*(film.film for film in added), *(ExampleFilm(file.path, OTHER) for file in other)]
        run = find_free(session.folder)
        yield {self.command: command_of(added, other, run.name, mirror=bool(mirror))}

        def show(new: Trained) -> Updates:
            return {
                self.result: new.summary,
                self.try_out: gr.Button(interactive=True),
                self.archive: offer_file(new.archive),
                self.trained: (*trained, new),
            }

        work = partial(train_gestures, films, run, LearnConfig(mirror=bool(mirror)))
        yield from follow(session, self.training, "training", work, show)


def find_free(folder: Path) -> Path:
    """Return the next run folder of a session."""
    # Archives of earlier runs are files beside their folders: RUN_NAME-1, RUN_NAME-1.zip.
    names = [path.name for path in folder.glob(f"{RUN_NAME}-*") if path.is_dir()]
    last = max((int(name.removeprefix(f"{RUN_NAME}-")) for name in names), default=0)
    return folder / f"{RUN_NAME}-{last + 1}"


def find_added(added: tuple[AddedFilm, ...], name: str | None) -> AddedFilm:
    """Return the film of a name."""
    for film in added:
        if film.name == name:
            return film

    raise ConfigError("no film is chosen; add one first")


def put_film(added: tuple[AddedFilm, ...], new: AddedFilm) -> tuple[AddedFilm, ...]:
    """Return the films with a new one; it replaces the film of the same name."""
    if any(film.name == new.name for film in added):
        return tuple(new if film.name == new.name else film for film in added)
    return (*added, new)


def read_time(value: float | None) -> float | None:
    """Return a typed time in seconds, or None."""
    if value is None:
        return None
    if not math.isfinite(value):
        raise ConfigError(f"{value}: not a time (expected seconds)")

    return float(value)
