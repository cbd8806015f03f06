"""Folders that the app may read and write.

A `Workspace` belongs to a server: the folder that it may read, its temporary files, its long work and its webcams. A
`Session` belongs to a page, and has a folder for results, which is removed with the page.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..base.errors import DvspipeError, FileError, escape_controls, shorten
from ..recordings.sources import is_recording_suffix
from ..results import CHECKPOINT_SUFFIX, RecordingFolder
from ..video.names import VIDEO_SUFFIXES
from .cameras import Cameras
from .jobs import WorkProgress

MAX_NAMES = 500  # files below the folder that the app lists


def name_folder(session_hash: object) -> str:
    """Return a session name that is safe as a folder name, because browsers choose their own."""
    return hashlib.sha256(str(session_hash).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Workspace:
    """Folders of the app.

    Args:
        folder: Readable folder: recordings, videos, runs and checkpoints below it. Nothing is written there.
        root: Folder of temporary files; it is removed when the server ends.
        cameras: Live webcams.
        running: Long work, by name of the session and by the component that shows its progress.
    """

    folder: Path
    root: Path
    cameras: Cameras = field(default_factory=Cameras)
    running: dict[tuple[str, Any], WorkProgress] = field(default_factory=dict)

    @property
    def sessions(self) -> Path:
        """Folder of results; apart from uploads, the only files that the server delivers."""
        return self.root / "sessions"

    @property
    def uploads(self) -> Path:
        """Folder of uploads."""
        return self.root / "uploads"

    def open(self, name: str) -> Session:
        """Open a session by name, with its own folder."""
        session = Session(self, name)
        session.folder.mkdir(parents=True, exist_ok=True)
        return session

    def close(self, name: str) -> None:
        """Close a session: stop its work and its webcam, and remove its files."""
        for session, status in [*self.running]:
            if session == name:
                Session(self, name).stop(status)

        self.cameras.close_session(name)
        shutil.rmtree(self.sessions / name, ignore_errors=True)

    def stop_all(self) -> None:
        """Stop the work and the webcams of all sessions."""
        for progress in [*self.running.values()]:
            progress.stop()

        self.cameras.close_all()

    def resolve(self, name: str) -> Path:
        """Resolve the name of a file below the folder, or a path below the temporary folder."""
        try:
            path = (self.folder / name).resolve()
            exists = path.exists()
        except (OSError, ValueError) as error:  # name too long, or with a NUL
            raise FileError(f"{shorten(name)}: not a valid file name") from error

        # The message of a path outside must not tell whether it exists.
        if not any(path.is_relative_to(folder.resolve()) for folder in (self.folder, self.root)):
            raise FileError(f"{name}: is not below {self.folder}")
        if not exists:
            raise FileError(f"{name}: no such file below {self.folder}")

        return path

    def list_files(self, is_wanted: Callable[[Path], bool]) -> list[str]:
        """List the wanted files below the folder, sorted, at most 500."""
        wanted = filter(is_wanted, self._walk())
        return sorted(str(path.relative_to(self.folder)) for path in islice(wanted, MAX_NAMES))

    def list_recordings(self) -> list[str]:
        """List the recordings below the folder."""
        return self.list_files(lambda path: is_recording_suffix(path.suffix))

    def list_videos(self) -> list[str]:
        """List the videos below the folder."""
        return self.list_files(lambda path: path.suffix.lower() in VIDEO_SUFFIXES)

    def list_checkpoints(self) -> list[str]:
        """List the checkpoints below the folder."""
        return self.list_files(lambda path: path.suffix == CHECKPOINT_SUFFIX)

    def _walk(self) -> Iterator[Path]:
        """Yield files, skipping hidden files, links, and answers of classifications, which have films of events."""
        for parent, folders, names in os.walk(self.folder):
            if RecordingFolder(Path(parent)).answer.name in names:
                folders.clear()
                continue

            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))

    def describe(self, error: DvspipeError) -> str:
        """Return an error message as one line, without the folder paths."""
        text = " ".join(str(error).split()).replace(f"{self.folder}/", "")
        return escape_controls(re.sub(re.escape(str(self.root.resolve())) + r"/(?:[^\s/:]+/)*", "", text))


@dataclass(frozen=True)
class Session:
    """Session: the app open in a browser tab.

    Args:
        space: Folders of all sessions.
        name: Name of the session.
    """

    space: Workspace
    name: str

    @property
    def folder(self) -> Path:
        """Folder of the session's results."""
        return self.space.sessions / self.name

    def new_folder(self, name: str) -> Path:
        """Create an empty folder beside the previous one, because a browser may still load that; remove older ones."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)

        numbers = sorted(int(path.name) for path in folder.iterdir())
        for number in numbers[:-1]:
            shutil.rmtree(folder / str(number), ignore_errors=True)

        path = folder / str(numbers[-1] + 1 if numbers else 0)
        path.mkdir()

        return path

    def stop(self, status: Any) -> None:
        """Stop the work whose progress a component shows."""
        if progress := self.space.running.get((self.name, status)):
            progress.stop()


def safe_stem(name: Any) -> str:
    """Derive a file stem for outputs from a file name, keeping letters and digits.

    Example:
        >>> safe_stem("../my film!.mp4"), safe_stem("...")
        ('my-film', 'events')
    """
    words = re.findall(r"\w+", Path(str(name)).stem)
    return "-".join(words)[:60] or "events"
