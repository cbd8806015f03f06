"""Files that the page may read and write."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..base.errors import ConfigError, FileError, escape_controls, shorten
from ..checkpoints.checkpoint import shipped_checkpoints
from ..recordings.sources import SEPARATE, is_film, is_recording_suffix
from ..results import CHECKPOINT_SUFFIX
from ..video.names import VIDEO_SUFFIXES

HERE = Path(__file__).parent
SAMPLE = HERE / "sample.mp4"
"""Example: a rendered person waves, then circles an arm."""
MAX_NAMES = 500  # files below the folder that the page lists


@dataclass(frozen=True)
class Files:
    """Files of a server.

    Args:
        folder: Folder that the page may read: recordings, videos and checkpoints below it. Nothing is written there.
        root: Folder of temporary files, removed when the server ends.
    """

    folder: Path
    root: Path

    @property
    def uploads(self) -> Path:
        """Folder of uploads, and of files that Gradio delivers."""
        return self.root / "uploads"

    @property
    def results(self) -> Path:
        """Folder of results, with a folder for each page; the server delivers them."""
        return self.root / "results"

    def of_page(self, session_hash: object) -> Path:
        """Return the folder of the results of a page; browsers choose the name of their session."""
        return self.results / hashlib.sha256(str(session_hash).encode()).hexdigest()[:20]

    def resolve(self, name: str) -> Path:
        """Resolve the name of a file below the folder, or the path of a result."""
        try:
            path = (self.folder / name).resolve()
            exists = path.exists()
        except (OSError, ValueError) as error:  # name too long, or with a NUL
            raise FileError(f"{shorten(name)}: not a valid file name") from error

        # The message of a path outside must not tell whether it exists.
        if not any(path.is_relative_to(folder.resolve()) for folder in (self.folder, self.results)):
            raise FileError(f"{name}: is not below {self.folder.name}/")
        if not exists:
            raise FileError(f"{name}: no such file below {self.folder.name}/")
        return path

    def choose(self, upload: str | None, name: str | None) -> Path:
        """Return the chosen file: an upload, which Gradio has checked, or a file below the folder."""
        if name:
            path = self.resolve(name)
            if path.is_dir():
                is_film(path, advice=SEPARATE)  # an error of images beside videos
            return path
        if upload:
            return Path(upload)
        raise ConfigError("no file is chosen")

    def find_checkpoint(self, name: str) -> str | Path:
        """Return the classifier of a name: an included one, or a checkpoint or run below the folder."""
        return name if name in shipped_checkpoints() else self.resolve(name)

    def list_videos(self) -> list[str]:
        """List the videos below the folder."""
        return self._list(lambda suffix: suffix.lower() in VIDEO_SUFFIXES)

    def list_recordings(self) -> list[str]:
        """List the recordings below the folder."""
        return self._list(is_recording_suffix)

    def list_checkpoints(self) -> list[str]:
        """List the included classifiers, and the checkpoints below the folder."""
        return [*shipped_checkpoints(), *self._list(CHECKPOINT_SUFFIX.__eq__)]

    def _list(self, is_wanted: Callable[[str], bool]) -> list[str]:
        wanted = (str(path.relative_to(self.folder)) for path in self._walk() if is_wanted(path.suffix))
        return sorted(islice(wanted, MAX_NAMES))

    def _walk(self) -> Iterator[Path]:
        """Yield files that are not hidden; links are not followed."""
        for parent, folders, names in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))

    def describe(self, error: Exception) -> str:
        """Return the message of an error in one line, without the folders."""
        text = " ".join(str(error).split()).replace(f"{self.folder}/", "")
        return escape_controls(re.sub(re.escape(str(self.root.resolve())) + r"/(?:[^\s/:]+/)*", "", text))


def renew(folder: Path) -> Path:
    """Create an empty folder in `folder`, and remove others except the last, which a browser may still load."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = sorted(int(path.name) for path in folder.iterdir())
    for number in numbers[:-1]:
        shutil.rmtree(folder / str(number), ignore_errors=True)

    path = folder / str(numbers[-1] + 1 if numbers else 0)
    path.mkdir()
    return path
