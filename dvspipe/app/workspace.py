"""Folders that the app may read and write, and their files that nobody uses any more.

A `Workspace` belongs to a server: the folder that it may read, its temporary files, its jobs and its webcams. A
`Session` belongs to a page: it has a folder for results, and runs long work in a thread, one task at a time. Files
that no session uses are removed after an hour (`remove_old`), folders of killed servers at the next start.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from secrets import token_hex
from tempfile import gettempdir
from typing import Any

from ..base.errors import DvspipeError, FileError, Remedy, escape_controls, shorten
from ..recordings.conversion import is_recording_suffix
from ..results import CHECKPOINT_SUFFIX, RecordingFolder
from ..video.names import VIDEO_SUFFIXES
from .cameras import Cameras
from .jobs import Jobs, PageWork, Result, WorkStep

MAX_NAMES = 500  # files below the folder that the app lists
KEPT_S = 3600.0  # lifetime of temporary files
ROOT_PREFIX = "dvspipe-app-"  # prefix of temporary folders
GRADIO_FOLDER = Path(gettempdir()) / f"{ROOT_PREFIX}{token_hex(8)}"
"""Folder where Gradio makes folders that the page does not need; its uploads are in `Workspace.uploads`."""
SESSIONS = "sessions"
UPLOADS = "uploads"
KEPT = "kept"  # folder in a session


def name_folder(session_hash: object) -> str:
    """Return a session name that is safe as a folder name, because browsers choose their own."""
    return hashlib.sha256(str(session_hash).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Workspace:
    """Folders of the app.

    Args:
        folder: Readable folder: recordings, videos, runs and checkpoints below it. Nothing is written there.
        root: Folder of temporary files; it is removed when the server ends.
        jobs: Long work.
        cameras: Live webcams.
        owners: Uploads that each session uses, by name of the session.
    """

    folder: Path
    root: Path
    jobs: Jobs = field(default_factory=Jobs)
    cameras: Cameras = field(default_factory=Cameras)
    owners: dict[str, set[Path]] = field(default_factory=dict)

    @property
    def sessions(self) -> Path:
        """Folder of results; apart from uploads, the only files that the server delivers."""
        return self.root / SESSIONS

    @property
    def uploads(self) -> Path:
        """Folder of uploads."""
        return self.root / UPLOADS

    def folders_of(self, session_hash: str) -> tuple[Path, Path]:
        """Return the folders whose files a page may name: uploads, and the results of its session."""
        return self.uploads, self.sessions / name_folder(session_hash)

    def open(self, name: str) -> Session:
        """Open a session by name, with its own folder."""
        session = Session(self, name)
        session.folder.mkdir(parents=True, exist_ok=True)
        say_running(session.folder)

        return session

    def close(self, name: str) -> None:
        """Close a session: stop its work and webcam; remove its files, and the uploads that no other session uses."""
        self.jobs.forget(name)
        self.cameras.close_session(name)
        shutil.rmtree(self.sessions / name, ignore_errors=True)

        owned = self.owners.pop(name, set())
        for path in owned.difference(*self.owners.values()):
            path.unlink(missing_ok=True)

    def close_unused(self, kept_s: float = KEPT_S) -> None:
        """Close sessions that were not used for `kept_s` seconds, because not every client says when it closes."""
        oldest_s = time.time() - kept_s
        for name in {*self.jobs.names, *self.owners} - self.cameras.sessions:
            folder = self.sessions / name
            if not folder.exists() or _changed_s(folder) < oldest_s:
                self.close(name)

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
        """Return an error message as one line with its remedies, without the folder paths."""
        text = " ".join(error.describe(_format_remedy).split()).replace(f"{self.folder}/", "")
        return escape_controls(re.sub(re.escape(str(self.root.resolve())) + r"/(?:[^\s/:]+/)*", "", text))


def _format_remedy(remedy: Remedy) -> str:
    """Return a remedy as a field of the app."""
    name = " ".join(remedy.words)
    return remedy.explain(f"{name} = {remedy.value}" if remedy.value is not True else name)


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

    def own(self, path: Path) -> None:
        """Record that the session uses an upload; it is removed with the last session that uses it."""
        self.space.owners.setdefault(self.name, set()).add(path)

    def kept_folder(self) -> Path:
        """Return the folder of files that are kept while the session is in use; created if missing."""
        path = self.folder / KEPT
        path.mkdir(exist_ok=True)
        return path

    def new_folder(self, name: str) -> Path:
        """Create an empty folder, replacing the previous one of this name."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)

        return path

    def next_folder(self, name: str) -> Path:
        """Create an empty folder beside the previous one, because a browser may still load that; remove older ones."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)

        numbers = sorted(int(path.name) for path in folder.iterdir())
        for number in numbers[:-1]:
            shutil.rmtree(folder / str(number), ignore_errors=True)

        path = folder / str(numbers[-1] + 1 if numbers else 0)
        path.mkdir()

        return path

    def run(self, text: str, work: PageWork[Result]) -> Iterator[WorkStep[Result]]:
        """Run long work; see `Jobs.run`."""
        for step in self.space.jobs.run(self.name, text, work):
            say_running(self.folder)
            yield step


def remove_old(root: Path, kept_s: float = KEPT_S) -> None:
    """Remove files not changed for `kept_s` seconds, and empty folders; kept folders of sessions in use stay."""
    oldest_s = time.time() - kept_s
    in_use = [path for path in root.glob(f"{SESSIONS}/*/{KEPT}") if _changed_s(path.parent) >= oldest_s]

    # From the bottom up, so folders that have become empty are removed, too.
    for parent, folders, names in os.walk(root, topdown=False):
        if any(Path(parent).is_relative_to(path) for path in in_use):
            continue

        for name in names:
            path = Path(parent, name)
            if _changed_s(path) < oldest_s:
                path.unlink(missing_ok=True)

        for name in folders:
            path = Path(parent, name)
            if path.parent != root and _changed_s(path) < oldest_s and not any(path.iterdir()):
                path.rmdir()


def remove_abandoned(place: Path, kept_s: float = KEPT_S) -> None:
    """Remove temporary folders of killed servers, recognised by an outdated sign of life."""
    oldest_s = time.time() - kept_s
    for root in place.glob(f"{ROOT_PREFIX}*"):
        if _changed_s(root) < oldest_s:
            shutil.rmtree(root, ignore_errors=True)


def say_running(folder: Path) -> None:
    """Record in the temporary folder of a server or a session that it is in use."""
    os.utime(folder)


def _changed_s(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # removed by its session in the meantime
        return time.time()


def safe_stem(name: Any) -> str:
    """Derive a file stem for outputs from a file name, keeping letters and digits.

    Example:
        >>> safe_stem("../my film!.mp4"), safe_stem("...")
        ('my-film', 'events')
    """
    words = re.findall(r"\w+", Path(str(name)).stem)
    return "-".join(words)[:60] or "events"
