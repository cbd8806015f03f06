"""The web page of `dvspipe app`."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from .interrupts import end_interrupted, raise_interrupts
from .screen import notes, screen

if TYPE_CHECKING:
    from ..app import AppSettings

NEEDED = ("gradio", "plotly")


def app(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Recordings, videos and runs that the page may read.")
    ] = Path(),
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at; another one than 127.0.0.1 needs --password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="N", help="Port; default: the first free one from 7860 on.")
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", envvar="DVSPIPE_APP_PASSWORD", help="Password of the page; no user name is needed."
        ),
    ] = None,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest upload, such as 500MB or 2GB.")] = "2GB",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in the browser.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Start, load the page, run the sample clip through it, and stop.")
    ] = False,
) -> None:
    """Show a local page: video to events, predictions over time, recordings, comparisons and runs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"app: needs {' and '.join(missing)}, not installed; pip install 'dvspipe[app]'")
    from ..app import AppSettings

    settings = AppSettings(folder, host, port, password, max_upload, browser=not (no_browser or check))
    raise_interrupts()  # the temporary folder of the page is removed on the way
    try:
        _check(settings) if check else _serve(settings)
    except KeyboardInterrupt:
        end_interrupted()  # threads of the server may be in native code
    except _Terminated:
        os._exit(128 + signal.SIGTERM)


class _Terminated(BaseException):
    """The process got SIGTERM; the temporary folder of the page is removed on the way."""


def _terminate(*_: object) -> None:
    raise _Terminated


def _check(settings: AppSettings) -> None:
    from ..app import check_app

    found = check_app(settings)
    screen.print(f"{found.address} served {found.page_bytes:,} bytes")
    screen.print(f"sample clip: {found.events:,} events, {found.class_name}")


def _serve(settings: AppSettings) -> None:
    from ..app import serve

    signal.signal(signal.SIGTERM, _terminate)
    with serve(settings) as served:
        screen.print(f"dvspipe app: {served.address}")
        notes.print("Ctrl-C stops it")
        while True:
            time.sleep(3600)
