"""Web server of the app: local by default, with temporary files that it removes.

`serve` puts the parts together: the page with all tabs (`build_page`), and Gradio's server with the routes of webcams
(`_launch`). `check_app` tests all of it.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ..base.errors import ConfigError, FileError
from ..base.progress import ignore_progress
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from .answers import classify
from .conversion import IDEAL, Choices, convert_complete, knobs_of, read_excerpt, show_excerpt
from .examples import SAMPLE
from .explorer import RecordingTab
from .gestures import LearnTab
from .shared import LOGO, ChosenFile, Updates, handle, listen, make_css, make_theme, name_session, show_brand
from .videos import VideoTab
from .webcam import WebcamTab, camera_routes
from .workspace import Session, Workspace

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
LOCAL = "127.0.0.1"
PAGE_TITLE = "dvspipe"
WEBCAM, VIDEO = "webcam", "video"  # tabs that others open
IS_DARK = "() => document.body.classList.contains('dark')"  # JavaScript
USER = "dvspipe"  # user name of the login
SWEEP_S = 60  # interval between clean-ups of uploads
KEPT_S = 3600  # lifetime of uploads


@dataclass(frozen=True)
class AppSettings:
    """Settings of the server.

    Args:
        folder: Folder that the app may read: recordings, videos, runs and checkpoints below it. The app writes
            nothing there.
        host: Address to listen on.
        port: Port; None: first free port, starting at 7860.
        password: Password of the app, for the user `dvspipe`; required for hosts other than this machine.
        max_upload: Maximum size of an uploaded file, such as `2GB`.
        browser: Open the app in the browser.
    """

    folder: Path
    host: str = LOCAL
    port: int | None = None
    password: str | None = None
    max_upload: str = "2GB"
    browser: bool = False

    def check(self) -> None:
        """Check that the app can be served safely.

        Raises:
            ConfigError: If other machines could open the app without a password.
            FileError: If the folder is missing.
        """
        if not self.folder.is_dir():
            found = "found a file, expected a folder" if self.folder.exists() else "no such folder"
            raise FileError(f"{self.folder}: {found}")
        if not re.fullmatch(r"[0-9]+ ?[KMGT]?B", self.max_upload, re.IGNORECASE):
            raise ConfigError(
                f"max_upload = {self.max_upload}: not a size (expected a number and a unit, such as 500MB)"
            )

        if self.host not in LOCAL_HOSTS and not self.password:
            raise ConfigError(
                f"host = {self.host}: other machines could open the app (found no password)"
                "; use password=PASSWORD to protect the app"
            )


def build_page(space: Workspace) -> gr.Blocks:
    """Build the page with all tabs."""
    with gr.Blocks(title=PAGE_TITLE, analytics_enabled=False, fill_width=True, delete_cache=(SWEEP_S, KEPT_S)) as page:
        gr.HTML(show_brand())
        is_dark = gr.Checkbox(False, visible=False)

        # Three tabs for everybody; the last one, after a line, for people who know event cameras.
        with gr.Tabs(overflow_behavior="wrap", elem_classes="rooms") as tabs:
            with gr.Tab("Webcam", id=WEBCAM):
                webcam = WebcamTab(space)
            with gr.Tab("Video", id=VIDEO) as tab:
                videos = VideoTab(space, opened=tab.select)
            with gr.Tab("Learn") as tab:
                gestures = LearnTab(space, opened=tab.select)
            with gr.Tab("Explore") as tab:
                recordings = RecordingTab(space, opened=tab.select)

        # The film of a webcam is opened in Video, and a new classifier on the webcam, which starts at once.
        def open_film(_: Session, film: ChosenFile | None) -> Iterator[Updates]:
            yield {tabs: gr.Tabs(selected=VIDEO)}
            yield from videos.picker.choose(film) if film else ()

        opening = handle(space, videos.picker.status, open_film)
        listen(webcam.open.click, opening, [webcam.recorded], [tabs, *videos.picker.outputs])
        for checkpoint in (videos.checkpoint, webcam.checkpoint):
            listen(gestures.trained.change, videos.offer, [gestures.trained], [checkpoint])

        tried = listen(gestures.try_out.click, lambda: gr.Tabs(selected=WEBCAM), [], [tabs])
        webcam.start_after(tried.then)

        # Only the browser knows whether its theme is dark, so colours are set when the page is loaded.
        colours = [videos.colours, recordings.colours]
        listen(page.load, lambda dark: ["dark" if dark else "light"] * len(colours), [is_dark], colours, js=IS_DARK)

        def end_session(request: gr.Request) -> None:
            space.close(name_session(request))

        page.unload(end_session)
    return page


@dataclass(frozen=True)
class Served:
    """Running server.

    Args:
        address: URL of the app.
        space: Folders of the app.
    """

    address: str
    space: Workspace


@contextmanager
def serve(settings: AppSettings) -> Iterator[Served]:
    """Serve the app during the block; then stop its work and remove its temporary files.

    Args:
        settings: Settings of the server.

    Raises:
        ConfigError: If other machines could open the app without a password, or the port is in use.
        FileError: If the folder is missing.
    """
    settings.check()
    _check_address(settings)
    with TemporaryDirectory(prefix="dvspipe-app-", ignore_cleanup_errors=True) as root:
        space = Workspace(settings.folder.resolve(), Path(root).resolve())
        space.sessions.mkdir()
        space.uploads.mkdir()
        # Gradio has no other setting for the folder of uploads, and asks for it when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = str(space.uploads)

        page = build_page(space)
        try:
            address = _launch(page, settings, space)
            # In the background, while the user looks at the page.
            threading.Thread(target=_import_classifier).start()
            yield Served(address, space)
        finally:
            space.stop_all()
            _close(page)


def _check_address(settings: AppSettings) -> None:
    """Check that a server can listen at the address; Gradio would try 100 ports, for 5 s each."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port or 0), family=family).close()
    except OSError as error:
        raise ConfigError(
            f"host {settings.host}, port {settings.port or 'free'}: in use or not allowed ({error})"
            "; use port=N to choose another port"
        ) from error


def _launch(page: gr.Blocks, settings: AppSettings, space: Workspace) -> str:
    """Start the server of a page, with the routes of live webcams, and return its URL."""
    # A server for this machine only answers to its names. Otherwise, a page of another site could reach it by a name of
    # that site that leads to 127.0.0.1 (DNS rebinding).
    hosts = ["*"] if settings.host not in LOCAL_HOSTS else [*LOCAL_HOSTS, "[::1]"]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    # Gradio loads the page once; a proxy could not reach this machine.
    os.environ.setdefault("NO_PROXY", ",".join(LOCAL_HOSTS))

    page.queue(default_concurrency_limit=8)
    # Only pages that Gradio launches check which files they are called with; mounted ones do not.
    page.launch(
        server_name=f"[{settings.host}]" if ":" in settings.host else settings.host,
        server_port=settings.port,
        auth=(USER, settings.password) if settings.password else None,
        auth_message=f"User name: {USER}",
        inbrowser=settings.browser,
        inline=False,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        app_kwargs={"middleware": [guard], "routes": camera_routes(space), "docs_url": None, "redoc_url": None},
        allowed_paths=[str(space.sessions)],
        max_file_size=settings.max_upload,
        favicon_path=str(LOGO),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=make_theme(),
        css=make_css(),
    )

    return str(page.local_url)


def _close(page: gr.Blocks) -> None:
    """End the server of a page."""
    if page.is_running:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it logs a forced exit as a traceback
        page.server.force_exit = True  # does not wait for pages that are still open
        page.close(verbose=False)


def _import_classifier() -> None:
    """Import the classification code in advance, so the first request does not wait for it."""
    from .. import inference  # noqa: F401


@dataclass(frozen=True)
class AppCheck:
    """Result of a check of the app.

    Args:
        address: URL of the app.
        page_bytes: Size of the page.
        events: Number of events of the sample clip.
        class_name: First class predicted for the sample clip.
    """

    address: str
    page_bytes: int
    events: int
    class_name: str


def check_app(settings: AppSettings) -> AppCheck:
    """Serve the app, load it over HTTP, run the sample clip through the first two tabs, and return the result.

    Args:
        settings: Settings of the server.

    Raises:
        DvspipeError: If a part does not work.
    """
    with serve(settings) as served:
        # Without a proxy, which could not reach this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(served.address, timeout=60) as response:
            page = response.read()
        if b"gradio" not in page:
            raise FileError(f"{served.address}: not the dvspipe app")

        folder = served.space.open("check").folder
        source = ChosenFile(SAMPLE, SAMPLE.name)
        choices = Choices(IDEAL, knobs_of(IDEAL), "off")
        show_excerpt(read_excerpt(SAMPLE, 0.0, folder / "excerpt"), choices, folder / "player.html")
        convert_complete(source, choices, folder, ignore_progress)
        classified = classify(source, DEFAULT_CHECKPOINT, folder, ignore_progress)

        first = next((segment for segment in classified.prediction.segments if segment.label is not None), None)
        if first is None:
            raise FileError(f"{SAMPLE.name}: no class was predicted")

        return AppCheck(served.address, len(page), classified.prediction.events, first.class_name)
