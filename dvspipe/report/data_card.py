"""Data card of a converted folder: README.md for the Hugging Face hub, and croissant.json with the same facts.

Everything follows from `dataset.lock` and `splits.csv`; no recording is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import yaml

from ..base.errors import count_noun, escape_controls
from ..base.files import write_text
from ..base.trees import find_differences
from ..recordings.config import ConvertConfig
from ..results import LOCK, DataLock, LockedFile
from ..results.composition import EVERYTHING, CompositionRow
from ..results.splits import PARTS, SPLITS, Splits, find_splits
from .compositions import format_markdown
from .croissant import CROISSANT, Description, write_croissant

CARD = "README.md"
RECIPE = (LOCK, SPLITS, CARD, CROISSANT)
"""Files that say how to make a data set; they contain nothing of its sources."""
TAGS = ("dvspipe", "event-camera", "dvs", "neuromorphic", "simulated")  # synthetic: rendered scenes
TASK = "video-classification"  # the closest task that the hub knows
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST_SIZE = "1M<n<10M"
OPEN_LICENSES = ("apache", "bsd", "cc-by", "cc0", "mit", "odbl", "odc-by", "pddl", "unlicense")
"""Beginnings of licences that allow to publish adapted versions."""
NO_ADAPTATIONS = "-nd"  # part of Creative Commons licences that forbid adapted versions


@dataclass(frozen=True)
class CardDetails:
    """What the author of a card knows, and the folder does not.

    Args:
        authors: Who made the data set.
        license: Licence of the data set in the hub's notation, such as `cc-by-4.0`; None: the licence of the sources,
            if they have only one, and otherwise `other`.
        about: What the recordings show, in a sentence or more.
    """

    authors: tuple[str, ...] = ()
    license: str | None = None
    about: str = ""


@dataclass(frozen=True)
class DataCard:
    """Data card of a folder.

    Args:
        name: Name of the data set.
        lock: Lock of the folder.
        splits: Published splits; None: without.
        details: What its author adds.
    """

    name: str
    lock: DataLock
    splits: Splits | None
    details: CardDetails = CardDetails()

    @classmethod
    def of(cls, folder: Path, details: CardDetails = CardDetails()) -> DataCard:
        """Return the card of a folder.

        Raises:
            FileError: If it has no dataset.lock, or one of its files is invalid.
        """
        return cls(folder.resolve().name, DataLock.read(folder / LOCK), find_splits(folder), details)

    @cached_property
    def restrictions(self) -> tuple[str, ...]:
        """Reasons not to publish the events, one line for each licence of sources; empty: they may be published."""
        by_license: defaultdict[str | None, list[LockedFile]] = defaultdict(list)
        for file in self.lock.files:
            by_license[file.license].append(file)

        closed = [(terms, files) for terms, files in by_license.items() if not _allows_copies(terms)]
        reasons = list[str]()
        for terms, files in sorted(closed, key=lambda pair: pair[0] or ""):
            stated = f"with the licence {terms}" if terms else "without a licence"
            reasons.append(f"{count_noun(len(files), 'source')} {stated}, such as {files[0].source}")
        return tuple(reasons)

    @property
    def license(self) -> str:
        """Licence of the data set."""
        if self.details.license is not None:
            return self.details.license

        licenses = {file.license for file in self.lock.files}
        single = next(iter(licenses)) if len(licenses) == 1 else None
        return single if single is not None and _allows_copies(single) else "other"

    def write(self, folder: Path) -> None:
        """Write README.md and croissant.json."""
        description = Description(
            name=self.name,
            about=self._describe(),
            license=self.license,
            authors=self.details.authors,
        )
        write_text(folder / CARD, self.format())
        write_croissant(folder, description)

    def format(self) -> str:
        """Return the card as Markdown with the metadata of the hub."""
        count = len(self.lock.files)
        metadata: dict[str, object] = {
            "pretty_name": self.name,
            "license": self.license,
            "task_categories": [TASK],
            "size_categories": [next((size for limit, size in SIZES if count < limit), LARGEST_SIZE)],
            "tags": list(TAGS),
            "viewer": False,
        }
        authors = ", ".join(map(_plain, self.details.authors)) or "not stated"

        sections = (
            f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n\n# {_plain(self.name)}",
            self._describe(),
            f"- **Curated by:** {authors}\n- **License:** {self.license}",
            f"## Uses\n\n{self._describe_loading()}",
            f"## Dataset structure\n\n{self._describe_structure()}",
            f"## Dataset creation\n\n{self._describe_creation()}",
            f"### Source data\n\n{self._describe_sources()}",
            "## Bias, risks and limitations\n\n" + LIMITS,
        )
        return "\n\n".join(sections) + "\n"

    def _describe(self) -> str:
        """Describe the content in a few sentences."""
        events = sum(file.events for file in self.lock.files)
        seconds = sum(file.duration_us for file in self.lock.files) / 1e6
        counts = f"{count_noun(len(self.lock.files), 'recording')} of {len(self._classes)} classes"
        own = f"{self.details.about.strip()} " if self.details.about else ""
        return f"{own}Event-camera recordings simulated from videos: {counts}, {seconds:,.0f} s, {events:,} events."

    @cached_property
    def _classes(self) -> dict[str, list[LockedFile]]:
        classes: defaultdict[str, list[LockedFile]] = defaultdict(list)
        for file in self.lock.files:
            classes[PurePosixPath(file.file).parts[0]].append(file)
        return dict(sorted(classes.items()))

    def _describe_loading(self) -> str:
        example = self.lock.files[0].file if self.lock.files else "CLASS/NAME.h5"
        needs_plugin = self.lock.header.video.get("compression") == "blosc"
        blocks = (
            ("With h5py", ("import hdf5plugin  # decompresses Blosc\n" if needs_plugin else "") + READ_H5PY),
            ("With Tonic, after this", READ_TONIC),
            *((("Recordings of a part", READ_SPLITS),) if self.splits is not None else ()),
            ("With WebDataset, after `dvspipe data pack . -o shards`", READ_WEBDATASET),
        )
        texts = (f"{title}:\n\n```python\n{code.replace('FILE', example)}```" for title, code in blocks)
        return "\n\n".join((*texts, "With dvspipe: `dvspipe train .`"))

    def _describe_structure(self) -> str:
        lines = [
            "Each recording is a file `CLASS/NAME.h5`: `events/t` in microseconds, `events/x`, `events/y` (downwards) "
            "and `events/p` (1: brighter), and the attributes `width` and `height`. `dataset.lock` has the SHA-256 of "
            "every recording and of its source; `dvspipe data verify .` compares them.",
            "",
            format_markdown(list(self._compose())),
        ]
        if self.splits is not None:
            lines += ["`splits.csv` has the parts of each split:", "", *_tabulate_splits(self.splits)]
        return "\n".join(lines).rstrip()

    def _compose(self) -> Iterator[CompositionRow]:
        """Yield a row for each class, and the sum."""
        for name, files in (*self._classes.items(), (EVERYTHING, self.lock.files)):
            yield CompositionRow.of_totals(
                name,
                EVERYTHING,
                clips=len(files),
                events=sum(file.events for file in files),
                duration_us=sum(file.duration_us for file in files),
            )

    def _describe_creation(self) -> str:
        header = self.lock.header
        versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
        differing = find_differences(ConvertConfig().model_dump(mode="json"), header.video)
        listed = yaml.safe_dump({key: value for key, _, value in differing}, sort_keys=False) if differing else ""
        settings = (
            f"Settings that differ from the defaults:\n\n```yaml\n{listed}```"
            if listed
            else "The settings are the defaults."
        )
        return (
            f"Simulated with {versions}. All recordings have one sensor; the noise of each recording, if any, is "
            f"independent. {settings}\n\n"
            "To make the same events from the same sources: "
            "give `dvspipe data convert` the videos and this `dataset.lock`."
        )

    def _describe_sources(self) -> str:
        counts = Counter(file.license for file in self.lock.files)
        rows = (f"| {_plain(terms or 'none stated')} | {count:,} |" for terms, count in counts.most_common())
        table = "\n".join(("| licence of the source | recordings |", "|---|---:|", *rows))

        if not self.restrictions:
            return table
        closed = "; ".join(map(_plain, self.restrictions))
        recipe = ", ".join(f"`{name}`" for name in RECIPE)
        return f"{table}\n\nThe events of these sources may not be published: {closed}. The recipe may: {recipe}."


def _allows_copies(terms: str | None) -> bool:
    """Return whether a licence allows to publish adapted versions; a missing licence does not."""
    name = (terms or "").strip().lower()
    return name.startswith(OPEN_LICENSES) and NO_ADAPTATIONS not in name


def _tabulate_splits(splits: Splits) -> Iterator[str]:
    yield f"| split | {' | '.join(PARTS)} |"
    yield "|---|" + "---:|" * len(PARTS)
    for number in splits.numbers:
        counts: Mapping[str, int] = Counter(row.part for row in splits.of(number))
        yield f"| {number} | {' | '.join(f'{counts[part]:,}' for part in PARTS)} |"


def _plain(text: str) -> str:
    """Escape user text as one line without Markdown or HTML markup."""
    return escape_controls(" ".join(text.split())).translate({ord(mark): f"\\{mark}" for mark in "\\`*|<[#"})


def describe_publication(card: DataCard) -> Sequence[str]:
    """Return what may be published of a data set, one line each."""
    if not card.restrictions:
        return (f"may be published: everything, as {card.license}",)
    reasons: Iterable[str] = (f"not the events: {reason}" for reason in card.restrictions)
    return (f"may be published: the recipe ({', '.join(RECIPE)})", *reasons)


READ_H5PY = """\
import h5py

with h5py.File("FILE") as file:
    width, height = int(file.attrs["width"]), int(file.attrs["height"])
    events = {name: file["events"][name][:] for name in ("t", "x", "y", "p")}
"""
READ_TONIC = """\
import numpy as np
import tonic

structured = np.empty(len(events["t"]), [("x", int), ("y", int), ("t", int), ("p", int)])
for name, column in events.items():
    structured[name] = column
frames = tonic.transforms.ToFrame(sensor_size=(width, height, 2), n_time_bins=10)(structured)
"""
READ_SPLITS = """\
import csv

with open("splits.csv", newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["split"] == "1" and row["part"] == "train"]
files = [(row["file"], row["class"]) for row in rows]
"""
READ_WEBDATASET = """\
import glob
import io
import json

import h5py
import webdataset

for sample in webdataset.WebDataset(sorted(glob.glob("shards/train-*.tar")), shardshuffle=False):
    label = json.loads(sample["json"])["label"]
    with h5py.File(io.BytesIO(sample["h5"])) as file:
        t = file["events"]["t"][:]
"""
LIMITS = """\
The events are simulated, not recorded: a network trained on them may be less accurate on a real sensor. Between two
frames of a video, all pixels change evenly, so motion faster than the frame rate is missing. The bias of the source
videos is in the events, too."""
