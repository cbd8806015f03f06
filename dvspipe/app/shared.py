"""Shared parts of the tabs: file pickers, event handlers with error messages, embedded pages, and style.

`Tab` is the base of all tabs: `on` connects a handler to an event, `add_work` adds a button for long work, `add_picker`
a file picker. A handler is a generator that gets a session and values, and yields `Updates`; `handle` wraps it for
Gradio, and `follow` runs long work in it. Functions `show_...` return HTML, `offer_...` download buttons.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from ..base.errors import ConfigError, DvspipeError, FileError
from ..formats import Recording, open_recording
from ..recordings.sources import is_video
from ..report import PreviewColours, chart_css
from ..video.opening import open_video
from ..video.video import Video
from .examples import EVENTS, EXAMPLES, FILM, HERE, Example
from .jobs import PageWork, Result, Stopped, WorkProgress
from .recorder import add_recorder, find_film
from .workspace import MAX_NAMES, Session, Workspace, name_folder

log = logging.getLogger(__name__)

Updates = dict[Any, Any]
"""New values of components."""
Handler = Callable[..., Iterator[Updates]]
"""Event handler: called with the session and the values of the inputs."""

LOGO = HERE / "logo.svg"
COLOURS: list[tuple[str, PreviewColours]] = [
    ("ON red, OFF blue, on white", "light"),
    ("ON red, OFF blue, on dark blue", "dark"),
]
POLL_S = 0.25  # interval between progress updates
CHART_GREY = "#808994"
"""Axes of the 3D view."""
FIT_FRAME = (
    "const d=this.contentDocument.documentElement,f=()=>{this.style.height=d.offsetHeight+'px'};"
    "d.dataset.theme=document.body.classList.contains('dark')?'dark':'light';"
    "new ResizeObserver(f).observe(this.contentDocument.body);f()"
)
"""JavaScript that makes a frame as tall as its page, with the theme of the app."""

CSS = """
.gradio-container { width: 100%; max-width: 1800px !important; margin: 0 auto !important; overflow-x: clip; }
.gradio-container .main { padding: .75rem !important; }
.page { width: 100%; min-height: 20rem; border: 0; border-radius: 12px; display: block; }
.plot { --ink: var(--body-text-color); --quiet: var(--body-text-color-subdued); --line: var(--border-color-primary);
  --page: var(--background-fill-secondary); --card: var(--block-background-fill); padding: .5rem; }
.picture { display: block; width: 100%; max-height: 70vh; object-fit: contain; }
.pixels .picture { image-rendering: pixelated; }
.status { display: flex; gap: .75rem; align-items: center; padding: .5rem .75rem; font-variant-numeric: tabular-nums; }
.status progress { appearance: none; width: 10rem; max-width: 40%; height: .6rem; border: 0; border-radius: .3rem;
  overflow: hidden; background: var(--border-color-primary); accent-color: #1d5fbf; }
.status progress::-webkit-progress-bar { background: var(--border-color-primary); }
.status progress::-webkit-progress-value { background: var(--slider-color); transition: width .25s; }
.status progress::-moz-progress-bar { background: var(--slider-color); }
.rooms > .tab-wrapper > .tab-container { flex-wrap: nowrap; overflow: auto hidden; scrollbar-width: none; }
.rooms > .tab-wrapper > .tab-container > button { flex: none; }
.rooms > .tab-wrapper > .tab-container > button:nth-of-type(4) { margin-left: 1rem;
  border-left: 1px solid var(--neutral-400); padding-left: 1.5rem; }
.work:not(:has(.status)) .stops-work { display: none; }
.block:has(> .html-container > .prose:empty) { display: none; }
.when-ready:disabled { display: none !important; }
.brand { display: flex; align-items: center; gap: .75rem; }
.brand svg { width: 2.75rem; height: 2.75rem; flex: none; }
.brand h1 { margin: 0; font-size: 1.6rem; line-height: 1.1; }
.brand p { margin: .15rem 0 0; color: var(--body-text-color-subdued); }
.example { display: flex !important; justify-content: flex-start !important; gap: .75rem; text-align: left;
  font-weight: 500 !important; white-space: normal !important; padding: .4rem !important; }
.example::before { content: ""; flex: none; width: 6.5rem; aspect-ratio: 4 / 3; border-radius: 6px;
  background: #1e2534 center / cover; }
input[type="radio"]:checked { background-color: var(--checkbox-background-color-selected) !important; }
.cards .wrap { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(9rem, 100%), 1fr)); }
.cards label { display: grid; grid-template-columns: auto 1fr; align-items: center; }
.cards label::before { content: ""; grid-column: 1 / -1; width: 100%; aspect-ratio: 4 / 3; border-radius: 6px;
  background: center / cover; }
.error { padding: .5rem .75rem; border-left: 4px solid #b91c1c; overflow-wrap: anywhere; }
.empty { padding: 2rem 1rem; text-align: center; color: var(--body-text-color-subdued); }
.knob { gap: 0 !important; position: relative; }
.knob-help { padding: 0 .75rem .5rem; font-size: .9rem; }
.knob-help summary { width: 1.5rem; height: 1.5rem; line-height: 1.4rem; text-align: center; list-style: none;
  border: 1px solid var(--neutral-400); border-radius: 50%; cursor: pointer; }
.knob-help summary::-webkit-details-marker { display: none; }
.knob-help figure { margin: .5rem 0 0; }
.knob-help img { width: 100%; max-width: 26rem; border-radius: 6px; image-rendering: pixelated; }
.knob-help figcaption { display: grid; grid-template-columns: 1fr 1fr; max-width: 26rem; font-size: .8rem;
  text-align: center; color: var(--body-text-color-subdued); }
.knob-help p { margin: .25rem 0 0; }
.caption { padding: .25rem .5rem; color: var(--body-text-color-subdued); }
.js-plotly-plot .main-svg { background: transparent !important; }
.js-plotly-plot .main-svg text { fill: var(--body-text-color) !important; }
.space-time .js-plotly-plot { height: clamp(18rem, 85vw, 35rem); }
.chosen { overflow-wrap: anywhere; padding: .25rem .5rem; }
.parts {
  display: grid !important;
  grid-template: "choose show" auto "adjust show" 1fr / minmax(19rem, 1fr) minmax(0, 2fr);
}
.parts > .choose { grid-area: choose; }
.parts > .show { grid-area: show; min-width: 0 !important; }
.parts > .adjust { grid-area: adjust; }
@media (max-width: 768px) {
  .gradio-container .main { padding: .25rem !important; }
  .parts { grid-template: "choose" "show" "adjust" / minmax(0, 1fr); }
}
"""
"""CSS of the app; `parts` are laid out by `add_parts`."""


def add_parts(choose: Callable[[], None], show: Callable[[], None], adjust: Callable[[], None]) -> None:
    """Add the parts of a tab: choices on the left, results on the right, adjustments below the choices.

    On a phone the order is choices, results, adjustments.
    """
    with gr.Row(elem_classes="parts"):
        for name, add in (("choose", choose), ("show", show), ("adjust", adjust)):
            with gr.Column(elem_classes=name):
                add()


def add_command() -> gr.Textbox:
    """Add a text box with the equivalent command, to copy."""
    return gr.Textbox("", label="Equivalent command", lines=1, max_lines=4, interactive=False, buttons=["copy"])


def make_theme() -> gr.Theme:
    """Create a theme that matches the reports: system fonts and their colours."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.gray,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_lg,
    )

    return theme.set(
        body_background_fill="#f7f8fa",
        body_background_fill_dark="#12171f",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1b222d",
        body_text_color_subdued="#667085",  # 4.5 : 1 on the background
        button_primary_background_fill="#1d5fbf",
        button_primary_background_fill_hover="#184f9f",
        button_primary_background_fill_dark="#1d5fbf",
        button_primary_background_fill_hover_dark="#2f6fcf",
        button_primary_text_color="#ffffff",
        slider_color="#1d5fbf",
        slider_color_dark="#7fb0f5",
    )


def name_session(request: gr.Request) -> str:
    """Return the name of the session of a request."""
    return name_folder(request.session_hash)


def handle(
    space: Workspace, status: gr.HTML, work: Handler, messages: Sequence[gr.HTML] = ()
) -> Callable[..., Iterator[Updates]]:
    """Wrap a handler for Gradio: errors become a message in the page, never a traceback.

    Earlier `messages` are removed first.
    """

    def run(request: gr.Request, *values: object) -> Iterator[Updates]:
        name = name_session(request)
        try:
            if messages:
                yield dict.fromkeys(messages, "")
            has_updates = bool(messages)
            for updates in work(space.open(name), *values):
                has_updates = True
                yield updates
            if not has_updates:
                yield {status: gr.skip()}  # otherwise Gradio clears all outputs
        except Stopped as stopped:
            yield {status: show_caption(f"Stopped: {stopped}.")}
        except DvspipeError as error:
            yield {status: show_error(space.describe(error))}
        except FileNotFoundError as error:
            gone = FileError(f"{error.filename}: removed (temporary files are kept for an hour); choose it again")
            yield {status: show_error(space.describe(gone))}
        except OSError as error:  # such as a full disk
            yield {status: show_error(space.describe(FileError(str(error))))}
        except Exception as error:  # a defect must not stop the app
            if not (space.sessions / name).exists():  # the page was closed during the work, and its files are removed
                return

            log.exception("unexpected error in the app")
            yield {status: show_error(f"internal error ({type(error).__name__}: {error}); please report it")}

    return run


def follow(
    session: Session, status: gr.HTML, text: str, work: PageWork[Result], show: Callable[[Result], Updates]
) -> Iterator[Updates]:
    """Run long work in a thread; yield its progress as a status line, then the updates that show its result.

    It stops earlier work that has the same status line.
    """
    session.stop(status)
    progress = WorkProgress(text)
    session.space.running[session.name, status] = progress
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(work, progress)
        try:
            while wait([task], POLL_S).not_done:
                yield {status: progress.to_html()}
        finally:
            progress.stop()  # if nobody waits for the work any more
            if session.space.running.get((session.name, status)) is progress:
                del session.space.running[session.name, status]

    try:
        result = task.result()
    except KeyboardInterrupt:
        raise Stopped(text) from None

    yield {status: "", **show(result)}


def show_error(text: str) -> str:
    """Return the HTML of an error message."""
    return f'<div class="error" role="alert">{escape(text)}</div>'


def show_brand() -> str:
    """Return the HTML of the logo, the name, and the purpose of the app."""
    purpose = "Convert videos to events, classify and explore them. All data stay on this machine."
    return f'<header class="brand">{LOGO.read_text("utf-8")}<div><h1>dvspipe</h1><p>{purpose}</p></div></header>'


def make_css() -> str:
    """Return the CSS of the app, with the CSS of charts and the thumbnails of the examples."""
    return chart_css() + CSS + "".join(example.css() for example in EXAMPLES)


def show_empty(text: str) -> str:
    """Return the HTML of a placeholder."""
    return f'<div class="empty">{escape(text)}</div>'


def show_caption(text: str) -> str:
    """Return the HTML of a caption, the text alternative of a chart."""
    return f'<p class="caption">{escape(text)}</p>'


def show_picture(path: Path, text: str) -> str:
    """Return the HTML of a picture with its text alternative."""
    return f'<img class="picture" src="{escape(address_of(path))}" alt="{escape(text)}">'


def address_of(path: Path) -> str:
    """Return the URL of a file of the app; it changes with the content."""
    return f"gradio_api/file={quote(str(path))}?{path.stat().st_mtime_ns}"


def show_page(page: Path, title: str) -> str:
    """Return the HTML of a frame that shows a page of `report`, as tall as the page."""
    address = escape(address_of(page))
    return f'<iframe class="page" title="{escape(title)}" src="{address}" onload="{escape(FIT_FRAME)}"></iframe>'


def show_download(path: Path) -> str:
    """Return the HTML of a link that downloads a file."""
    megabytes = path.stat().st_size / 1e6
    name = escape(path.name)
    link = f'<a class="download" href="{escape(address_of(path))}" download="{name}">{name}</a>'
    return f'<p class="caption">{link} ({megabytes:.1f} MB)</p>'


def offer_file(path: Path) -> gr.DownloadButton:
    """Return a button that downloads a file."""
    megabytes = path.stat().st_size / 1e6
    return gr.DownloadButton(f"Download {path.name} ({megabytes:.1f} MB)", value=str(path), interactive=True)


def offer_nothing(label: str = "Download") -> gr.DownloadButton:
    """Return a disabled download button without a file."""
    return gr.DownloadButton(label, value=None, interactive=False)


def read_number(name: str, value: object, least: float, most: float) -> float:
    """Return a typed number, or raise an error that names its field."""
    if not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigError(f"{name}: {value} (expected {least:g} to {most:g})")

    return float(value)


@dataclass(frozen=True)
class ChosenFile:
    """File chosen in the app.

    Args:
        path: File on this machine.
        name: Display name.
    """

    path: Path
    name: str

    def to_html(self) -> str:
        """Return the HTML of a line with the name of the file."""
        return f'<div class="chosen">Chosen: <b>{escape(self.name)}</b></div>'


Upload = dict[str, Any]
"""Description of an uploaded file, as Gradio gives it: `path` and more."""


def take_upload(upload: Upload) -> ChosenFile:
    """Return an upload; Gradio has checked that it is in the folder of uploads."""
    path = Path(upload["path"])
    return ChosenFile(path, path.name)


@dataclass(frozen=True)
class Picker:
    """File picker of a tab.

    Args:
        source: Component that holds the `ChosenFile`, or None.
        line: Component that shows its name.
        upload: Component that uploads a file.
        status: Component that shows errors.
        check: Opens a file, or raises an error.
    """

    source: gr.State
    line: gr.HTML
    upload: gr.File
    status: gr.HTML
    check: Callable[[Path], object]

    @property
    def outputs(self) -> tuple[Any, ...]:
        """Components that change when a file is chosen."""
        return self.source, self.line, self.upload, self.status

    def cleared(self) -> Updates:
        """Return the updates after which no file is chosen."""
        return {self.source: None, self.line: "", self.upload: None}

    def choose(self, source: ChosenFile) -> Iterator[Updates]:
        """Choose a file; a file that cannot be read leaves no file chosen."""
        try:
            self.check(source.path)
        except DvspipeError as error:
            yield self.cleared()
            # An upload has another name on disk, so the error names the file that the user chose.
            if source.name in str(error):
                raise
            raise error.named(source.name) from error

        yield {self.source: source, self.line: source.to_html(), self.status: ""}

    def choose_example(self, session: Session, example: Example) -> Iterator[Updates]:
        """Choose an included example."""
        return self.choose(ChosenFile(example.put(session), example.name))


def open_any(path: Path) -> Video | Recording:
    """Open a video or a recording."""
    return open_video(path) if is_video(path) else open_recording(path)


@dataclass(frozen=True)
class FileKind:
    """Kind of the files of a picker.

    Args:
        name: Name, such as `Video`.
        list_names: Lists the files below the folder.
        check: Opens a file, or raises an error.
        examples: Included examples.
    """

    name: str
    list_names: Callable[[Workspace], list[str]]
    check: Callable[[Path], object]
    examples: tuple[Example, ...]


def list_any(space: Workspace) -> list[str]:
    """List the recordings and videos below the folder."""
    return sorted({*space.list_recordings(), *space.list_videos()})


VIDEO_FILE = FileKind("Video", Workspace.list_videos, open_video, (FILM,))
RECORDING_FILE = FileKind("Recording", Workspace.list_recordings, open_recording, (EVENTS,))
ANY_FILE = FileKind("Recording or video", list_any, open_any, EXAMPLES)


class Tab:
    """Tab of the page. Its attributes are its components, and each handler may update any of them.

    Args:
        space: Folders of the app.

    Attributes:
        messages: Progress and errors, each beside what it is about.
        status: The first of them.
    """

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.messages: list[gr.HTML] = []
        self.status = self.make_message()

    def make_message(self) -> gr.HTML:
        """Make a place for progress and errors, to be rendered beside what they are about."""
        self.messages.append(gr.HTML("", render=False))
        return self.messages[-1]

    def on(
        self, event: Any, work: Handler, inputs: Iterable[Any] = (), *, status: gr.HTML | None = None, **options: Any
    ) -> Any:
        """Connect a handler to an action of the user, which removes the messages of the previous action."""
        run = handle(self.space, status or self.status, work, self.messages)
        return listen(event, run, inputs, self.outputs, **options)

    def after(
        self, event: Any, work: Handler, inputs: Iterable[Any] = (), *, status: gr.HTML | None = None, **options: Any
    ) -> Any:
        """Connect a handler to what follows from an action; other messages stay."""
        return listen(event, handle(self.space, status or self.status, work), inputs, self.outputs, **options)

    @property
    def outputs(self) -> list[gr.blocks.Block]:
        """Components that handlers may update."""
        components: list[gr.blocks.Block] = []
        for value in vars(self).values():
            listed = value if isinstance(value, list) else [value]
            parts = value.outputs if isinstance(value, Picker) else listed
            components += [part for part in parts if isinstance(part, gr.blocks.Block)]

        # Each component once: some are attributes of a tab and of its picker.
        return list(dict.fromkeys(components))

    def add_work(self, text: str, status: gr.HTML | None = None, **options: Any) -> gr.Button:
        """Add the button that starts long work; while it runs, Stop is beside it and its progress is below."""
        with gr.Column(elem_classes="work"):
            with gr.Row():
                button = gr.Button(text, **options)
                self._add_stop(status or self.status)
            (status or self.status).render()

        return button

    def add_progress(self, status: gr.HTML) -> None:
        """Add the progress of work that no button starts, with Stop above it."""
        with gr.Column(elem_classes="work"):
            self._add_stop(status)
            status.render()

    def _add_stop(self, status: gr.HTML) -> None:
        """Add the button that stops the work; it is visible while the status beside it shows progress."""

        def stop(request: gr.Request) -> None:
            Session(self.space, name_session(request)).stop(status)

        listen(gr.Button("Stop", variant="stop", elem_classes="stops-work", min_width=100).click, stop, [], [])

    def add_picker(self, kind: FileKind, *, webcam: bool = False) -> Picker:
        """Add a file picker to the tab, with its own message: later work must not replace an error of a chosen file."""
        # A tab for each source of a file.
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Examples"):
                buttons = [
                    gr.Button(included.text, elem_classes=["example", included.css_class]) for included in kind.examples
                ]

            with gr.Tab("Upload"):
                upload = gr.File(label=kind.name, type="filepath", height=140)

            if webcam:
                with gr.Tab("Webcam"):
                    recorder = add_recorder()

            with gr.Tab("Folder"):
                below = gr.Dropdown(
                    kind.list_names(self.space),
                    value=None,
                    label=f"{kind.name} in {self.space.folder.name}/",
                    allow_custom_value=True,
                    info=f"Choose a file or type its path; at most {MAX_NAMES} files are listed.",
                )
                refresh = gr.Button("Refresh the list", size="sm")

        # All of them set the same picker.
        picker = Picker(gr.State(None), gr.HTML(""), upload, self.make_message(), kind.check)
        picker.status.render()

        def choose_file(_: Session, file: Upload | None) -> Iterator[Updates]:
            return picker.choose(take_upload(file)) if file else iter(())

        def choose_recorded(session: Session, path: object) -> Iterator[Updates]:
            return picker.choose(copy_recorded(find_film(self.space, path), session))

        def choose_below(_: Session, name: str | None) -> Iterator[Updates]:
            return picker.choose(ChosenFile(self.space.resolve(name), name)) if name else iter(())

        outputs = [*picker.outputs, *self.messages]

        def connect(event: Any, work: Handler, *inputs: Any) -> None:
            listen(event, handle(self.space, picker.status, work, self.messages), inputs, outputs)

        connect(upload.upload, choose_file, upload)
        connect(below.input, choose_below, below)
        listen(refresh.click, lambda: gr.Dropdown(choices=kind.list_names(self.space)), [], [below])

        # A new recording, or a removed file, must not leave the previous file chosen.
        def choose_nothing(_: Session) -> Iterator[Updates]:
            yield picker.cleared()

        connect(upload.clear, choose_nothing)
        if webcam:
            keep = handle(self.space, picker.status, choose_recorded, self.messages)

            def record(request: gr.Request, event: gr.EventData) -> Iterator[Updates]:
                yield from keep(request, event.path)

            connect(recorder.start_recording, choose_nothing)
            listen(recorder.stop_recording, record, [], outputs)

        # An argument with a default, because a closure would see the last example of the loop.
        for button, example in zip(buttons, kind.examples, strict=True):

            def choose_example(session: Session, example: Example = example) -> Iterator[Updates]:
                return picker.choose_example(session, example)

            connect(button.click, choose_example)

        return picker


def copy_recorded(path: Path, session: Session) -> ChosenFile:
    """Copy a film that a browser recorded to the session."""
    film = Path(shutil.copyfile(path, session.new_folder("recorded") / f"webcam{path.suffix}"))
    return ChosenFile(film, f"webcam {datetime.now():%H.%M.%S}{path.suffix}")


def listen(
    event: Any, work: Callable[..., object] | None, inputs: Iterable[Any], outputs: Iterable[Any], **options: Any
) -> Any:
    """Connect a handler, or only JavaScript, to an event.

    It is not part of a public API, and the app shows progress itself. Handlers get the values as they are, and check
    them: Gradio would refuse numbers without naming their field.
    """
    defaults = {"api_visibility": "private", "show_progress": "hidden", "preprocess": False}
    return event(work, list(inputs), list(outputs), **(defaults | options))
