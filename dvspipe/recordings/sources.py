"""Sources: which files, folders and cameras are videos, and which are recordings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..base.errors import FileError
from ..base.files import is_internal
from ..formats import FORMATS, has_plugin, is_recording_folder, is_unrelated_text, recognise
from ..video.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, camera_of, is_video_name

log = logging.getLogger(__name__)


def as_paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """Convert one source or several sources to a list of paths."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


def find_sources(
    sources: Sequence[Path], is_skipped: Callable[[Path], bool] = lambda _: False
) -> Iterator[tuple[Path, Path]]:
    """Yield videos and recordings: their path, and their name or their path relative to the searched folder.

    Text files without events, such as notes.txt, are skipped with a warning. A folder without videos or recordings is
    an error, or yielded itself if it is one of several sources: opening it then raises an error for this source only.
    """
    for source in sources:
        if is_single_source(source):
            yield source, Path(source.name)
            continue

        members = [
            path
            for path in sorted(source.rglob("*"))
            if not is_internal(path.relative_to(source)) and (is_skipped(path) or _is_convertible(path))
        ]
        if not members and len(sources) == 1:
            raise FileError(f"{source}: contains no videos or recordings")
        if not members:
            yield source, Path(source.resolve().name)
        for path in members:
            if not is_skipped(path):
                yield path, path.relative_to(source)


def find_recordings(sources: Sequence[Path]) -> list[Path]:
    """Find recordings, also in folders, but no videos there."""
    # A source that was named is kept, whatever it is: opening it reports what is wrong.
    named = set(sources)
    recordings = [path for path, _ in find_sources(sources) if path in named or not is_video(path)]
    if not recordings:
        raise FileError(f"{sources[0]}: contains no recordings (found videos)")

    return recordings


def is_video(source: Path) -> bool:
    """Return whether a source is a video, an image folder or a camera: a file that is not a recording.

    Content decides, then the suffix. Opening another file as a video reports that it is none.
    """
    if source.is_dir():
        return not is_recording_folder(source)
    if not source.is_file():
        return camera_of(source) is not None or source.suffix.lower() in VIDEO_SUFFIXES
    return recognise(source) is None and not is_recording_suffix(source.suffix)


def is_single_source(source: Path) -> bool:
    """Return whether a source is a single video or recording, not a folder to search."""
    return not source.is_dir() or _is_frames(source) or is_recording_folder(source)


def _is_frames(folder: Path) -> bool:
    """Return whether a folder is one video: it contains more images than videos and recordings."""
    suffixes = [path.suffix.lower() for path in folder.iterdir()]
    others = sum(suffix in VIDEO_SUFFIXES or is_recording_suffix(suffix) for suffix in suffixes)
    return sum(suffix in IMAGE_SUFFIXES for suffix in suffixes) > others


def _is_convertible(path: Path) -> bool:
    if is_video_name(path) or path.is_dir():
        return path.is_file() or is_single_source(path)
    if not path.is_file() or is_recording_folder(path.parent):
        return False

    try:
        if is_unrelated_text(path):
            log.warning("%s: skipped, a text file without events", path)
            return False
        return is_recording_suffix(path.suffix) or recognise(path) is not None
    except FileError:  # opening raises it again, as an error of this file only
        return True


def is_recording_suffix(suffix: str) -> bool:
    """Return whether files with a suffix are recordings. Text is not included: most text files are not recordings."""
    formats = (known for known in FORMATS.values() if known.name != "text")
    return any(suffix.lower() in known.suffixes for known in formats) or has_plugin(suffix)
