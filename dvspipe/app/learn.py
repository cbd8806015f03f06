"""Learn tab: films of gestures, and a classifier that is trained on them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ..base.errors import ConfigError
from . import tasks
from .files import SAMPLE
from .parts import Page, Site, add_source, add_stop

MAX_NAME = 40  # characters of a gesture's name, part of file names
NO_RUN = "Add films of two gestures or more, or of one and of other gestures, then train."


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
    return name


def list_films(folder: Path) -> list[Path]:
    """List the films of a page: below its folder, in a folder per gesture."""
    return sorted(folder.glob("films/*/*"))


def show_films(folder: Path) -> gr.Radio:
    """Return the list of the films of a page."""
    names = [film.name for film in list_films(folder)]
    return gr.Radio(choices=names, value=names[-1] if names else None)


class LearnTab:
    """Learn tab: its components and their event handlers.

    Args:
        site: Server.
        tab: Tab, which is selected.
    """

    def __init__(self, site: Site, tab: gr.Tab) -> None:
        self.site = site
        self._add(tab)
        self._connect(tab)

    def _add(self, tab: gr.Tab) -> None:
        self.trained = gr.State(())
        gr.Markdown(
            "Film each gesture, and train a classifier. Films of several people help, and "
            "films without any of the gestures, called other gestures."
        )

        with gr.Row():
            with gr.Column(min_width=300):
                options = gr.WebcamOptions(mirror=False)
                self.film = gr.Video(
                    label="Film of a gesture", sources=["webcam", "upload"], webcam_options=options, height=320
                )
                self.source = add_source(self.site, self.film, self.site.files.list_videos, tab.select)
                self.gesture = gr.Textbox("", label="Name of the gesture")
                self.add = gr.Button("Add", variant="primary")

            with gr.Column(scale=2, min_width=300):
                self.films = gr.Radio([], label="Films")
                self.remove = gr.Button("Remove this film", size="sm")
                self.mirror = gr.Checkbox(label="The mirrored movement, with the other hand, is the same gesture")
                self.train = gr.Button("Train", variant="primary")
                self.stop = gr.Row()
                self.result = gr.Textbox(NO_RUN, label="Result", interactive=False, lines=3)
                with gr.Row():
                    self.try_out = gr.Button("Try it on the webcam", interactive=False)
                    self.archive = gr.DownloadButton("Download the classifier", interactive=False)
                self.command = gr.Textbox("", label="Equivalent command", interactive=False, buttons=["copy"])

    def _connect(self, tab: gr.Tab) -> None:
        on = partial(gr.on, api_visibility="private")
        on(
            [self.add.click],
            self.site.handler(self.add_film),
            [*self.source.inputs, self.gesture],
            [self.films, *self.source.inputs],
        )
        on([self.remove.click], self.site.handler(self.remove_film), [self.films], [self.films])
        outputs = [self.trained, self.result, self.try_out, self.archive, self.command]
        taught = on(
            [self.train.click],
            self.site.handler(self.train_classifier),
            [self.mirror, self.trained],
            outputs,
            show_progress_on=self.result,
        )
        with self.stop:
            add_stop(taught)

        tab.select(
            self.open_first,
            [*self.source.inputs, self.films],
            [self.film],
            api_visibility="private",
            show_progress="hidden",
        )

    def add_film(self, page: Page, upload: str | None, name: str | None, text: str) -> Iterator[Any]:
        """Copy the chosen film to its gesture."""
        path = self.site.files.choose(upload, name)
        wanted = name_gesture(text)
        folder = page.folder / "films" / wanted
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(each.stem.rpartition("-")[-1]) for each in folder.iterdir()), default=0)
        shutil.copyfile(path, folder / f"{wanted}-{number}{path.suffix.lower()}")
        yield show_films(page.folder), None, None

    def remove_film(self, page: Page, name: str | None) -> Iterator[Any]:
        """Remove this film; a gesture goes with its last film."""
        found = [film for film in list_films(page.folder) if film.name == name]
        if not found:
            raise ConfigError("no film is selected")
        found[0].unlink()
        if not any(found[0].parent.iterdir()):
            found[0].parent.rmdir()
        yield show_films(page.folder)

    def train_classifier(self, page: Page, mirror: bool, runs: tuple[Path, ...]) -> Iterator[Any]:
        """Train a classifier of all films."""
        found = list_films(page.folder)
        if not found:
            raise ConfigError("no film is added")
        run = page.folder / f"gestures-{len(runs) + 1}"
        shutil.rmtree(run, ignore_errors=True)  # of an interrupted training
        words = ["dvspipe", "learn", "films", "-o", run.name, *(["--mirror"] if mirror else [])]
        yield {
            self.command: shlex.join(words),
            self.result: "",
        }

        taught = yield from page.run("training", tasks.teach, page.folder / "films", mirror, run)
        yield {
            self.trained: (*runs, taught.run),
            self.result: taught.summary,
            self.try_out: gr.Button(interactive=True),
            self.archive: gr.DownloadButton(value=str(taught.archive), interactive=True),
        }

    def open_first(self, upload: str | None, name: str | None, shown: str | None) -> Any:
        """Choose the example when the tab is opened first."""
        return gr.skip() if upload or name or shown else str(SAMPLE)
