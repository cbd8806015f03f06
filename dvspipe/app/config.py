"""Settings of the server of the page."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import ConfigError, FileError

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
LOCAL = "127.0.0.1"


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
