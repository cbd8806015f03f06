"""Shared parts of the tabs: the site, handlers that explain errors, the choice of a file, HTML and style."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from ..base.errors import DvspipeError
from .files import HERE, Files, renew
from .work import Report, Workers

log = logging.getLogger(__name__)

LOGO = HERE / "logo.svg"
FIT_FRAME = (
    "const d=this.contentDocument.documentElement,f=()=>{this.style.height=d.offsetHeight+'px'};"
    "d.dataset.theme=document.body.classList.contains('dark')?'dark':'light';"
    "new ResizeObserver(f).observe(this.contentDocument.body);f()"
)
"""JavaScript that makes a frame as tall as its page, with the theme of the app."""

CSS = """
.gradio-container .main { padding: .75rem !important; }
.page { width: 100%; min-height: 20rem; border: 0; border-radius: 12px; display: block; }
.picture, .events { display: block; width: 100%; max-height: 80vh; object-fit: contain; background: #fff;
  border-radius: 8px; }
.events { image-rendering: pixelated; }
.webcam video, .events { transform: scaleX(-1); }
.label b { display: block; font-size: clamp(1.5rem, 5vw, 2.5rem); line-height: 1.2; }
.label p { min-height: 1.5rem; margin: 0; font-variant-numeric: tabular-nums; }
.doubtful b, .facts, .empty, .brand p { color: var(--body-text-color-subdued); }
.facts-box textarea { font-family: var(--font-mono); }
.slow { padding-left: .75rem; border-left: 4px solid #b45309; }
.empty { padding: 2rem 1rem; text-align: center; }
.brand { display: flex; align-items: center; gap: .75rem; }
.brand svg { width: 2.75rem; flex: none; }
.brand h1, .brand p { margin: 0; }
"""


@dataclass(frozen=True)
class Page:
    """Page of a browser, in one of its requests.

    Args:
        site: Server.
        folder: Folder of the page's results.
        progress: Progress bar.
    """

    site: Site
    folder: Path
    progress: gr.Progress

    def new_folder(self, name: str) -> Path:
        """Create an empty folder for results."""
        return renew(self.folder / name)

    def run(self, text: str, function: Callable[..., Any], *arguments: Any) -> Generator[Any, None, Any]:
        """Run a function of `tasks` in a worker, as a generator that returns its result and shows its progress."""

        def report(made: Report) -> None:
            share = min(1.0, made.done / made.total) if made.total else None
            self.progress(share, ", ".join(filter(None, (text, made.step))))

        self.progress(None, text)
        work = self.site.workers.call(text, function, *arguments, report=report)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            yield gr.skip()


Handler = Callable[..., Iterator[Any]]
"""Event handler: called with the page and the values of the inputs; yields values of the outputs."""


@dataclass(frozen=True)
class Site:
    """Server of pages.

    Args:
        files: Files that pages may read and write.
        workers: Processes that read files.
        webcams: Live webcams by the hash of their session.
    """

    files: Files
    workers: Workers = field(default_factory=Workers)
    webcams: dict[str | None, Any] = field(default_factory=dict)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn errors into messages of the page."""
        try:
            yield
        except (DvspipeError, OSError) as error:
            raise _explain(self.files.describe(error)) from None
        except Exception as error:  # a defect must not leave the page without a message
            if isinstance(error, gr.Error):
                raise
            log.exception("unexpected error in the app")
            raise _explain(f"internal error ({type(error).__name__}: {error}); please report it") from None

    def handler(self, work: Handler) -> Handler:
        """Wrap an event handler for Gradio."""

        def run(request: gr.Request, progress: gr.Progress = gr.Progress(), *values: Any) -> Iterator[Any]:
            page = Page(self, self.files.of_page(request.session_hash), progress)
            yield gr.skip()  # a generator without values would clear the outputs
            with self.explaining():
                yield from work(page, *values)

        return run

    def stop_webcam(self, request: gr.Request) -> None:
        """Stop the webcam of a page."""
        webcam = self.webcams.pop(request.session_hash, None)
        if webcam is not None:
            webcam.stop()


def _explain(text: str) -> gr.Error:
    return gr.Error(escape(text), duration=None, print_exception=False)


@dataclass(frozen=True)
class FileChoice:
    """Choice of a file: an upload, or a file below the folder.

    Args:
        upload: Component of the upload.
        name: Component of the name below the folder.
        chosen: Events after which another file is chosen.
    """

    upload: Any
    name: gr.Dropdown
    chosen: list[Any]

    @property
    def inputs(self) -> list[Any]:
        """Components whose values `Files.choose` takes."""
        return [self.upload, self.name]

    def connect(self, work: Handler, inputs: list[Any], outputs: list[Any], shown: Any) -> list[Any]:
        """Connect a handler to the choice of a file; its progress is in the component `shown`."""
        options = {"show_progress_on": shown, "trigger_mode": "always_last", "api_visibility": "private"}
        return [chosen(work, [*self.inputs, *inputs], outputs, **options) for chosen in self.chosen]


def add_source(site: Site, upload: Any, list_names: Callable[[], list[str]], opened: Any) -> FileChoice:
    """Add the choice of a file below the folder, which counts until the next upload."""
    name = gr.Dropdown(
        list_names(),
        value=None,
        label=f"or a file in {site.files.folder.name}/",
        allow_custom_value=True,
        info="Choose a file or type its path.",
    )
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    opened(lambda: gr.Dropdown(choices=list_names()), None, [name], **quiet)
    uploaded = upload.change(lambda path: None if path else gr.skip(), [upload], [name], **quiet)
    return FileChoice(upload, name, [uploaded.then, name.input])


def add_stop(*events: Any) -> None:
    """Add a button that stops the work of events."""
    gr.Button("Stop", size="sm").click(None, None, None, cancels=[*events], api_visibility="private")


def make_theme() -> gr.Theme:
    """Create a theme that matches the reports: system fonts and their colours."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.gray,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return theme.set(
        body_background_fill="#f7f8fa",
        body_background_fill_dark="#12171f",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1b222d",
        body_text_color_subdued="#667085",  # 4.5 : 1 on the background
        button_primary_background_fill="#1d5fbf",
        button_primary_background_fill_dark="#1d5fbf",
        button_primary_text_color="#ffffff",
        slider_color="#1d5fbf",
    )


def show_brand() -> str:
    """Return the HTML of the logo, the name, and the purpose of the app."""
    purpose = "Convert videos to events, classify and explore them. All data stay on this machine."
    return f'<header class="brand">{LOGO.read_text("utf-8")}<div><h1>dvspipe</h1><p>{purpose}</p></div></header>'


def show_empty(text: str) -> str:
    """Return the HTML of a placeholder."""
    return f'<div class="empty">{escape(text)}</div>'


def address_of(path: Path) -> str:
    """Return the URL of a result; it changes with the content."""
    return escape(f"gradio_api/file={quote(str(path))}?{path.stat().st_mtime_ns}")


def show_file(path: Path, text: str) -> str:
    """Return the HTML of a film, a picture, or a page of `report` in a frame as tall as the page."""
    address, title = address_of(path), escape(text)
    if path.suffix == ".html":
        return f'<iframe class="page" title="{title}" src="{address}" onload="{escape(FIT_FRAME)}"></iframe>'
    if path.suffix == ".png":
        return f'<img class="picture" src="{address}" alt="{title}">'
    return f'<video class="picture" src="{address}" aria-label="{title}" autoplay loop muted controls></video>'
