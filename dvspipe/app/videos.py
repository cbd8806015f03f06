"""Video tab: what a video or a recording shows, with its events; the sensor that made them; download in any format.

A chosen file is shown and classified at once. Of a video, the first two seconds appear as events before the answer, and
they are simulated again whenever a setting of the sensor changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from ..base.errors import ConfigError
from ..base.progress import Progress
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..recordings.sources import is_video
from ..report import PreviewColours
from .answers import (
    SHIPPED_NAMES,
    WINDOW_HEADS,
    Classified,
    classify,
    command_of,
    list_classifiers,
    list_windows,
)
from .conversion import (
    EXCERPT_S,
    IDEAL,
    KNOBS,
    UPSAMPLING,
    Choices,
    Excerpt,
    export,
    knobs_of,
    last_start_s,
    read_choices,
    read_excerpt,
    sensors,
    show_excerpt,
)
from .examples import FILM
from .gestures import Trained
from .jobs import StagedProgress
from .shared import (
    ANY_FILE,
    COLOURS,
    ChosenFile,
    Tab,
    Updates,
    Upload,
    add_command,
    add_parts,
    follow,
    listen,
    show_caption,
    show_download,
    show_empty,
    show_page,
    take_upload,
)
from .workspace import Session, Workspace, safe_stem

NO_FILE = "Choose a video or a recording: its events and what it shows appear here."
ANSWER = ".zip"
DOWNLOADS = [
    ("Events: HDF5 (.h5)", ".h5"),
    ("Events: CSV", ".csv"),
    ("Events: AEDAT 4", ".aedat4"),
    ("Film of the events: WebM", ".webm"),
    ("Film of the events: MP4", ".mp4"),
    ("Sheet of pictures: PNG", ".png"),
    ("Answer with all its files: ZIP", ANSWER),
]
CLICK_LINK = "() => [...document.querySelectorAll('a.download')].find(link => link.checkVisibility())?.click()"
"""JavaScript that starts the download of a new file."""


class ExcerptSettings(NamedTuple):
    """Source and settings of an excerpt."""

    source: ChosenFile
    start_s: float
    choices: Choices
    colours: PreviewColours


class ShownExcerpt(NamedTuple):
    """The excerpt shown, with its frames; its session keeps it."""

    settings: ExcerptSettings
    excerpt: Excerpt


class VideoTab(Tab):
    """Video tab: its components and their event handlers.

    Args:
        space: Folders of the app.
        opened: Event that fires when the tab is opened.
    """

    def __init__(self, space: Workspace, opened: Any) -> None:
        super().__init__(space)
        self.exporting = self.make_message()
        self.previewing = self.make_message()
        self.excerpt: gr.State = gr.State(None)
        self.classified: gr.State = gr.State(None)

        add_parts(self._add_choice, self._add_answer, self._add_details)
        with gr.Accordion("Sensor", open=False) as self.sensor:
            add_parts(self._add_preset, self._add_preview, self._add_knobs)

        self._connect(opened)

    def _add_choice(self) -> None:
        self.picker = self.add_picker(ANY_FILE)
        self.checkpoint = gr.Dropdown(
            list_classifiers(self.space),
            value=DEFAULT_CHECKPOINT,
            label="Classifier",
            info="An included classifier, or a checkpoint or run below the folder.",
        )
        self.joints = gr.Checkbox(
            value=True,
            label="Use the joints of people in videos",
            info="By events and joints, if the classifier can; recordings are always classified by events alone.",
        )
        self.classify = self.add_work("Classify", variant="primary")

    def _add_answer(self) -> None:
        self.page = gr.HTML(show_empty(NO_FILE))

    def _add_details(self) -> None:
        self.format = gr.Dropdown(DOWNLOADS, value=".h5", label="Format of the download")
        self.download = self.add_work("Download", self.exporting)
        with gr.Accordion("More", open=False):
            self.upload = gr.File(label="Another checkpoint (.safetensors)", file_types=[".safetensors"], height=140)
            self.answer_command = add_command()
            self.windows = gr.Dataframe(headers=list(WINDOW_HEADS), interactive=False, wrap=True, label="Windows")

    def _add_preset(self) -> None:
        self.preset = gr.Dropdown(
            sensors(), value=IDEAL, label="Sensor", info="Sets the sliders below; ideal: no noise."
        )
        self.colours = gr.Dropdown(COLOURS, value="light", label="Colours")

    def _add_preview(self) -> None:
        self.previewing.render()
        self.preview = gr.HTML("")
        self.start = gr.Slider(
            0, 60, 0, step=0.1, label="Start of the preview (s)", info=f"The preview lasts {EXCERPT_S:g} s."
        )
        self.command = add_command()

    def _add_knobs(self) -> None:
        self.knobs: list[gr.Slider] = []
        for knob, value in zip(KNOBS, knobs_of(IDEAL), strict=True):
            with gr.Column(elem_classes="knob"):
                self.knobs.append(gr.Slider(knob.least, knob.most, value, step=knob.step, label=knob.label))
                gr.HTML(knob.to_html())

        self.upsampling = gr.Dropdown(
            list(UPSAMPLING),
            value="off",
            label="Steps between frames",
            info="Estimates motion between frames for finer event times; takes longer.",
        )

    def _connect(self, opened: Any) -> None:
        settings = [self.preset, *self.knobs, self.upsampling, self.colours]
        network = [self.picker.source, self.checkpoint, self.upload, self.joints]
        listen(self.preset.input, lambda name: list(knobs_of(name)), [self.preset], self.knobs)

        # A chosen file is shown, and then classified.
        self.on(opened, self.open_first, [self.picker.source])
        shown = self.after(self.picker.source.change, self.show_file, [self.picker.source, *settings])
        self.after(shown.then, self.classify_chosen, network, concurrency_limit=2)
        self.on(self.classify.click, self.show_answer, network, concurrency_limit=2)

        # `change` fires for pointer, keys, the reset button and a preset. Of several changes during a simulation, only
        # the last one counts.
        changes = [component.change for component in (self.start, *settings)]
        excerpt = [self.excerpt, self.start, self.picker.source, *settings]
        self.after(
            partial(gr.on, changes),
            self.show_excerpt,
            excerpt,
            status=self.previewing,
            trigger_mode="always_last",
        )

        exported = [self.picker.source, self.format, self.classified, *settings]
        written = self.on(self.download.click, self.make_file, exported, status=self.exporting, concurrency_limit=2)
        listen(written.then, None, [], [], js=CLICK_LINK)

    def offer(self, trained: tuple[Trained, ...]) -> gr.Dropdown:
        """Offer the classifiers that were trained in this session, and choose the last one."""
        choices = [classifier.to_choice() for classifier in trained]
        _, last_run = choices[-1]
        return gr.Dropdown(choices=[*list_classifiers(self.space), *choices], value=last_run)

    def open_first(self, session: Session, source: ChosenFile | None) -> Iterator[Updates]:
        """Choose the example when the tab is opened, unless a file is chosen."""
        return iter(()) if source else self.picker.choose_example(session, FILM)

    def show_file(self, session: Session, source: ChosenFile | None, *values: Any) -> Iterator[Updates]:
        """Remove what belongs to the previous file, and show two seconds of a video as events."""
        session.stop(self.status)  # the classification of the previous file
        yield {
            **self._clear_answer(NO_FILE if source is None else f"Reading {source.name}."),
            self.preview: "",
            self.command: "",
            self.exporting: "",
            self.excerpt: None,
        }
        if source is None:
            return

        yield {self.sensor: gr.Accordion(visible=is_video(source.path))}
        if is_video(source.path):
            for updates in self.show_excerpt(session, None, 0.0, source, *values):
                yield {**updates, self.page: updates[self.preview]}
            yield {self.start: gr.Slider(maximum=last_start_s(source.path), value=0.0)}

    def show_excerpt(
        self,
        session: Session,
        shown: ShownExcerpt | None,
        start_s: float | None,
        source: ChosenFile | None,
        *values: Any,
    ) -> Iterator[Updates]:
        """Show two seconds of the video as events, unless they are already shown or a value is being typed."""
        # A number that is being typed is None.
        if source is None or not is_video(source.path) or start_s is None or None in values:
            return

        # A change may report a value that is shown already, also after a wrong one.
        choices, colours = read_choices(values)
        wanted = ExcerptSettings(source, start_s, choices, colours)
        if shown is not None and shown.settings == wanted:
            yield {self.previewing: ""}
            return

        # Frames are read again only for another video or another start.
        folder = session.folder / "excerpts" / f"{source.path.stat().st_ino}-{start_s:g}"
        can_reuse = shown is not None and shown.excerpt.picture.parent == folder
        excerpt = shown.excerpt if shown and can_reuse else read_excerpt(source.path, float(start_s), folder)

        page = session.new_folder("shown") / "player.html"
        show_excerpt(excerpt, choices, page, colours)
        size = f"{EXCERPT_S:g} s from {start_s:g} s, {excerpt.size} pixels"
        note = show_caption(f"Preview: {size}. Rates and counts are of the preview; a download has all pixels.")
        yield {
            self.previewing: "",
            self.preview: note + show_page(page, "Preview of the video and its events"),
            self.command: choices.command(source.name, f"{safe_stem(source.name)}.h5"),
            self.excerpt: ShownExcerpt(wanted, excerpt),
        }

    def _clear_answer(self, text: str) -> Updates:
        """Return the updates that replace the answer for the previous file by a text."""
        return {self.page: show_empty(text), self.windows: [], self.answer_command: "", self.classified: None}

    def classify_chosen(self, session: Session, source: ChosenFile | None, *network: Any) -> Iterator[Updates]:
        """Classify a file when it is chosen."""
        return iter(()) if source is None else self.show_answer(session, source, *network)

    def show_answer(
        self, session: Session, source: ChosenFile | None, name: str, file: Upload | None, joints: Any
    ) -> Iterator[Updates]:
        """Classify the chosen file and show the result."""
        if source is None:
            raise ConfigError("choose a video or a recording first")

        # A name is an included classifier or a file below the folder: the page must not read other files.
        checkpoint: str | Path = take_upload(file).path if file else name
        if not file and name not in SHIPPED_NAMES:
            checkpoint = self.space.resolve(name)

        # The command names an upload, or a classifier trained in this session, without its temporary folder.
        path = Path(checkpoint if file else name)
        command = command_of(source.name, path.name if path.is_absolute() else name, joints=bool(joints))

        def work(progress: Progress) -> Classified:
            return classify(source, checkpoint, session.new_folder("classified"), progress, joints=bool(joints))

        def show(classified: Classified) -> Updates:
            return {
                self.page: show_page(classified.page, "Events and predictions over time"),
                self.windows: list_windows(classified),
                self.answer_command: command,
                self.classified: classified,
            }

        yield from follow(session, self.status, "classifying", work, show)

    def make_file(
        self, session: Session, source: ChosenFile | None, suffix: str, classified: Classified | None, *values: Any
    ) -> Iterator[Updates]:
        """Write a file for download."""
        if source is None:
            raise ConfigError("choose a video or a recording first")
        if suffix == ANSWER:
            if classified is None:
                raise ConfigError("there is no answer yet; press Classify first")
            yield {self.exporting: show_download(classified.archive)}
            return

        choices, colours = read_choices(values)
        folder = session.new_folder("download")

        def work(progress: StagedProgress) -> Path:
            return export(source, choices, suffix, folder, colours, progress)

        yield from follow(
            session, self.exporting, "writing the file", work, lambda path: {self.exporting: show_download(path)}
        )
