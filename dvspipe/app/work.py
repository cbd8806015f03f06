"""What the page works on and with: folders that it may read and write, and long work that can be stopped."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import DvspipeError, FileError, Remedy, escape_controls, shorten
from ..parallel import Progress
from ..parallel.estimate import estimate_left_s
from ..recordings.conversion import RECORDING_SUFFIXES
from ..video.names import VIDEO_SUFFIXES

log = logging.getLogger(__name__)

Result = TypeVar("Result")
PageWork = Callable[[Progress], Result]
"""Long work; it calls its progress often, which may raise KeyboardInterrupt to stop it."""

POLL_S = 0.25  # between two looks at the progress of work
MAX_NAMES = 500  # of files below the folder that the page lists
KEPT_S = 3600.0  # that temporary files are kept
ROOT_PREFIX = "dvspipe-app-"  # of temporary folders
SESSIONS, UPLOADS = "sessions", "uploads"
CHECKPOINT_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class WorkStep(Generic[Result]):
    """How far long work is.

    Args:
        text: What is done now, in words.
        share: How much is done, 0 to 1; None if unknown.
        left_s: Estimated time left in seconds; None if unknown.
        results: The result, once the work is done.
    """

    text: str
    share: float | None = None
    left_s: float | None = None
    results: tuple[Result, ...] = ()

    def to_html(self) -> str:
        """Return a line with a bar, for the page."""
        value = "" if self.share is None else f' value="{self.share:.3f}"'
        left = "" if self.left_s is None else f", {timedelta(seconds=round(self.left_s))} left"
        bar = f'<progress max="1"{value} aria-label="progress"></progress>'
        return f'<div class="status" role="status">{bar}<span>{escape(self.text)}{left}</span></div>'


class _Slot:
    """The place of a session for long work: one piece at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stopped = threading.Event()


class _Task(Generic[Result]):
    """Work in a thread of its own."""

    def __init__(self, work: PageWork[Result], stopped: threading.Event) -> None:
        self._work, self._stopped = work, stopped
        self._done, self._total, self._begin_s = 0.0, 0.0, time.monotonic()
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=False)  # Python waits for it before it ends
        self.thread.start()

    def _run(self) -> None:
        try:
            self.results.append(self._work(self._report))
        except BaseException as error:  # raised again in the thread that waits
            self.error = error

    def _report(self, done: float, total: float) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self._done, self._total = done, total

    def step(self, text: str) -> WorkStep[Result]:
        if not self._total:
            return WorkStep(text)
        share = min(1.0, self._done / self._total)
        left_s = estimate_left_s(min(self._done, self._total), self._total, time.monotonic() - self._begin_s)
        return WorkStep(f"{text}: {share:.0%}", share, left_s)


class Jobs:
    """Long work of all sessions. A session does one piece at a time; what it starts in the meantime waits."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    def run(self, session: str, text: str, work: PageWork[Result]) -> Iterator[WorkStep[Result]]:
        """Do work in a thread, and yield how far it is, until the last step has the result.

        Args:
            session: Whose work it is.
            text: What it is, in words.
            work: The work.

        Raises:
            DvspipeError: The work failed, or was stopped.
        """
        slot = self._slots.setdefault(session, _Slot())
        while not slot.lock.acquire(timeout=POLL_S):
            yield WorkStep(f"{text}: waiting for other work of this page")
        try:
            slot.stopped.clear()
            yield from _follow(_Task(work, slot.stopped), text)
        finally:
            slot.stopped.set()  # also if nobody waits for the work any more
            slot.lock.release()

    def stop(self, session: str) -> None:
        """Stop the work of a session at its next progress."""
        if session in self._slots:
            self._slots[session].stopped.set()

    def stop_all(self) -> None:
        """Stop the work of all sessions."""
        for session in [*self._slots]:
            self.stop(session)

    def forget(self, session: str) -> None:
        """Stop the work of a session that has ended."""
        self.stop(session)
        self._slots.pop(session, None)


def _follow(task: _Task[Result], text: str) -> Iterator[WorkStep[Result]]:
    while task.thread.is_alive():
        yield task.step(text)
        task.thread.join(POLL_S)
    if isinstance(task.error, KeyboardInterrupt):
        raise FileError(f"{text}: stopped")
    if task.error is not None:
        raise task.error
    yield WorkStep(text, 1.0, None, (task.results[0],))


@dataclass(frozen=True)
class Workspace:
    """The folders of the page.

    Args:
        folder: What may be read: recordings, videos, runs and checkpoints below it.
        root: Temporary files, which are removed when the server ends.
        jobs: Long work.
    """

    folder: Path
    root: Path
    jobs: Jobs = field(default_factory=Jobs)

    @property
    def sessions(self) -> Path:
        """The folder of what is shown; the only files that the server hands out besides uploads."""
        return self.root / SESSIONS

    @property
    def uploads(self) -> Path:
        """The folder of what is uploaded."""
        return self.root / UPLOADS

    def open(self, name: str) -> Session:
        """Return a session by its name, with a folder of its own."""
        session = Session(self, name)
        session.folder.mkdir(parents=True, exist_ok=True)
        return session

    def close(self, name: str) -> None:
        """End a session: stop its work and remove its files."""
        self.jobs.forget(name)
        shutil.rmtree(self.sessions / name, ignore_errors=True)

    def resolve(self, name: str) -> Path:
        """Return a file by its name below the folder, or its path below the temporary folder.

        Raises:
            FileError: It is somewhere else, or missing.
        """
        try:
            path = (self.folder / name).resolve()
            exists = path.exists()
        except (OSError, ValueError) as error:  # too long, or with a NUL
            raise FileError(f"{shorten(name)}: is no name of a file") from error
        if not any(path.is_relative_to(place.resolve()) for place in (self.folder, self.root)):
            raise FileError(f"{name}: is not below {self.folder}")
        if not exists:
            raise FileError(f"{name}: no such file below {self.folder}")
        return path

    def list_files(self, is_wanted: Callable[[Path], bool]) -> list[str]:
        """Return the names of wanted files below the folder, sorted, at most 500."""
        found = filter(is_wanted, self._walk())
        return sorted(str(path.relative_to(self.folder)) for path in islice(found, MAX_NAMES))

    def list_recordings(self) -> list[str]:
        """Return the names of recordings below the folder."""
        return self.list_files(lambda path: path.suffix.lower() in RECORDING_SUFFIXES)

    def list_videos(self) -> list[str]:
        """Return the names of videos below the folder."""
        return self.list_files(lambda path: path.suffix.lower() in VIDEO_SUFFIXES)

    def list_checkpoints(self) -> list[str]:
        """Return the names of checkpoints below the folder."""
        return self.list_files(lambda path: path.suffix == CHECKPOINT_SUFFIX)

    def _walk(self) -> Iterator[Path]:
        """Yield files, without hidden ones and without following links."""
        for parent, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))

    def describe(self, error: DvspipeError) -> str:
        """Return the message of an error in one line, with its remedies, and without the folders."""
        text = " ".join(error.describe(_as_field).split()).replace(f"{self.folder}/", "")
        return escape_controls(re.sub(re.escape(str(self.root.resolve())) + r"/(?:[^\s/:]+/)*", "", text))


@dataclass(frozen=True)
class Session:
    """A page in a browser.

    Args:
        space: The folders of all sessions.
        name: Its name.
    """

    space: Workspace
    name: str

    @property
    def folder(self) -> Path:
        """Its folder for what is shown."""
        return self.space.sessions / self.name

    def new_folder(self, name: str) -> Path:
        """Return an empty folder, in place of what was shown there before."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def next_folder(self, name: str) -> Path:
        """Return an empty folder beside the one before, which a browser may still load; older ones are removed."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        numbers = sorted(int(path.name) for path in place.iterdir())
        for number in numbers[:-1]:
            shutil.rmtree(place / str(number), ignore_errors=True)
        path = place / str(numbers[-1] + 1 if numbers else 0)
        path.mkdir()
        return path

    def run(self, text: str, work: PageWork[Result]) -> Iterator[WorkStep[Result]]:
        """Do long work; see `Jobs.run`."""
        return self.space.jobs.run(self.name, text, work)


def remove_old(root: Path, kept_s: float = KEPT_S) -> None:
    """Remove files below a folder that were last changed some time ago, and empty folders."""
    oldest_s = time.time() - kept_s
    for parent, folders, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(parent, name)
            if _changed_s(path) < oldest_s:
                path.unlink(missing_ok=True)
        for name in folders:
            path = Path(parent, name)
            if path.parent != root and _changed_s(path) < oldest_s and not any(path.iterdir()):
                path.rmdir()


def remove_abandoned(place: Path, kept_s: float = KEPT_S) -> None:
    """Remove temporary folders of servers that were killed: those whose server has not said for long that it runs."""
    oldest_s = time.time() - kept_s
    for root in place.glob(f"{ROOT_PREFIX}*"):
        if _changed_s(root) < oldest_s:
            shutil.rmtree(root, ignore_errors=True)


def say_running(root: Path) -> None:
    """Note in the temporary folder of a server that it runs."""
    os.utime(root)


def _changed_s(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # removed by its session in the meantime
        return time.time()


def _as_field(remedy: Remedy) -> str:
    """Return a remedy as a field of the page."""
    name = " ".join(remedy.words)
    return remedy.explain(f"{name} = {remedy.value}" if remedy.value is not True else name)


def safe_stem(name: Any) -> str:
    """Return a name for outputs, made of the letters and digits in that of a file.

    Example:
        >>> safe_stem("../my film!.mp4"), safe_stem("...")
        ('my-film', 'events')
    """
    words = re.findall(r"\w+", Path(str(name)).stem)
    return "-".join(words)[:60] or "events"
