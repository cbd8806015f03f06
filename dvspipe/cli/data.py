"""Commands `data`: convert videos to a data set; check, verify and describe data sets."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from ..base.errors import ConfigError, count_noun
from ..base.texts import TextTable, show_name
from ..recordings.config import ConversionSettings
from ..verbs.conversion import build_settings
from ..verbs.conversion import convert as convert_verb
from .activity import ShownStage
from .commands import takes
from .convert import NOT_CONVERTED, Conversions, explain_interrupt, refuse_unused
from .options import (
    AsJson,
    Config,
    JobCount,
    Overrides,
    Overwrite,
    ShardName,
    is_folder,
    note_shard,
    parse_shard,
    read_config,
)
from .screen import (
    EXIT_ERROR,
    EXIT_SOME_FAILED,
    fail,
    fail_inputs,
    messages,
    notes,
    print_parts,
    progress,
    screen,
    warn,
)

if TYPE_CHECKING:
    from ..datasets.lists import ListedConversions
    from ..datasets.survey import Survey
    from ..recordings.config import ConvertConfig, RecordingConfig
    from ..recordings.conversion import ConversionTask
    from ..recordings.locking import SourceDigests
    from ..results import DataLock

data = App(name="data", help_epilogue="", version_flags=[])

DATA_KINDS = (
    ("nmnist", "N-MNIST: 60,000 + 10,000 digits, 34x34", "ROOT/Train/<digit>/*.bin, ROOT/Test; complete or partial"),
    ("dvsgesture", "DVS128 Gesture: 11 gestures, 29 people, 128x128", "IBM's aedat and label files, or Tonic's clips"),
    ("gestures", "rendered gestures (synthetic), or recordings of the same classes", "no files, or ROOT/<class>"),
    ("mnist", "MNIST: 60,000 + 10,000 images, 28x28", "ROOT/train-images-idx3-ubyte, ...; also .gz"),
    (
        "tonic",
        "labelled data sets of Tonic, data.name=NCALTECH101",
        "ROOT/<name> as Tonic unpacks it (docs/guides/data.md)",
    ),
    ("folder", "your recordings or videos", "ROOT/<class>/<recording>, or ROOT/train/<class> and ROOT/test/<class>"),
    ("labelled", "your recordings with label files", "NAME.SUFFIX with NAME_labels.csv: class,start_us,end_us"),
)
"""Kind, description and expected files."""


@data.command(name="list")
def list_() -> None:
    """List the kinds of data sets with their expected files, and show the size of the cache."""
    from ..datasets import Cache, default_cache

    table = TextTable("data.kind", "what", "files")
    for row in DATA_KINDS:
        table.add_row(*row)
    print_parts(table)

    files, size = Cache(default_cache()).size()
    screen.print(f"\n{default_cache()} caches {files:,} spike tensors and simulated videos, {size / 1e6:,.0f} MB")


@data.command
@takes(convert_verb, without=("sources", "out"))
def convert(
    videos: Annotated[Path, Parameter(help="Folder of videos, searched recursively.")],
    out: Annotated[Path, Parameter(help="Folder of the data set: CLASS/NAME.h5, and splits.csv.")],
    *,
    splits: Annotated[
        Path,
        Parameter(
            metavar="LISTS",
            help="Published lists: the folder of the lists of UCF101 or HMDB51, a CSV file of Kinetics, or a CSV file "
            "with the columns file,class,part and, optionally, group,start_s,stop_s,split.",
        ),
    ],
    license: Annotated[  # noqa: A002
        str | None, Parameter(help="Licence of the videos, such as cc-by-4.0, for dataset.lock.")
    ] = None,
    lock: Annotated[
        Path | None,
        Parameter(
            help="dataset.lock of another conversion of the same videos: its settings are used, and differences of "
            "videos and events are listed."
        ),
    ] = None,
    jobs: JobCount = 1,
    shard: ShardName = None,
    overwrite: Overwrite = False,
    settings: ConversionSettings = ConversionSettings(),
    **given: Any,
) -> None:
    """Convert the videos of published lists to the events of a simulated camera, with splits.csv and dataset.lock.

    The same command resumes. Its settings are the settings of dvspipe convert.
    """
    from ..results import DataLock

    expected = None if lock is None else DataLock.read(lock)
    of_video, of_recording = _choose_settings(settings, given, lock, expected)
    share = parse_shard(shard)

    from ..base.files import make_folder
    from ..datasets.lists import plan_listed, read_lists
    from ..results import write_splits

    plan = plan_listed(videos, out, read_lists(splits), shard=share)
    if any(task.span for task in plan.tasks) and {"start_s", "stop_s"} & settings.model_fields_set:
        raise ConfigError(f"{splits}: lists parts of videos, so it cannot be combined with --start-s and --stop-s")
    refuse_unused(plan.tasks, settings.model_fields_set, given)
    for note in plan.notes:
        warn(note)
    sources = None
    if expected is not None and share.count == 1:
        sources = _compare_sources(expected, plan.tasks, jobs)

    # Every share writes the same splits, of all clips.
    make_folder(out)
    write_splits(out, plan.rows)
    _show_splits(out)
    note_shard(share, len(plan.tasks))

    conversions = Conversions(of_video, of_recording, overwrite=overwrite)
    with explain_interrupt(plan.tasks, overwrite=overwrite):
        failed = conversions.run(plan.tasks, jobs)

    # A share has only some of the files: the complete command finds all of them, and locks them.
    if share.count == 1 and _list_converted(out, plan):
        terms = license if expected is None else {file.source: file.license for file in expected.files}
        _lock_folder(out, plan.tasks, conversions, LockTerms(terms, expected, sources), jobs)
    fail_inputs(failed, len(plan.tasks), NOT_CONVERTED)
    notes.print(Text(f"next:\n  {shlex.join(['dvspipe', 'train', str(out), 'data.split=1'])}"))


def _choose_settings(
    settings: ConversionSettings, given: dict[str, Any], lock: Path | None, expected: DataLock | None
) -> tuple[ConvertConfig, RecordingConfig]:
    """Return the settings of a lock, or without a lock the settings of the command."""
    if lock is None or expected is None:
        return build_settings(settings, **given)

    from ..recordings.locking import read_settings

    if names := [*settings.model_fields_set, *given]:
        raise ConfigError(f"--lock {lock}: has all settings (found --{names[0].replace('_', '-')}, too)")
    return read_settings(expected, lock)


def _compare_sources(expected: DataLock, tasks: Sequence[ConversionTask], jobs: int | str) -> SourceDigests:
    """Warn of videos that differ from a lock, before they are converted; return their digests."""
    from ..recordings.locking import compare_sources, digest_sources

    with progress() as show:
        sources = digest_sources(tasks, jobs=jobs, progress=ShownStage(show, "comparing videos"))
    for problem in compare_sources(expected, tasks, sources):
        warn(problem)
    return sources


@dataclass(frozen=True)
class LockTerms:
    """What a lock contains besides the converted files.

    Args:
        license: Licence of the videos, or licences by their names.
        expected: Lock to compare with.
        sources: Digests of the videos; None: not read yet.
    """

    license: str | Mapping[str, str | None] | None
    expected: DataLock | None
    sources: SourceDigests | None


def _lock_folder(
    folder: Path,
    tasks: Sequence[ConversionTask],
    conversions: Conversions,
    terms: LockTerms,
    jobs: int | str,
) -> None:
    """Write dataset.lock, and exit with code 2 if it differs from an expected one."""
    from ..recordings.locking import find_other_settings, write_lock
    from ..results import LOCK

    # The lock has one group of settings, so it must be true of every file.
    of_video, of_recording = conversions.of_video, conversions.of_recording
    others = find_other_settings(tasks, of_video)
    if others:
        text = f"{count_noun(len(others), 'file')} with other settings, such as {others[0].target}"
        fail(f"{folder / LOCK}: not written ({text}); use --overwrite to convert again", EXIT_ERROR)

    with progress() as show:
        shown = ShownStage(show, "locking")
        found = write_lock(
            folder,
            tasks,
            of_video,
            of_recording,
            license=terms.license,
            sources=terms.sources,
            jobs=jobs,
            progress=shown,
        )
    notes.print(f"{show_name(folder / LOCK)}: {count_noun(len(found.files), 'file')}")

    expected = terms.expected
    problems = [] if expected is None else list(expected.find_other_files(found.events, found.lists))
    for problem in problems:
        screen.print(Text(show_name(problem)))
    if problems:
        fail(f"{folder}: {count_noun(len(problems), 'difference')} from the given {LOCK}", EXIT_ERROR)


def _list_converted(folder: Path, plan: ListedConversions) -> int:
    """Leave out recordings that could not be converted from splits.csv, with a warning; return the number of others."""
    from ..results import LOCK, SPLITS, write_splits

    missing = {row.file for row in plan.rows if not (folder / row.file).exists()}
    converted = [row for row in plan.rows if row.file not in missing]
    if missing and converted:
        write_splits(folder, converted)
        count = f"{count_noun(len(missing), 'recording')}, such as {min(missing)}"
        warn(f"{folder}: {count}: not converted, and left out of {SPLITS} and {LOCK}; the same command tries again")
    return len(converted)


def _show_splits(folder: Path) -> None:
    """Print the number of recordings in each part of the splits of a folder."""
    from ..results import PARTS, SPLITS, read_splits

    splits = read_splits(folder)
    table = TextTable("split", "classes", *PARTS, right=("split", "classes", *PARTS))
    for number in splits.numbers:
        rows = splits.of(number)
        counts = Counter(row.part for row in rows)
        table.add_row(number, len({row.class_name for row in rows}), *(counts[part] for part in PARTS))

    print_parts(f"{show_name(folder / SPLITS)}:", table)


@data.command
def stats(
    config: Config,
    settings: Overrides = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            alias="-o",
            help="CSV file to write as well: clips, seconds, events, rate and ON share per class and part.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    jobs: JobCount = 1,
) -> None:
    """Show the number of recordings, people and events of a data set, per class."""
    from ..base.files import claim_output, require_suffix
    from ..datasets.survey import write_composition

    # Refuse the output before all recordings are read.
    if out is not None:
        require_suffix(out, "the composition of a data set", ".csv")
        claim_output(out, overwrite=overwrite)

    result = _survey(config, settings, jobs)
    if out is not None:
        write_composition(result.composition, out)
    if as_json:
        _print_json(result)
        return

    screen.print(f"{result.title}{' (synthetic)' if result.synthetic else ''}, sensor {result.sensor}")
    headings = ("class", "train", "val", "test", "groups", "events", "fewest", "most", "s", "events/s", "ON")
    table = TextTable(*headings, right=headings[1:], optional=("fewest", "most", "s", "events/s", "ON", "groups"))
    for row in result.figures:
        table.add_row(
            row.name,
            *(row.train, row.validation, row.test, row.groups),
            *(
                _format_number(value, form)
                for value, form in (
                    (row.events, ",.0f"),
                    (row.fewest, ",d"),
                    (row.most, ",d"),
                    (row.duration_s, ".2f"),
                    (row.rate_hz, ",.0f"),
                    (row.on_fraction, ".1%"),
                )
            ),
        )
    print_parts(table)

    if result.problems:
        messages.print(f"problems: {len(result.problems)}; list them with dvspipe data check")


@data.command
def check(
    config: Config,
    settings: Overrides = None,
    /,
    *,
    as_json: AsJson = False,
    jobs: JobCount = 1,
) -> None:
    """Load every recording of a data set and list problems; exit code 1 if there are any."""
    result = _survey(config, settings, jobs)
    if as_json:
        _print_json(result)
    for problem in () if as_json else result.problems:
        screen.print(Text(show_name(problem)))

    # The last row is the sum of all classes.
    total = result.figures[-1]
    recordings = total.train + total.validation + total.test
    if result.problems:
        fail(f"{result.title}: problems: {len(result.problems)}, recordings: {recordings}", EXIT_SOME_FAILED)

    if not as_json:
        groups = count_noun(total.groups, "group")
        screen.print(f"{result.title}: {count_noun(recordings, 'recording')} of {groups}, nothing wrong")


@data.command
def verify(
    folder: Annotated[Path, Parameter(help="Folder with a dataset.lock, as data convert writes it.")],
    /,
    *,
    jobs: JobCount = 1,
) -> None:
    """Compare every event file and list of a folder with its dataset.lock; exit code 2 if any differs."""
    from ..recordings.locking import verify_folder
    from ..results import LOCK, DataLock

    with progress() as show:
        problems = verify_folder(folder, jobs=jobs, progress=ShownStage(show, "files"))

    for problem in problems:
        screen.print(Text(show_name(problem)))
    if problems:
        fail(f"{folder}: {count_noun(len(problems), 'difference')} from {LOCK}", EXIT_ERROR)
    lock = DataLock.read(folder / LOCK)
    events = sum(file.events for file in lock.files)
    screen.print(f"{show_name(folder)}: {count_noun(len(lock.files), 'file')} with {events:,} events, as locked")


def _survey(config: str, settings: list[str] | None, jobs: int | str) -> Survey:
    from ..datasets import open_dataset, parse_data
    from ..datasets.survey import survey
    from ..training.framing import choose_framing

    experiment = read_config(config, settings)
    of_data = experiment.data
    opened = open_dataset(of_data, experiment.seed, experiment.bins, with_problems=True)

    # A published split has the parts of its file; only training draws a missing validation part.
    if opened.split is not None and "validation" not in of_data.model_fields_set:
        of_data = of_data.with_shares({"validation": 0.0})
        opened = open_dataset(of_data, experiment.seed, experiment.bins, with_problems=True)

    # A folder is framed as `train` frames it, so the figures are the same as in training.
    with progress() as show:
        framing = choose_framing(opened, of_data, partial(show, "framing")) if is_folder(config) else None
        if framing is not None:
            notes.print(f"{framing.reason}, as for training")
            framed = of_data.model_dump(mode="json", exclude_unset=True) | framing.settings
            opened = open_dataset(parse_data(framed), experiment.seed, experiment.bins, with_problems=True)
        return survey(opened, ShownStage(show, "recordings"), jobs=jobs)


def _format_number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _print_json(result: Survey) -> None:
    sys.stdout.write(result.model_dump_json(indent=1) + "\n")
