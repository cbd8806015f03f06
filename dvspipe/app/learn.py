"""Learn tab: films of gestures, and a classifier that is trained on them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ..base.errors import ConfigError
from ..base.gestures import OTHER
from ..base.texts import readable
from . import tasks
from .files import SAMPLE, renew
from .parts import Page, Site, add_source, add_stop, show_file

MAX_NAME = 40  # characters of a gesture's name, part of file names
NO_RUN = "Add films of one or more gestures, then train."


def name_gesture(text: str) -> str:
    """Return the class name of a gesture from typed text.

    Example:
        >>> name_gesture(" my wave ")
        'my_wave'
    """
    name = "_".join(str(text).split())
    if not re.fullmatch(r"\w[\w-]*", name) or len(name) > MAX_NAME:
        expected = f"letters, digits, spaces and hyphens, at most {MAX_NAME} characters"
        raise ConfigError(f"{name[:MAX_NAME] or 'no text'}: not a name for a gesture (expected {expected})")
    if name == OTHER:
        raise ConfigError(f"a gesture cannot be called {readable(OTHER)}, the class of all other gestures")
    return name


def list_films(folder: Path) -> list[Path]:
    """List the films of a page: below its folder, in a folder per gesture."""
    return sorted(folder.glob("films/*/*"))


def show_films(folder: Path) -> gr.Radio:
    """Return the list of the films of a page."""
    names = [film.name for film in list_films(folder)]
    return gr.Radio(choices=names, value=names[-1] if names else None)


class LearnTab(NamedTuple):
    """Components of the tab that other tabs use.

    Attributes:
        trained: Holds the run folders of the classifiers that were trained in the page.
        try_out: Button that tries the last one.
    """

    trained: gr.State
    try_out: gr.Button


def add_learn(site: Site, tab: gr.Tab) -> LearnTab:
    """Add the components of the tab."""
    trained = gr.State(())
    attempt = gr.State(None)
    gr.Markdown("Film each gesture, and train a classifier. Films of several people, and several films of each, help.")
    with gr.Row():
        with gr.Column(min_width=300):
            options = gr.WebcamOptions(mirror=False)
            film = gr.Video(label="Film of a gesture", sources=["webcam", "upload"], webcam_options=options, height=320)
            source = add_source(site, film, site.files.list_videos, tab.select)
            gesture = gr.Textbox("", label="Name of the gesture")
            add = gr.Button("Add", variant="primary")
        with gr.Column(scale=2, min_width=300):
            films = gr.Radio([], label="Films")
            remove = gr.Button("Remove this film", size="sm")
            mirror = gr.Checkbox(label="The mirrored movement, with the other hand, is the same gesture")
            train = gr.Button("Train", variant="primary")
            stop = gr.Row()
            result = gr.Textbox(NO_RUN, label="Result", interactive=False, lines=3)
            with gr.Row():
                try_out = gr.Button("Try it on the webcam", interactive=False)
                archive = gr.DownloadButton("Download the classifier", interactive=False)
            command = gr.Textbox("", label="Equivalent command", interactive=False, buttons=["copy"])
    report = gr.HTML("")

    def add_film(page: Page, upload: str | None, name: str | None, text: str) -> Iterator[Any]:
        """Copy the chosen film to its gesture."""
        path = site.files.choose(upload, name)
        wanted = name_gesture(text)
        folder = page.folder / "films" / wanted
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(each.stem.rpartition("-")[-1]) for each in folder.iterdir()), default=0)
        shutil.copyfile(path, folder / f"{wanted}-{number}{path.suffix.lower()}")
        yield show_films(page.folder), None, None

    def remove_film(page: Page, name: str | None) -> Iterator[Any]:
        """Remove this film; a gesture goes with its last film."""
        found = [film for film in list_films(page.folder) if film.name == name]
        if not found:
            raise ConfigError("no film is selected")
        found[0].unlink()
        if not any(found[0].parent.iterdir()):
            found[0].parent.rmdir()
        yield show_films(page.folder)

    def train_classifier(page: Page, mirror: bool, before: Any, runs: tuple[Path, ...]) -> Iterator[Any]:
        """Train a classifier of all films; continue an interrupted training of the same films."""
        found = list_films(page.folder)
        if not found:
            raise ConfigError("no film is added")
        plan = tuple(found), mirror
        run = before[1] if before is not None and before[0] == plan else renew(page.folder / "runs") / "gestures"
        words = ["dvspipe", "learn", "films", "-o", run.name, *(["--mirror"] if mirror else [])]
        yield {
            attempt: (plan, run),
            command: shlex.join(words),
            result: "Stop interrupts the training; Train continues.",
        }

        taught = yield from page.run("training", tasks.teach, page.folder / "films", mirror, run)
        yield {
            attempt: None,
            trained: (*runs, taught.run),
            result: taught.summary,
            try_out: gr.Button(interactive=True),
            archive: gr.DownloadButton(value=str(taught.archive), interactive=True),
            report: show_file(taught.report, "Report of the training") if taught.report.is_file() else "",
        }

    on = partial(gr.on, api_visibility="private")
    on([add.click], site.handler(add_film), [*source.inputs, gesture], [films, *source.inputs])
    on([remove.click], site.handler(remove_film), [films], [films])
    outputs = [attempt, trained, result, try_out, archive, report, command]
    taught = on(
        [train.click], site.handler(train_classifier), [mirror, attempt, trained], outputs, show_progress_on=result
    )
    with stop:
        add_stop(taught)

    def open_first(upload: str | None, name: str | None, shown: str | None) -> Any:
        """Choose the example when the tab is opened first."""
        return gr.skip() if upload or name or shown else str(SAMPLE)

    tab.select(open_first, [*source.inputs, films], [film], api_visibility="private", show_progress="hidden")
    return LearnTab(trained, try_out)
