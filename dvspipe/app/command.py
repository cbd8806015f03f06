"""Command `app`: serve the web page."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from ..base.errors import ConfigError
from ..cli.interrupts import end_interrupted, raise_interrupts
from ..cli.screen import notes, screen

if TYPE_CHECKING:
    from . import AppSettings

NEEDED = ("gradio", "plotly")
WAKE_S = 0.5  # maximum time until Ctrl-C is noticed


def app(
    folder: Annotated[
        Path,
        Parameter(help="Folder of recordings, videos and checkpoints that the page may read."),
    ] = Path(),
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen on; any address except 127.0.0.1 requires --password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        Parameter(validator=Number(gte=1, lte=65535), help="Port; default: the first free port starting at 7860."),
    ] = None,
    password: Annotated[
        str | None,
        Parameter(
            env_var="DVSPIPE_APP_PASSWORD",
            help="Password of the page, for the user name dvspipe; default: none.",
        ),
    ] = None,
    max_upload: Annotated[
        str, Parameter(metavar="SIZE", help="Maximum size of an uploaded file, such as 500MB.")
    ] = "2GB",
    no_browser: Annotated[bool, Parameter(help="Do not open the page in the browser.")] = False,
    check: Annotated[
        bool, Parameter(help="Test the page: start it, load it, process the sample clip, and stop.")
    ] = False,
) -> None:
    """Serve a local web page to convert and classify videos, learn gestures, and explore recordings."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"app: {' and '.join(missing)} not installed; pip install 'dvspipe[app]'")

    from . import AppSettings

    settings = AppSettings(folder, host, port, password, max_upload, browser=not (no_browser or check))

    raise_interrupts()  # as an exception, it lets the page remove its temporary folder
    try:
        _check(settings) if check else _serve(settings)
    except KeyboardInterrupt:
        end_interrupted()  # server threads may be in native code


def _check(settings: AppSettings) -> None:
    from . import check_app

    checked = check_app(settings)
    screen.print(f"{checked.address} served {checked.page_bytes:,} bytes", soft_wrap=True)
    screen.print(f"sample clip: {checked.events:,} events, {checked.class_name}")


def _serve(settings: AppSettings) -> None:
    from . import serve

    with serve(settings) as served:
        screen.print(f"dvspipe app: {served.address}", soft_wrap=True)
        notes.print("press Ctrl-C to stop")
        # The system may deliver Ctrl-C to another thread, which does not end a long sleep.
        while True:
            time.sleep(WAKE_S)
