"""Lock a converted folder, and compare it and its sources with a lock.

`write_lock` writes `dataset.lock` after a conversion, `verify_folder` compares the files of a folder with it, and
`compare_sources` compares the sources of another laboratory, which converts them with the settings of the lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..base.errors import ConfigError, escape_controls
from ..base.files import digest_file, is_internal
from ..base.pool import map_items
from ..base.progress import Progress, ignore_progress
from ..base.versions import find_versions
from ..events import EventDigest, digest_events
from ..formats import open_recording
from ..recordings.config import ConvertConfig, FilmConfig
from ..recordings.conversion import ConversionTask
from ..recordings.sources import is_video
from ..results import LOCK, DataLock, LockedFile
from ..video.config import VideoSettings
from ..video.names import is_video_name
from .folders import is_loadable

DECIDING_PACKAGES = ("dvspipe", "numpy", "numba", "opencv-python", "opencv-python-headless")

SourceDigests = Mapping[Path, str]
"""SHA-256 by the path of the source."""


def write_lock(
    folder: Path,
    tasks: Sequence[ConversionTask],
    config: ConvertConfig,
    sources: SourceDigests,
    *,
    license: str | None = None,  # noqa: A002
    jobs: int | str = 1,
    progress: Progress = ignore_progress,
) -> DataLock:
    """Write the digests of the sources and event files of a conversion to `folder`/dataset.lock.

    Reading the files again, instead of hashing during the conversion, also covers files of earlier runs and machines.

    Args:
        folder: Output folder of the conversion.
        tasks: Conversions of all sources; tasks without an event file are left out.
        config: Settings of the conversion.
        sources: Digests of the sources, from `digest_sources`.
        license: Licence of the sources.
        jobs: Number of worker processes, or a Ray cluster.
        progress: Called with the number of files done and the total.

    Raises:
        FileError: If an event file cannot be read.
        WorkerError: If a worker was killed.
    """
    by_target = {task.target: task for task in tasks if task.target.exists()}
    files = []
    for outcome in map_items(_digest_recording, sorted(by_target), jobs=jobs, progress=progress):
        task = by_target[outcome.item]
        digest = outcome.result()
        files.append(
            LockedFile(
                file=_name_file(task.target, folder),
                source=_name_source(task),
                license=license,
                source_sha256=sources[Path(task.source)],
                events_sha256=digest.sha256,
                events=digest.events,
                duration_us=digest.duration_us,
            )
        )

    lock = DataLock(
        versions=find_versions(*DECIDING_PACKAGES),
        settings=dict(sorted(config.to_record().items())),  # equal locks have equal bytes
        lists=_digest_lists(folder),
        files=tuple(sorted(files, key=lambda file: file.file)),
    )
    lock.write(folder / LOCK)
    return lock


def read_lock(path: Path) -> tuple[DataLock, ConvertConfig]:
    """Read a lock and its settings.

    Raises:
        FileError: If the file cannot be read, or is not a lock.
        ConfigError: If a setting is unknown, as in a lock of another version, or wrong.
    """
    lock = DataLock.read(path)
    try:
        return lock, ConvertConfig.model_validate(lock.settings)
    except ConfigError as error:
        raise error.named(str(path)) from error


def find_other_settings(tasks: Iterable[ConversionTask], config: ConvertConfig) -> list[ConversionTask]:
    """Return the converted videos whose event files store other settings: they were converted before."""
    return [task for task in tasks if task.target.exists() and is_video(task.source) and _differs(task, config)]


def _differs(task: ConversionTask, config: ConvertConfig) -> bool:
    stored = open_recording(task.target).attributes.get("settings")
    if not isinstance(stored, dict):
        return True

    # A file stores the crop and the size that a sensor with a size of its own has chosen.
    expected = task.settings_of(config).part(FilmConfig).to_record()
    chosen = {name for name in VideoSettings.model_fields if expected[name] is None}
    return any(stored.get(name) != value for name, value in expected.items() if name not in chosen)


def digest_sources(
    tasks: Iterable[ConversionTask], *, jobs: int | str = 1, progress: Progress = ignore_progress
) -> SourceDigests:
    """Compute the SHA-256 of each source of conversions; a film with several clips is read once.

    Raises:
        FileError: If a source cannot be read.
        WorkerError: If a worker was killed.
    """
    paths = sorted({Path(task.source) for task in tasks})
    outcomes = map_items(_digest_source, paths, jobs=jobs, progress=progress)
    return {outcome.item: outcome.result() for outcome in outcomes}


def _digest_source(path: Path, _progress: Progress) -> str:
    """Compute the SHA-256 of a file, or of the lines that `sha256sum *` prints in an image folder."""
    if not path.is_dir():
        return digest_file(path)

    files = sorted((file for file in path.iterdir() if file.is_file()), key=lambda file: file.name)
    lines = "".join(f"{digest_file(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def compare_sources(lock: DataLock, tasks: Iterable[ConversionTask], sources: SourceDigests) -> list[str]:
    """Compare the sources of conversions with a lock, before they are converted; return a line per difference."""
    found = {_name_source(task): sources[Path(task.source)] for task in tasks}
    return list(lock.find_other_sources(found))


def verify_folder(
    folder: Path, lock: DataLock, *, jobs: int | str = 1, progress: Progress = ignore_progress
) -> list[str]:
    """Compare all event files and lists of a folder with its dataset.lock; return a line per difference.

    Args:
        folder: Folder of event files.
        lock: Its dataset.lock.
        jobs: Number of worker processes, or a Ray cluster.
        progress: Called with the number of files done and the total.

    Raises:
        WorkerError: If a worker was killed.
    """
    # All files that a training would read, also in other formats than the locked ones.
    lists = _digest_lists(folder)
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if not is_internal(path.relative_to(folder)) and path.relative_to(folder).as_posix() not in lists
        if is_loadable(path) and not is_video_name(path)
    ]

    # A file that cannot be read has its own line; it is not missing.
    found: dict[str, str] = {}
    problems = list[str]()
    for outcome in map_items(_digest_recording, paths, jobs=jobs, progress=progress):
        name = _name_file(outcome.item, folder)
        if outcome.error is None:
            found[name] = outcome.result().sha256
        else:
            problems.append(str(outcome.error))
            found[name] = lock.events.get(name, "")

    return sorted([*problems, *lock.find_other_files(found, lists)])


def _name_source(task: ConversionTask) -> str:
    """Return the name of a source in a lock: the name that decides its noise."""
    return escape_controls(Path(task.source.name if task.name is None else task.name).as_posix())


def _name_file(path: Path, folder: Path) -> str:
    return escape_controls(path.relative_to(folder).as_posix())


def _digest_recording(path: Path, progress: Progress) -> EventDigest:
    recording = open_recording(path)
    return digest_events(recording.chunks(progress=progress), recording.sensor)


def _digest_lists(folder: Path) -> dict[str, str]:
    return {path.name: digest_file(path) for path in sorted(folder.glob("*.csv"))}
