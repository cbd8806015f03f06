"""Web server of the page: local by default, with temporary files that it removes."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ..base.errors import ConfigError, FileError
from . import tasks
from .explore import ExploreTab
from .files import SAMPLE, Files
from .learn import LearnTab
from .parts import CSS, LOGO, Site, make_theme, show_brand
from .video import VideoTab
from .webcam import add_webcam

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
LOCAL = "127.0.0.1"
WEBCAM = "webcam"  # tab that Learn opens
USER = "dvspipe"  # user name of the login
SWEEP_S = 60  # interval between clean-ups of uploads
KEPT_S = 3600  # lifetime of uploads


@dataclass(frozen=True)
class AppSettings:
    """Settings of the server.

    Args:
        folder: Folder that the page may read: recordings, videos and checkpoints below it. Nothing is written there.
        host: Address to listen on.
        port: Port; None: first free port, starting at 7860.
        password: Password of the page, for the user `dvspipe`; required for hosts other than this machine.
        max_upload: Maximum size of an uploaded file, such as `2GB`.
        browser: Open the page in the browser.
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
            ConfigError: If other machines could open the page without a password, or the port is in use.
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

        # Gradio would try 100 ports, for 5 s each.
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port or 0), family=family).close()
        except OSError as error:
            raise ConfigError(
                f"host {self.host}, port {self.port or 'free'}: in use or not allowed ({error})"
                "; use port=N to choose another port"
            ) from error


def build_page(site: Site) -> gr.Blocks:
    """Build the page with all tabs."""
    with gr.Blocks(title="dvspipe", analytics_enabled=False, fill_width=True, delete_cache=(SWEEP_S, KEPT_S)) as page:
        gr.HTML(show_brand())
        with gr.Tabs() as tabs:
            with gr.Tab("Webcam", id=WEBCAM):
                live = add_webcam(site)
            with gr.Tab("Video") as tab:
                video = VideoTab(site, tab)
            with gr.Tab("Learn") as tab:
                learn = LearnTab(site, tab)
            with gr.Tab("Explore") as tab:
                explore = ExploreTab(site, tab)

        networks = [live, video.checkpoint, explore.checkpoint]

        def offer(trained: tuple[Path, ...]) -> list[gr.Dropdown]:
            """Offer the classifiers that were trained in this page, and choose the last one."""
            runs = [(run.name, str(run)) for run in trained]
            names = [*runs, *site.files.list_checkpoints()]
            return [gr.Dropdown(choices=names, value=str(trained[-1]))] * len(networks)

        def end(request: gr.Request) -> None:
            """Stop the webcam of a closed page, and remove its results."""
            site.stop_webcam(request)
            shutil.rmtree(site.files.of_page(request.session_hash), ignore_errors=True)

        learn.trained.change(offer, [learn.trained], networks, api_visibility="private")
        learn.try_out.click(lambda: gr.Tabs(selected=WEBCAM), None, [tabs], api_visibility="private")
        page.unload(end)
    return page


@dataclass(frozen=True)
class Served:
    """Running server.

    Args:
        address: URL of the page.
        site: Files and workers of the server.
    """

    address: str
    site: Site


@contextmanager
def serve(settings: AppSettings) -> Iterator[Served]:
    """Serve the page during the block; then stop its work and remove its temporary files.

    Args:
        settings: Settings of the server.

    Raises:
        ConfigError: If other machines could open the page without a password, or the port is in use.
        FileError: If the folder is missing.
    """
    settings.check()
    with TemporaryDirectory(prefix="dvspipe-app-", ignore_cleanup_errors=True) as root:
        site = Site(Files(settings.folder.resolve(), Path(root).resolve()))
        site.files.results.mkdir()
        site.files.uploads.mkdir()
        # Gradio has no other setting for the folder of uploads, and asks for it when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = str(site.files.uploads)

        page = build_page(site)
        try:
            address = _launch(page, settings, site)
            # In the background, while the user looks at the page.
            threading.Thread(target=site.workers.prepare, args=(tasks.warm_up,)).start()
            yield Served(address, site)
        finally:
            for webcam in site.webcams.values():
                webcam.stop()
            site.workers.close()
            _close(page)


def _launch(page: gr.Blocks, settings: AppSettings, site: Site) -> str:
    """Start the server of a page, and return its URL."""
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
        app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},
        allowed_paths=[str(site.files.results), str(SAMPLE)],
        max_file_size=settings.max_upload,
        favicon_path=str(LOGO),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=make_theme(),
        css=CSS,
    )
    return str(page.local_url)


def _close(page: gr.Blocks) -> None:
    """End the server of a page."""
    if page.is_running:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it logs a forced exit as a traceback
        page.server.force_exit = True  # does not wait for pages that are still open
        page.close(verbose=False)
