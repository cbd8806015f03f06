"""Web server of the app: local by default, with temporary files that it removes.

`serve` puts the parts together: the page with all tabs (`build_page`), the web app around it with the routes of webcams
and the guard (`_make_app`), a server thread (`_run_server`), and threads that clean up. `check_app` tests all of it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ..base.errors import ConfigError, FileError, Remedy
from ..parallel import ignore_progress
from .answers import classify
from .conversion import IDEAL, Choices, convert_complete, knobs_of, read_excerpt, show_excerpt
from .examples import SAMPLE
from .explorer import RecordingTab
from .gestures import LearnTab
from .guard import TOKEN, Access, CallCheck, Guard, UploadQuota
from .shared import LOGO, ChosenFile, Updates, handle, listen, make_css, make_theme, name_session, show_brand
from .videos import VideoTab
from .webcam import WebcamTab, camera_routes
from .workspace import GRADIO_FOLDER, ROOT_PREFIX, Session, Workspace, remove_abandoned, remove_old, say_running

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
LOCAL = "127.0.0.1"
PORTS = range(7860, 7960)
STARTING_S = 0.01
PAGE_TITLE = "dvspipe"
WEBCAM, VIDEO = "webcam", "video"  # tabs that others open
IS_DARK = "() => document.body.classList.contains('dark')"  # JavaScript
SWEEP_S = 60.0  # interval between clean-ups of old files
UNITS = "BKMGT"  # each unit of `max_upload` is 1024 = 1 << 10 times the previous one
STORED_UPLOADS = 5  # maximum size of all stored uploads, in multiples of `max_upload`
HIDE_TOKEN = (
    f"<script>{{const u=new URL(location);u.searchParams.delete('{TOKEN}');history.replaceState(null,'',u)}}</script>"
)
"""Removes the token from the address bar; by then, the browser has the cookie."""


@dataclass(frozen=True)
class AppSettings:
    """Settings of the server.

    Args:
        folder: Folder that the app may read: recordings, videos, runs and checkpoints below it. The app writes
            nothing there.
        host: Address to listen on.
        port: Port; None: first free port, starting at 7860.
        password: Password of the app; required for hosts other than this machine. Without it, only the printed
            address gives access.
        max_upload: Maximum size of an uploaded file, such as `2GB`. All stored uploads have at most five times this
            size.
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
                f"host = {self.host}: other machines could open the app (found no password)",
                Remedy("password", "PASSWORD", "protect the app"),
            )

    @property
    def max_upload_bytes(self) -> int:
        """Maximum size of an uploaded file in bytes."""
        number, unit = re.findall("[0-9]+|[A-Z]+", self.max_upload.upper())
        prefix = unit[0]  # `G` for `GB`, `B` for bytes
        return int(number) << 10 * UNITS.index(prefix)


def build_page(space: Workspace) -> gr.Blocks:
    """Build the page with all tabs."""
    with gr.Blocks(title=PAGE_TITLE, analytics_enabled=False, fill_width=True) as page:
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
        address: URL of the app with its token.
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
    remove_abandoned(Path(gettempdir()))
    with TemporaryDirectory(prefix=ROOT_PREFIX, ignore_cleanup_errors=True) as root:
        space = Workspace(settings.folder.resolve(), Path(root).resolve())
        space.sessions.mkdir()
        space.uploads.mkdir()
        # Gradio has no other setting for the folder of uploads, and asks for it when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = str(space.uploads)
        gr.set_static_paths(space.sessions)  # otherwise Gradio copies each result to the folder of uploads

        access = Access(settings.password or None)
        page = build_page(space)
        ended = threading.Event()
        try:
            with _run_server(_make_app(page, settings, space, access), settings) as address:
                # In the background, while the user looks at the page.
                for work in (_clean_up, _import_classifier):
                    threading.Thread(target=work, args=(space, ended)).start()
                if settings.browser:
                    webbrowser.open(access.address_once(address))
                yield Served(access.address(address), space)
        finally:
            ended.set()
            space.jobs.stop_all()
            space.cameras.close_all()
            shutil.rmtree(GRADIO_FOLDER, ignore_errors=True)


def _make_app(page: gr.Blocks, settings: AppSettings, space: Workspace, access: Access) -> FastAPI:
    """Return the web app: the page and the live webcams, with the guard."""
    # A server for this machine only answers to its names. Otherwise, a page of another site could reach it by a name of
    # that site that leads to 127.0.0.1 (DNS rebinding).
    hosts = ["*"] if settings.host not in LOCAL_HOSTS else [*LOCAL_HOSTS, "[::1]"]
    quota = UploadQuota(space.uploads, STORED_UPLOADS * settings.max_upload_bytes)
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
        Middleware(Guard, access=access, quota=quota),
        Middleware(CallCheck, folders_of=space.folders_of),
    ]

    app = FastAPI(middleware=guards, routes=camera_routes(space), docs_url=None, redoc_url=None, openapi_url=None)
    page.queue(default_concurrency_limit=8)

    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        app_kwargs={"docs_url": None, "redoc_url": None},
        allowed_paths=[str(space.sessions)],
        favicon_path=str(LOGO),
        show_error=False,
        max_file_size=settings.max_upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=make_theme(),
        css=make_css(),
        head=HIDE_TOKEN,
    )

    return app


@contextmanager
def _run_server(app: FastAPI, settings: AppSettings) -> Iterator[str]:
    """Serve an app in a thread during the block, and yield its URL."""
    listening = _listen(settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        # Any account of this machine can send headers of a proxy, and avoid the limit of logins.
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", ""),
    )

    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        # `uvicorn` has no event for this.
        while not server.started and thread.is_alive():
            time.sleep(STARTING_S)
        host, port, *_ = listening.getsockname()

        # IPv6 addresses need brackets in a URL, and 0.0.0.0 means all addresses of this machine.
        bracketed = f"[{host}]" if ":" in host else host
        name = "localhost" if host == "0.0.0.0" else bracketed
        yield f"http://{name}:{port}/"
    finally:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it logs a forced exit as a traceback
        server.should_exit = True
        server.force_exit = True  # does not wait for pages that are still open
        thread.join()


def _listen(settings: AppSettings) -> socket.socket:
    """Return a socket at the port of the settings, or at the first free port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    reason: OSError | None = None
    for port in PORTS if settings.port is None else [settings.port]:
        try:
            return socket.create_server((settings.host, port), family=family)
        except OSError as error:
            reason = error

    raise ConfigError(
        f"port {settings.port or PORTS[0]}: in use or not allowed ({reason})",
        Remedy("port", "N", "choose another port"),
    ) from reason


def _clean_up(space: Workspace, ended: threading.Event) -> None:
    """Remove old files at intervals, and record that the server is running."""
    while not ended.wait(SWEEP_S):
        say_running(space.root)
        space.close_unused()
        remove_old(space.root)


def _import_classifier(_: Workspace, __: threading.Event) -> None:
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
        classified = classify(source, "gesture-films", folder, ignore_progress)

        first = next((segment for segment in classified.prediction.segments if segment.label is not None), None)
        if first is None:
            raise FileError(f"{SAMPLE.name}: no class was predicted")

        return AppCheck(served.address, len(page), classified.prediction.events, first.class_name)
