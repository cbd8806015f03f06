"""Web server of the page: local by default, with temporary files that it removes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from . import tasks
from .config import AppSettings
from .files import Files
from .work import Workers

if TYPE_CHECKING:
    from .parts import Site


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
    prefix = "dvspipe-app-"
    with TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as root, closing(Workers()) as workers:
        # A worker loads what a classification needs, while this process imports Gradio.
        workers.prepare(tasks.warm_up)
        from .page import build_page, close_page, launch_page
        from .parts import Site

        site = Site(Files(settings.folder.resolve(), Path(root).resolve()), workers)
        site.files.results.mkdir()
        site.files.uploads.mkdir()
        # Gradio has no other setting for the folder of uploads, and asks for it when a page is built.
        os.environ["GRADIO_TEMP_DIR"] = str(site.files.uploads)

        page = build_page(site)
        try:
            yield Served(launch_page(page, settings, site), site)
        finally:
            for webcam in site.webcams.values():
                webcam.stop()
            close_page(page)
