"""Commands `data`: convert videos to a data set; check, verify and describe data sets."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from ..base.errors import ConfigError, DvspipeError, count_noun
from ..base.files import claim_output, make_folder, require_suffix
from ..base.pool import Shard, collect
from ..base.progress import Progress, ignore_progress
from ..base.texts import Described, TextTable, show_name
from ..datasets import open_dataset
from ..datasets.lists import ListedConversions, plan_listed, read_list
from ..datasets.lock import compare_sources, digest_sources, find_other_settings, read_lock, verify_folder, write_lock
from ..datasets.survey import Survey, survey
from ..recordings.config import ConvertConfig, FilmConfig
from ..recordings.conversion import convert_many
from ..results import LOCK, PARTS, SPLITS, DataLock, read_splits, write_splits
from ..training.choice import choose_settings
from ..training.config import TrainConfig, is_data_folder, read_experiment

log = logging.getLogger(__name__)


class Converted(Described):
    """Converted data set.

    Args:
        folder: Folder with splits.csv and the recordings.
        problem: Differences from an expected lock; empty: none.
    """

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder = folder
        self.problem = problem

    def describe(self) -> list[str | TextTable]:
        """Return the number of recordings in each part of each split."""
        splits = read_splits(self.folder)
        table = TextTable("split", "classes", *PARTS, right=("split", "classes", *PARTS))
        for number in splits.numbers:
            rows = splits.of(number)
            counts = Counter(row.part for row in rows)
            table.add_row(number, len({row.class_name for row in rows}), *(counts[part] for part in PARTS))
        return [f"{show_name(self.folder / SPLITS)}:", table]


def convert(
    videos: Path,
    out: Path,
    config: FilmConfig = FilmConfig(),
    *,
    splits: Path,
    preset: str | None = None,
    license: str | None = None,  # noqa: A002
    lock: Path | None = None,
    share: str | None = None,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Converted:
    """Convert the videos of a published list to the events of a simulated camera, with splits.csv and dataset.lock.

    The same command converts what is missing after an interruption.

    Args:
        videos: Folder of videos, searched recursively.
        out: Folder of the data set: CLASS/NAME.h5, and splits.csv.
        config: Settings of the pixel model and the video.
        splits: Published list: a CSV file with the columns file,class,part and, optionally, group,start_s,stop_s,split.
        preset: Sensor preset (listed by dvspipe configs), or a YAML file; given settings take precedence.
        license: Licence of the videos, such as cc-by-4.0, for dataset.lock.
        lock: dataset.lock of another conversion of the same videos: its settings are used, and differences of videos
            and events are listed.
        share: Convert only share I/N of the videos, or auto: the share of the task in a SLURM array. Default: all.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Replace existing files.
        progress: Called with the number of files done and the total.
    """
    expected: DataLock | None = None
    config = ConvertConfig(**config.given).with_preset(preset)
    if lock is not None:
        if config.model_fields_set:
            raise ConfigError(f"{lock}: has all settings (found {', '.join(sorted(config.model_fields_set))}, too)")
        expected, config = read_lock(lock)
        licenses = {file.license for file in expected.files}
        license = license or (licenses.pop() if len(licenses) == 1 else None)  # noqa: A001

    shard = Shard.parse(share)
    plan = plan_listed(videos, out, read_list(splits), shard=shard)
    if any(task.span for task in plan.tasks) and {"start_s", "stop_s"} & config.model_fields_set:
        raise ConfigError(f"{splits}: lists parts of videos, so it cannot be combined with start_s and stop_s")
    for note in plan.notes:
        log.warning("%s", note)

    # A share has only some of the files: the complete command finds all of them, and locks them.
    sources = digest_sources(plan.tasks, jobs=jobs, progress=progress) if shard.count == 1 else {}
    if expected is not None and sources:
        for problem in compare_sources(expected, plan.tasks, sources):
            log.warning("%s", problem)

    # Every share writes the same splits, of all clips.
    make_folder(out)
    write_splits(out, plan.rows)
    outcomes = [*convert_many(plan.tasks, config, jobs=jobs, overwrite=overwrite, progress=progress)]

    problem = ""
    if sources and _list_converted(out, plan):
        _check_settings(out, plan, config)
        found = write_lock(out, plan.tasks, config, sources, license=license, jobs=jobs)
        if expected is not None:
            differences = [*expected.find_other_files(found.events, found.lists)]
            problem = "; ".join(differences)
    collect(outcomes, len(plan.tasks), "videos could not be converted completely")
    return Converted(out, problem)


def _check_settings(folder: Path, plan: ListedConversions, config: ConvertConfig) -> None:
    """Refuse files of earlier conversions with other settings: a lock has one group of settings, true of every file."""
    others = find_other_settings(plan.tasks, config)
    if others:
        text = f"{count_noun(len(others), 'file')} with other settings, such as {others[0].target}"
        raise DvspipeError(f"{folder / LOCK}: not written ({text}); use overwrite to convert again")


def _list_converted(folder: Path, plan: ListedConversions) -> int:
    """Leave out recordings that could not be converted from splits.csv, with a warning; return the number of others."""
    missing = {row.file for row in plan.rows if not (folder / row.file).exists()}
    converted = [row for row in plan.rows if row.file not in missing]
    if missing and converted:
        write_splits(folder, converted)
        count = f"{count_noun(len(missing), 'recording')}, such as {min(missing)}"
        log.warning("%s: %s: not converted, and left out of %s and %s", folder, count, SPLITS, LOCK)
    return len(converted)


def stats(
    source: str,
    config: TrainConfig = TrainConfig(),
    out: Path | None = None,
    *,
    jobs: int | str = 1,
    overwrite: bool = False,
    progress: Progress = ignore_progress,
) -> Survey:
    """Show the number of recordings, people and events of a data set, per class and part, and its problems.

    Every recording is loaded.

    Args:
        source: Folder of recordings, YAML file, or name of an included configuration (see dvspipe configs).
        config: Settings that take precedence, such as root=DIR.
        out: CSV file of the table to write as well.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        overwrite: Replace an existing file.
        progress: Called with the number of recordings done and the total.
    """
    # Refuse the output before all recordings are read.
    if out is not None:
        require_suffix(out, "the figures of a data set", ".csv")
        claim_output(out, overwrite=overwrite)

    # A folder has the parts, windows and framing that `train` chooses for it, unless its splits are published.
    folder = Path(source).expanduser()
    is_published = (folder / SPLITS).is_file() and not isinstance(config.split, Path)
    if is_data_folder(source) and not is_published:
        experiment = choose_settings(source, config, progress, jobs=jobs, with_unusable=True)
    else:
        experiment = read_experiment(source, config)
    if is_published and "validation" not in config.given:
        experiment = experiment.model_copy(update={"validation": 0.0})

    opened = open_dataset(experiment, experiment, progress=progress)
    result = survey(opened, progress, jobs=jobs)
    if out is not None:
        result.write_rows(out)
    return result


class Verified(Described):
    """Comparison of a folder with its dataset.lock.

    Args:
        folder: Folder.
        lock: Content of its lock.
        differences: A line for each difference.
    """

    def __init__(self, folder: Path, lock: DataLock, differences: list[str]) -> None:
        self.files = len(lock.files)
        self.events = sum(file.events for file in lock.files)
        self.folder = folder
        self.differences = differences
        self.problem = f"{folder}: {count_noun(len(differences), 'difference')} from {LOCK}" if differences else ""

    def describe(self) -> list[str]:
        """Return the differences, or the number of files."""
        same = f"{show_name(self.folder)}: {count_noun(self.files, 'file')} with {self.events:,} events, as locked"
        return [show_name(line) for line in self.differences] or [same]


def verify(folder: Path, *, jobs: int | str = 1, progress: Progress = ignore_progress) -> Verified:
    """Compare every event file and list of a folder with its dataset.lock.

    Args:
        folder: Folder with a dataset.lock, as data convert writes it.
        jobs: Number of worker processes, or ray, or ray://HOST:PORT for a Ray cluster.
        progress: Called with the number of files done and the total.
    """
    lock = DataLock.read(folder / LOCK)
    return Verified(folder, lock, verify_folder(folder, lock, jobs=jobs, progress=progress))
