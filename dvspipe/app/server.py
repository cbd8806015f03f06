"""The server of the page: on this machine alone unless asked otherwise, with files of its own that it removes."""

from __future__ import annotations

import hmac
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ConfigError, FileError, Remedy
from ..parallel import ignore_progress
from .answers import AnswerTab, classify
from .explorer import RecordingTab
from .pairs import PairTab
from .runs import RunTab
from .shared import CSS, SAMPLE, ChosenFile, handle, listen, make_theme, name_session
from .videos import IDEAL, Choices, VideoTab, convert_complete, knobs_of, read_excerpt, show_excerpt
from .work import ROOT_PREFIX, Workspace, remove_abandoned, remove_old, say_running

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
LOCAL = "127.0.0.1"
PAGE_TITLE = "dvspipe"
SWEEP_S = 300.0  # between two looks for old files
USER_MESSAGE = "The user name does not matter; the password is the one that the server was started with."
CONTENT_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; base-uri 'self'; "
    "form-action 'self'; object-src 'none'"
)
"""What a browser may load: nothing from any other host."""


@dataclass(frozen=True)
class AppSettings:
    """How the page is served.

    Args:
        folder: What it may read: recordings, videos, runs and checkpoints below it.
        host: Address to listen at.
        port: Port; None: the first free one from 7860 on.
        password: Password of the page; needed for other hosts than this machine.
        max_upload: Largest upload, such as `2GB`.
        browser: Whether the page is opened in the browser.
    """

    folder: Path
    host: str = LOCAL
    port: int | None = None
    password: str | None = None
    max_upload: str = "2GB"
    browser: bool = False

    def check(self) -> None:
        """Check that the page can be served safely.

        Raises:
            ConfigError: It would be open to other machines without a password.
            FileError: The folder is missing.
        """
        if not self.folder.is_dir():
            raise FileError(f"{self.folder}: no such folder")
        if not re.fullmatch(r"[0-9]+ ?[KMGT]?B", self.max_upload, re.IGNORECASE):
            raise ConfigError(f"max_upload {self.max_upload}: no size (expected a number and a unit, such as 500MB)")
        if self.host not in LOCAL_HOSTS and not self.password:
            raise ConfigError(
                f"host {self.host}: other machines could open the page (found no password)",
                Remedy("password", "PASSWORD", "protect it"),
            )


class _Guard:
    """Tells browsers to load nothing from other hosts, and does not fetch files from such for them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = CONTENT_POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        if scope["type"] == "http" and any(part in scope["path"] for part in ("file=http", "/proxy=")):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"not allowed"})
            return
        await self._app(scope, receive, send_guarded)


def build_page(space: Workspace) -> gr.Blocks:
    """Return the page with all tabs."""
    with gr.Blocks(title=PAGE_TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.Markdown("# dvspipe\nVideo to events, and what they show. Everything stays on this machine.")
        with gr.Tabs():
            with gr.Tab("Video to events"):
                videos = VideoTab(space)
            with gr.Tab("What does it show?"):
                answers = AnswerTab(space)
            with gr.Tab("Explore"):
                RecordingTab(space)
            with gr.Tab("Compare"):
                pairs = PairTab(space)
            with gr.Tab("Runs") as tab:
                RunTab(space, opened=tab.select)
        first = videos.picker
        for picker in (answers.picker, pairs.video):
            picker.follow(first)
        listen(page.load, handle(space, first.status, first.choose_sample), [], first.outputs)

        def end_session(request: gr.Request) -> None:
            space.close(name_session(request))

        page.unload(end_session)
    return page


@dataclass(frozen=True)
class Served:
    """A page that is served.

    Args:
        address: Its address.
        space: Its folders.
    """

    address: str
    space: Workspace


@contextmanager
def serve(settings: AppSettings) -> Iterator[Served]:
    """Serve the page during the block; afterwards its work is stopped and its temporary files are removed.

    Args:
        settings: How it is served.

    Raises:
        ConfigError: It would be open to other machines without a password, or the port is in use.
        FileError: The folder is missing.
    """
    settings.check()
    remove_abandoned(Path(gettempdir()))
    with TemporaryDirectory(prefix=ROOT_PREFIX, ignore_cleanup_errors=True) as root:
        space = Workspace(settings.folder.resolve(), Path(root).resolve())
        space.sessions.mkdir()
        space.uploads.mkdir()
        _set_environment(space)
        page, ended = build_page(space), threading.Event()
        try:
            address = _launch(page, settings, space)
            for work in (_sweep, _prepare):
                threading.Thread(target=work, args=(space, ended)).start()
            yield Served(address, space)
        finally:
            ended.set()
            space.jobs.stop_all()
            if page.is_running:
                page.server.should_exit = True


def _set_environment(space: Workspace) -> None:
    """Set what Gradio reads: where uploads go, no reports to its makers, and no proxy between it and itself."""
    before = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    direct = ",".join(dict.fromkeys([*filter(None, before.split(",")), *LOCAL_HOSTS]))
    os.environ.update(
        GRADIO_TEMP_DIR=str(space.uploads), GRADIO_ANALYTICS_ENABLED="False", NO_PROXY=direct, no_proxy=direct
    )


def _launch(page: gr.Blocks, settings: AppSettings, space: Workspace) -> str:
    """Start the server in a thread, and return its address."""
    hosts = ["*"] if settings.host not in LOCAL_HOSTS else [*LOCAL_HOSTS, "[::1]"]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(_Guard)]
    password = settings.password
    options: dict[str, Any] = {}
    if password:
        options = {"auth": lambda _, given: hmac.compare_digest(given.encode(), password.encode())}
    page.queue(default_concurrency_limit=8)
    options["_frontend"] = False  # only leaves out a request of the page that has to be answered in 3 s, also if busy
    try:
        _, address, _ = page.launch(
            server_name=settings.host,
            server_port=settings.port,
            inbrowser=settings.browser,
            quiet=True,
            share=False,
            prevent_thread_lock=True,
            ssr_mode=False,
            show_error=False,
            footer_links=[],
            run_history=False,
            allowed_paths=[str(space.sessions)],
            max_file_size=settings.max_upload.lower(),
            enable_monitoring=False,
            app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None},
            auth_message=USER_MESSAGE,
            theme=make_theme(),
            css=CSS,
            mcp_server=False,
            pwa=False,
            **options,
        )
    except OSError as error:
        raise ConfigError(
            f"port {settings.port}: is in use, or not allowed ({error})", Remedy("port", "N", "choose another one")
        ) from error
    return str(address)


def _sweep(space: Workspace, ended: threading.Event) -> None:
    """Remove old files now and then, and say that the server runs."""
    while not ended.wait(SWEEP_S):
        say_running(space.root)
        remove_old(space.root)


def _prepare(_: Workspace, __: threading.Event) -> None:
    """Import what classification needs, so that the first one does not wait for it."""
    from .. import inference  # noqa: F401


@dataclass(frozen=True)
class AppCheck:
    """What a check of the page found.

    Args:
        address: Where it was served.
        page_bytes: Size of the page.
        events: Number of events of the sample clip.
        class_name: What it shows first.
    """

    address: str
    page_bytes: int
    events: int
    class_name: str


def check_app(settings: AppSettings) -> AppCheck:
    """Serve the page, load it over HTTP, run the sample clip through the first two tabs, and return what was found.

    Args:
        settings: How it is served.

    Raises:
        DvspipeError: A part does not work.
    """
    with serve(settings) as served:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(served.address, timeout=60) as response:
            page = response.read()
        if b"gradio" not in page:
            raise FileError(f"{served.address}: is not the page of dvspipe")
        folder = served.space.open("check").folder
        source, choices = ChosenFile(SAMPLE, SAMPLE.name), Choices(IDEAL, knobs_of(IDEAL), "off")
        show_excerpt(read_excerpt(SAMPLE, 0.0, folder / "excerpt"), choices, folder / "player.html")
        converted = convert_complete(source, choices, folder, "light", ignore_progress)
        found = classify(ChosenFile(converted.source, SAMPLE.name), "gesture-synthetic", folder, ignore_progress)
        first = next((each for each in found.prediction.segments if each.label is not None), None)
        if first is None:
            raise FileError(f"{SAMPLE.name}: nothing was recognised")
        return AppCheck(served.address, len(page), found.prediction.events, first.class_name)
