"""Webcams connected to this machine, found in Linux's description of its devices, without opening them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SYSTEM_ROOT = Path("/")


@dataclass(frozen=True)
class ConnectedCamera:
    """Webcam connected to this machine.

    Args:
        source: Source for `live`, such as 0.
        name: Name that the device gives.
        node: File of the device.
        is_open: Whether this user may read and write the file.
    """

    source: str
    name: str
    node: Path
    is_open: bool


def find_webcams(root: Path = SYSTEM_ROOT) -> list[ConnectedCamera]:
    """Return the webcams, in order of their numbers.

    Args:
        root: Root of the file system.
    """
    webcams = []
    for folder in (root / "sys/class/video4linux").glob("video*"):
        number = folder.name.removeprefix("video")
        # A webcam has a second node for its metadata, with an index above 0.
        if not number.isdecimal() or _read(folder / "index") not in ("", "0"):
            continue

        node = root / "dev" / folder.name
        is_open = os.access(node, os.R_OK | os.W_OK)
        webcams.append(ConnectedCamera(number, _read(folder / "name") or folder.name, node, is_open))

    return sorted(webcams, key=lambda camera: int(camera.source))


def _read(path: Path) -> str:
    """Return the text of a file of the kernel; empty without it. A device may be unplugged while it is read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return re.sub(r"\s+", " ", text).strip()
