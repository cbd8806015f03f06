"""Page with all tabs, and its start and end on Gradio's server."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .config import LOCAL_HOSTS, AppSettings
from .explore import ExploreTab
from .files import SAMPLE
from .learn import LearnTab
from .parts import CSS, LOGO, Site, make_theme, show_brand
from .video import VideoTab
from .webcam import add_webcam

WEBCAM = "webcam"  # tab that Learn opens
USER = "dvspipe"  # user name of the login
SWEEP_S = 60  # interval between clean-ups of uploads
KEPT_S = 3600  # lifetime of uploads


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


def launch_page(page: gr.Blocks, settings: AppSettings, site: Site) -> str:
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


def close_page(page: gr.Blocks) -> None:
    """End the server of a page."""
    if page.is_running:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it logs a forced exit as a traceback
        page.server.force_exit = True  # does not wait for pages that are still open
        page.close(verbose=False)
