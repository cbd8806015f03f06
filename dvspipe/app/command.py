"""Command `app`: serve the web page."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from pathlib import Path

from ..base.errors import ConfigError
from .config import AppSettings

PASSWORD = "DVSPIPE_APP_PASSWORD"  # environment variable, which other users of the machine cannot read
WAKE_S = 0.5  # maximum time until Ctrl-C is noticed

log = logging.getLogger(__name__)


def app(
    folder: Path = Path(),
    *,
    host: str = AppSettings.host,
    port: int | None = None,
    password: str | None = None,
    max_upload: str = AppSettings.max_upload,
    no_browser: bool = False,
) -> None:
    """Serve a local web page to convert and classify videos, learn gestures, and explore recordings.

    Args:
        folder: Folder of recordings, videos and checkpoints that the page may read.
        host: Address to listen on; any address except 127.0.0.1 requires a password.
        port: Port; default: the first free port starting at 7860.
        password: Password of the page, for the user name dvspipe; default: the environment variable
            DVSPIPE_APP_PASSWORD, or none.
        max_upload: Maximum size of an uploaded file, such as 500MB.
        no_browser: Do not open the page in the browser.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("app: gradio not installed; pip install 'dvspipe[app]'")

    from . import serve

    secret = password or os.environ.get(PASSWORD)
    settings = AppSettings(folder, host, port, secret, max_upload, browser=not no_browser)
    with serve(settings) as served:
        log.info("dvspipe app: %s; press Ctrl-C to stop", served.address)
        # The system may deliver Ctrl-C to another thread, which does not end a long sleep.
        while True:
            time.sleep(WAKE_S)
