"""Sources: which files, folders and cameras are videos, and which are recordings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..base.errors import FileError, count_noun
from ..base.files import is_internal
from ..formats import FORMATS, has_plugin, is_recording_folder, is_unrelated_text, recognise
from ..formats.hints import Images
from ..video.names import FOLDER_TIMES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, camera_of, is_video_name

CHOICE = "use images=frames to read the images as one film, or images=skip to leave them out"
SEPARATE = "move one kind to another folder, or give one of the files"
NO_SOURCES = "contains no videos or recordings"

log = logging.getLogger(__name__)


def as_paths(sources: str | Path | Sequence[str | Path]) -> list[Path]:
    """Convert one source or several sources to a list of paths."""
    return [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]


def find_sources(
    sources: Sequence[Path], is_skipped: Callable[[Path], bool] = lambda _: False, images: Images | None = None
) -> Iterator[tuple[Path, Path]]:
    """Yield videos and recordings: their path, and their name or their path relative to the searched folder.

    Text files without events, such as notes.txt, are skipped with a warning. A folder without videos or recordings, or
    with images beside them (see `is_film`), is an error, or yielded itself if it is one of several sources: opening it
    then raises an error for this source only.
    """
    for source in sources:
        if source.is_dir() and len(sources) == 1:
            is_film(source, images)  # raises the error of the only source
        if not source.is_dir() or _is_one(source, is_skipped, images):
            yield source, Path(source.name)
            continue

        members = list(_list_members(source, is_skipped, images))
        if not members and len(sources) == 1:
            raise FileError(f"{source}: {NO_SOURCES}")
        if not members:
            yield source, Path(source.resolve().name)
        for path in members:
            if not is_skipped(path):
                yield path, path.relative_to(source)


def _list_members(folder: Path, is_skipped: Callable[[Path], bool], images: Images | None) -> Iterator[Path]:
    """Yield videos and recordings below a folder, and what is skipped there."""
    inside: Path | None = None  # folder that is one source: sorting puts what is below it next
    for path in sorted(folder.rglob("*")):
        if is_internal(path.relative_to(folder)) or (inside is not None and path.is_relative_to(inside)):
            continue

        is_folder = path.is_dir()
        if is_skipped(path) or (_is_one(path, is_skipped, images) if is_folder else _is_convertible(path)):
            yield path
            inside = path if is_folder and not is_skipped(path) else inside


def _is_one(folder: Path, is_skipped: Callable[[Path], bool], images: Images | None) -> bool:
    """Return whether a folder is one source: a recording, a film, or an error that opening it raises."""
    try:
        is_one = is_recording_folder(folder) or is_film(folder, images)
    except FileError:
        return True

    line = find_left_out(folder, images)
    below = (path for path in folder.rglob("*") if path.parent != folder and not is_internal(path.relative_to(folder)))
    unread = [path for path in below if _is_source(path) and not is_skipped(path)] if is_one else []
    if unread:
        is_one = images != "skip"
        left_out = (
            f"{count_noun(len(unread), 'file')} below it; use images=skip to read them" if is_one else "its images"
        )
        line = f"{folder}: is one film, or a folder of others; left out: {left_out}"
    if line:
        log.warning("%s", line)
    return is_one


def _is_source(path: Path) -> bool:
    return _is_image(path) or _is_convertible(path, log.debug)


def is_film(folder: Path, images: Images | None = None, *, advice: str = CHOICE) -> bool:
    """Return whether a folder is one film: it contains images, and no videos or recordings.

    Args:
        folder: Folder.
        images: Use of the images if videos or recordings are beside them.
        advice: End of the message of the error.

    Raises:
        FileError: If videos or recordings are beside the images, and `images` is None; or if it cannot be read.
    """
    count, found = _find_mix(folder)
    if found and images is None:
        raise FileError(f"{folder}: images beside other sources (found {found}, expected one kind); {advice}")
    return images == "frames" if found else count > 0


def find_left_out(folder: Path, images: Images | None) -> str:
    """Return a line about what the use of its images leaves out of a folder; empty: nothing."""
    _, found = _find_mix(folder)
    return f"{folder}: found {found}; the {'others' if images == 'frames' else 'images'} are left out" if found else ""


def _find_mix(folder: Path) -> tuple[int, str]:
    """Return the number of images in a folder, and a text about videos and recordings beside them; empty: none."""
    try:
        files = [path for path in folder.iterdir() if not is_internal(Path(path.name))]
    except OSError as error:
        raise FileError(f"{folder}: cannot be read ({error.strerror})") from error

    count = sum(map(_is_image, files))
    others = [path for path in files if count and path.name not in FOLDER_TIMES and _is_convertible(path, log.debug)]
    films = sum(map(is_video_name, others))
    kinds = {"image": count, "video": films, "recording": len(others) - films}
    found = ", ".join(count_noun(number, kind) for kind, number in kinds.items() if number)
    return count, found if others else ""


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def require_film(path: Path, images: Images | None) -> None:
    """Raise a FileError if a path is a folder and no film; see `is_film`."""
    if path.is_dir() and not is_film(path, images):
        raise FileError(f"{path}: {NO_SOURCES}")


def find_recordings(sources: Sequence[Path], images: Images | None = None) -> list[Path]:
    """Find recordings, also in folders, but no videos there."""
    # A source that was named is kept, whatever it is: opening it reports what is wrong.
    named = set(sources)
    found = [path for path, _ in find_sources(sources, images=images)]
    recordings = [path for path in found if path in named or not _is_left_out(path, images)]
    if not recordings:
        raise FileError(f"{sources[0]}: contains no recordings (found videos)")

    if len(recordings) < len(found):
        log.info("%s left out: only recordings are read", count_noun(len(found) - len(recordings), "video"))
    return recordings


def _is_left_out(path: Path, images: Images | None) -> bool:
    try:
        return is_video(path) and (not path.is_dir() or is_film(path, images))
    except FileError:  # reading it raises it again
        return False


def is_video(source: Path) -> bool:
    """Return whether a source is a video, an image folder or a camera: a file that is not a recording.

    Content decides, then the suffix. Opening another file as a video reports that it is none.
    """
    if source.is_dir():
        return not is_recording_folder(source)
    if not source.is_file():
        return camera_of(source) is not None or source.suffix.lower() in VIDEO_SUFFIXES
    return recognise(source) is None and not is_recording_suffix(source.suffix)


def _is_convertible(path: Path, note: Callable[[str], object] = log.warning) -> bool:
    """Return whether a file is a video or recording; note a text file without events."""
    if is_video_name(path):
        return True
    if not path.is_file() or _is_image(path):
        return False

    try:
        if is_unrelated_text(path):
            note(f"{path}: skipped, a text file without events")
            return False
        return is_recording_suffix(path.suffix) or recognise(path) is not None
    except FileError:  # opening raises it again, as an error of this file only
        return True


def is_recording_suffix(suffix: str) -> bool:
    """Return whether files with a suffix are recordings. Text is not included: most text files are not recordings."""
    formats = (known for known in FORMATS.values() if known.name != "text")
    return any(suffix.lower() in known.suffixes for known in formats) or has_plugin(suffix)
