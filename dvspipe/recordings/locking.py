"""Lock a converted folder, and compare it and its sources with a lock.

`write_lock` writes `dataset.lock` after a conversion. `verify_folder` compares the files of a folder with it;
`compare_sources` and `read_settings` let another laboratory convert the same sources in the same way. Both need the
digests of the sources, from `digest_sources`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import ConfigError, escape_controls
from ..base.files import digest_file, is_internal
from ..base.pool import map_items
from ..base.progress import Progress
from ..base.versions import find_versions
from ..events import EventDigest, digest_events
from ..formats import open_recording
from ..results import LOCK, DataLock, LockedFile
from ..video.config import VideoSettings
from .config import ConvertConfig, FilmConfig
from .conversion import ConversionTask
from .sources import is_video

DECIDING_PACKAGES = ("dvspipe", "numpy", "numba", "opencv-python", "opencv-python-headless")
LIST_SUFFIX = ".csv"

SourceDigests = Mapping[Path, str]
"""SHA-256 by the path of the source."""


def write_lock(
    folder: Path,
    tasks: Sequence[ConversionTask],
    config: ConvertConfig = ConvertConfig(),
    *,
    license: str | Mapping[str, str | None] | None = None,  # noqa: A002
    sources: SourceDigests | None = None,
    jobs: int | str = 1,
    progress: Progress | None = None,
) -> DataLock:
    """Read the sources and event files of a conversion, and write their digests to `folder`/dataset.lock.

    Reading the files again, instead of hashing during the conversion, also covers files of earlier runs and machines.

    Args:
        folder: Output folder of the conversion.
        tasks: Conversions of all sources; tasks without an event file are left out.
        config: Settings of the conversion.
        license: Licence of the sources, or licences by the names of the sources.
        sources: Digests of the sources; None: read them.
        jobs: Number of worker processes, or a Ray cluster.
        progress: Called with the number of files done and the total.

    Raises:
        FileError: If a source or an event file cannot be read.
        WorkerError: If a worker was killed.
    """
    converted = [task for task in tasks if task.target.exists()]
    if sources is None:
        sources = digest_sources(converted, jobs=jobs, progress=progress)
    outcomes = map_items(_LockWorker(folder, license, sources), converted, jobs=jobs, progress=progress)
    files = sorted((outcome.result() for outcome in outcomes), key=lambda file: file.file)

    lock = DataLock(
        versions=find_versions(*DECIDING_PACKAGES),
        settings=dict(sorted(config.to_record().items())),  # equal locks have equal bytes
        lists=_digest_lists(folder),
        files=tuple(files),
    )
    lock.write(folder / LOCK)
    return lock


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


@dataclass(frozen=True)
class _LockWorker:
    """Compute the line of a converted file; picklable."""

    folder: Path
    license: str | Mapping[str, str | None] | None
    sources: SourceDigests

    def __call__(self, task: ConversionTask, progress: Progress) -> LockedFile:
        source = name_source(task)
        digest = _digest_recording(task.target, progress)
        return LockedFile(
            file=_name_file(task.target, self.folder),
            source=source,
            license=self.license.get(source) if isinstance(self.license, Mapping) else self.license,
            source_sha256=self.sources[Path(task.source)],
            events_sha256=digest.sha256,
            events=digest.events,
            duration_us=digest.duration_us,
        )


def name_source(task: ConversionTask) -> str:
    """Return the name of a source in a lock: the name that decides its noise."""
    return escape_controls(Path(task.source.name if task.name is None else task.name).as_posix())


def digest_sources(
    tasks: Iterable[ConversionTask], *, jobs: int | str = 1, progress: Progress | None = None
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


def _name_file(path: Path, folder: Path) -> str:
    return escape_controls(path.relative_to(folder).as_posix())


def _digest_recording(path: Path, progress: Progress) -> EventDigest:
    recording = open_recording(path)
    return digest_events(recording.chunks(progress=progress), recording.sensor)


def _digest_lists(folder: Path) -> dict[str, str]:
    return {path.name: digest_file(path) for path in sorted(folder.glob(f"*{LIST_SUFFIX}"))}


def verify_folder(folder: Path, lock: DataLock, *, jobs: int | str = 1, progress: Progress | None = None) -> list[str]:
    """Compare all event files and lists of a folder with its dataset.lock; return a line per difference.

    Args:
        folder: Folder of event files.
        lock: Its dataset.lock.
        jobs: Number of worker processes, or a Ray cluster.
        progress: Called with the number of files done and the total.

    Raises:
        WorkerError: If a worker was killed.
    """
    suffixes = {Path(file.file).suffix for file in lock.files}
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in suffixes and path.is_file() and not is_internal(path.relative_to(folder))
    ]

    # A file that cannot be read has its own line; it is not missing.
    expected = lock.events
    found: dict[str, str] = {}
    problems = list[str]()
    for outcome in map_items(_digest_recording, paths, jobs=jobs, progress=progress):
        name = _name_file(outcome.item, folder)
        if outcome.error is None:
            found[name] = outcome.result().sha256
        else:
            problems.append(str(outcome.error))
            found[name] = expected.get(name, "")

    return sorted([*problems, *lock.find_other_files(found, _digest_lists(folder))])


def read_settings(lock: DataLock, where: str | Path) -> ConvertConfig:
    """Return the settings of a lock.

    Args:
        lock: Content of the lock.
        where: Its file, for error messages.

    Raises:
        ConfigError: If a setting is unknown, as in a lock of another version, or wrong.
    """
    try:
        return ConvertConfig.model_validate(lock.settings)
    except ConfigError as error:
        raise error.named(str(where)) from error


def compare_sources(lock: DataLock, tasks: Iterable[ConversionTask], sources: SourceDigests) -> list[str]:
    """Compare the sources of conversions with a lock, before they are converted; return a line per difference."""
    found = {name_source(task): sources[Path(task.source)] for task in tasks}
    return list(lock.find_other_sources(found))
