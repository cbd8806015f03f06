"""Published lists of videos: the parts of UCF101, HMDB51 and Kinetics, and lists of your own.

read_lists         files of a data set   --> `ListedClip`s, a clip and its part in a split
plan_listed        clips and videos      --> `ListedConversions`: conversions, rows of splits.csv, and what is missing
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydantic import Field, ValidationError

from ..base.errors import DataError
from ..base.files import read_bytes
from ..base.pool import ALL, Shard
from ..recordings.conversion import ConversionTask, FilmSpan
from ..recordings.sources import find_sources, is_recording_suffix
from ..results.splits import MAX_SPLITS_BYTES, Part, SplitRow
from ..results.tables import Record, list_errors, read_csv
from ..video.names import VIDEO_SUFFIXES

# UCF101: v_CLASS_gGROUP_cCLIP.avi. HMDB51: FILM_CLASS_BODY_CAMERA_PEOPLE_VIEW_QUALITY_CLIP.avi.
FILM_PATTERNS = (
    r"(?<=_)g\d\d(?=_c\d\d\.)",
    r"^.+(?=_[fhlu]_[cn]m_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+\.)",
)
"""Patterns of the film in the file names of published data sets."""
UCF_LIST = re.compile(r"(train|test)list(\d+)\.txt")
UCF_CLASSES = "classInd.txt"
HMDB_LIST = re.compile(r"(.+)_test_split(\d+)\.txt")
HMDB_PARTS: Mapping[str, Part | None] = {"0": None, "1": "train", "2": "test"}
KINETICS_PARTS: Mapping[str, Part] = {
    "train": "train",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
}
KNOWN_LISTS = (
    f"trainlist01.txt, testlist01.txt and {UCF_CLASSES} of UCF101, <class>_test_split1.txt of HMDB51, a CSV file of "
    "Kinetics with label,youtube_id,time_start,time_end,split, or a CSV file with file,class,part"
)
MAX_NAMED = 3  # files named in a message
LISTED_SUFFIX = ".h5"


@dataclass(frozen=True)
class ListedClip:
    """Clip in a list.

    Args:
        split: Number of the split.
        file: Path or name of its video in the list; the suffix may be missing.
        class_name: Name of the class.
        part: Part in this split.
        group: Film or person; empty: unknown.
        span: Time span of the video; None: the complete video.
    """

    split: int
    file: PurePosixPath
    class_name: str
    part: Part
    group: str = ""
    span: FilmSpan | None = None

    @cached_property
    def path_names(self) -> tuple[str, ...]:
        """Names of the folders and the file, without the suffix of a video or recording."""
        return _without_suffix(self.file).parts


class KineticsRow(Record):
    """Row of a list of Kinetics."""

    label: str = Field(min_length=1)
    youtube_id: str = Field(min_length=1)
    time_start: float = Field(ge=0)
    time_end: float
    split: str

    def to_clip(self) -> ListedClip:
        """Return the clip of the row."""
        if self.split not in KINETICS_PARTS:
            raise ValueError(f"split {self.split}: unknown (expected {', '.join(KINETICS_PARTS)})")

        return ListedClip(
            split=1,
            file=PurePosixPath(self.youtube_id),
            class_name=self.label,
            part=KINETICS_PARTS[self.split],
            group=self.youtube_id,
            span=FilmSpan.check(self.time_start, self.time_end),
        )


class OwnRow(Record):
    """Row of a list of your own; only `file`, `class` and `part` are required."""

    file: str = Field(min_length=1)
    class_name: str = Field(alias="class", min_length=1)
    part: Part
    group: str = ""
    start_s: float | None = Field(default=None, ge=0)
    stop_s: float | None = None
    split: int = Field(default=1, ge=1)

    def to_clip(self) -> ListedClip:
        """Return the clip of the row."""
        file = PurePosixPath(self.file)
        group = self.group or _find_film(file.name)
        if self.start_s is None and self.stop_s is None:
            return ListedClip(self.split, file, self.class_name, self.part, group)

        # Clips of one film stay together.
        span = FilmSpan.check(self.start_s or 0.0, self.stop_s)
        return ListedClip(self.split, file, self.class_name, self.part, group or str(file), span)


def read_lists(path: Path) -> list[ListedClip]:
    r"""Read the published lists of a data set.

    Args:
        path: Folder with the lists of UCF101 or HMDB51, or with CSV files; or a CSV file. See `KNOWN_LISTS`.

    Raises:
        FileError: If a file cannot be read.
        DataError: If there are no lists, or a line is invalid; the message names the line.

    Example:
        >>> path = tmp_path / "lists.csv"
        >>> _ = path.write_text("file,class,part\nclips/a.mp4,wave,train\n")
        >>> [clip] = read_lists(path)
        >>> clip.split, clip.path_names, clip.class_name, clip.part
        (1, ('clips', 'a'), 'wave', 'train')
    """
    if not path.is_dir():
        return list(_read_csv(path))

    names = sorted(file.name for file in path.iterdir() if file.is_file())
    ucf = [match for name in names if (match := UCF_LIST.fullmatch(name))]
    hmdb = [match for name in names if (match := HMDB_LIST.fullmatch(name))]
    tables = [name for name in names if name.lower().endswith(".csv")]

    if ucf:
        return list(_read_ucf(path, ucf))
    if hmdb:
        return [clip for match in hmdb for clip in _read_hmdb(path, match)]
    if tables:
        return [clip for name in tables for clip in _read_csv(path / name)]

    raise DataError(f"{path}: no lists (expected {KNOWN_LISTS})")


def _read_ucf(folder: Path, lists: Iterable[re.Match[str]]) -> Iterator[ListedClip]:
    """Yield the clips of UCF101's lists: `CLASS/v_CLASS_g01_c01.avi 1`, without the number in the test lists."""
    index = folder / UCF_CLASSES
    numbers = dict(_parse_class(where, line) for where, line in _read_lines(index)) if index.is_file() else {}
    spelled = {name.casefold(): name for name in numbers}

    for match in lists:
        for where, line in _read_lines(folder / match[0]):
            name, _, number = line.partition(" ")
            file = PurePosixPath(name)
            class_name = spelled.get(file.parent.name.casefold(), file.parent.name)

            if len(file.parts) < 2:
                raise DataError(f"{where}: {line!r} has no class (expected CLASS/VIDEO)")
            if numbers and class_name not in numbers:
                raise DataError(f"{where}: unknown class {class_name} (expected a class of {UCF_CLASSES})")
            if numbers and number not in ("", numbers[class_name]):
                raise DataError(
                    f"{where}: wrong number of {class_name} (found {number}, expected {numbers[class_name]}, as in "
                    f"{UCF_CLASSES})"
                )

            part: Part = "train" if match[1] == "train" else "test"
            yield ListedClip(int(match[2]), file, class_name, part, _find_film(file.name))


def _parse_class(where: str, line: str) -> tuple[str, str]:
    """Return the name and the number of the class in a line of classInd.txt."""
    number, _, name = line.partition(" ")
    if not (number.isdecimal() and name):
        raise DataError(f"{where}: {line!r} is not a number and the name of a class")
    return name, number


def _read_hmdb(folder: Path, match: re.Match[str]) -> Iterator[ListedClip]:
    """Yield the clips of a list of HMDB51: `NAME.avi 1`, with 1 for training, 2 for the test and 0 for neither."""
    class_name = match[1]
    for where, line in _read_lines(folder / match[0]):
        name, _, number = line.rpartition(" ")
        if not name or number not in HMDB_PARTS:
            raise DataError(f"{where}: {line!r} is not a video with {', '.join(HMDB_PARTS)}")

        part = HMDB_PARTS[number]
        film = _find_film(name).removesuffix(f"_{class_name}")  # a film may be in several classes
        if part is not None:
            yield ListedClip(int(match[2]), PurePosixPath(class_name, name), class_name, part, film)


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a text file that are not empty, each after its location."""
    try:
        text = read_bytes(path, MAX_SPLITS_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error})") from error

    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}: line {number}", line.strip()


def _read_csv(path: Path) -> Iterator[ListedClip]:
    """Yield the clips of a CSV file, of Kinetics or of your own."""
    header, rows = read_csv(path, MAX_SPLITS_BYTES)
    kind = KineticsRow if "youtube_id" in header else OwnRow
    required = {field.alias or name for name, field in kind.model_fields.items() if field.is_required()}
    if missing := sorted(required.difference(header)):
        raise DataError(f"{path}: no column {missing[0]} (found {','.join(header)}, expected {KNOWN_LISTS})")

    for where, cells in rows:
        given = {name: value for name, value in cells.items() if value}
        try:
            yield kind.model_validate(given).to_clip()
        except ValidationError as error:
            raise DataError(f"{where}: not a clip ({list_errors(error)})") from error
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error


def _find_film(name: str) -> str:
    """Return the film in the name of a file of a published data set; empty if unknown."""
    matches = (re.search(pattern, name) for pattern in FILM_PATTERNS)
    return next((match[0] for match in matches if match), "")


def _without_suffix(path: PurePosixPath) -> PurePosixPath:
    """Remove the suffix of a video or recording; other dots belong to the name."""
    is_known = path.suffix.lower() in VIDEO_SUFFIXES or is_recording_suffix(path.suffix)
    return path.with_suffix("") if is_known else path


@dataclass(frozen=True)
class ListedConversions:
    """Conversions of the clips of published lists.

    Args:
        tasks: Conversions of this shard, CLASS/NAME.h5 in the output folder.
        rows: Rows of splits.csv for all clips that were found.
        notes: What does not fit, a line each.
    """

    tasks: tuple[ConversionTask, ...]
    rows: tuple[SplitRow, ...]
    notes: tuple[str, ...]


def plan_listed(videos: Path, out: Path, clips: Sequence[ListedClip], *, shard: Shard = ALL) -> ListedConversions:
    """Plan the conversion of the clips of published lists.

    A clip is found by the longest end of its path in the list, at least its name; upper and lower case may differ. A
    clip of a film is cut from it, unless the folder has a video NAME_START_STOP of the clip alone.

    Args:
        videos: Folder of videos, searched recursively.
        out: Output folder.
        clips: Clips of the lists.
        shard: Selection of the clips to convert.

    Raises:
        DataError: If no clip is found, or a list has a clip twice with different parts or groups.
    """
    finder = _VideoFinder(videos, clips)
    matches = [finder.find(clip) for clip in clips]
    names = _choose_names(clips)
    found = [
        _FoundClip(clip, name, match)
        for clip, name, match in zip(clips, names, matches, strict=True)
        if match is not None
    ]

    rows, repeated = _list_rows(found)
    missing = [clip.file for clip, match in zip(clips, matches, strict=True) if match is None]
    ambiguous = [clip.file for clip, _, match in found if match.is_ambiguous]
    used = {match.video.path for _, _, match in found}
    unused = [path.relative_to(videos) for path in sorted(finder.paths - used)]

    notes = (
        *_note("listed videos are missing", videos, missing),
        *_note("videos are listed twice in a split", videos, repeated),
        *_note("listed videos exist more than once, and the first is used", videos, ambiguous),
        *_note("videos are in no part of a split, and are not converted", videos, unused),
        *_note("classes are written with other upper case in the folder", videos, _list_respelled(found)),
    )
    if not rows:
        raise DataError("; ".join(notes) or f"{videos}: the lists have no clips")

    return ListedConversions(_list_tasks(found, out, shard), rows, notes)


class _Video(NamedTuple):
    """Video in the folder, and the names of its path in the folder, without its suffix."""

    path: Path
    path_names: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of the folder that contains the video; empty: none."""
        return self.path_names[-2] if len(self.path_names) > 1 else ""


class _Match(NamedTuple):
    """Video of a clip."""

    video: _Video
    is_ambiguous: bool  # whether other videos fit equally well
    span: FilmSpan | None = None  # span to convert; None: the complete video


class _FoundClip(NamedTuple):
    """Clip, the name of its recording (CLASS/NAME, without suffix), and its video."""

    clip: ListedClip
    name: PurePosixPath
    match: _Match

    @property
    def recording(self) -> str:
        """Path of the recording in the output folder."""
        return f"{self.name}{LISTED_SUFFIX}"


def _list_rows(found: Iterable[_FoundClip]) -> tuple[tuple[SplitRow, ...], list[PurePosixPath]]:
    """Return the rows of splits.csv, one per recording and split, and the files that are listed again."""
    rows: dict[tuple[int, PurePosixPath], SplitRow] = {}
    repeated: list[PurePosixPath] = []

    for item in found:
        clip = item.clip
        row = SplitRow(
            split=clip.split,
            file=item.recording,
            class_name=clip.class_name,
            part=clip.part,
            group=clip.group,
        )

        key = (clip.split, item.name)
        previous = rows.get(key)
        if previous is None:
            rows[key] = row
        elif previous == row:
            repeated.append(clip.file)
        else:
            difference = _describe_difference(previous, row)
            raise DataError(f"{clip.file}: is listed twice in split {clip.split} ({difference})")

    return tuple(rows.values()), repeated


def _describe_difference(previous: SplitRow, row: SplitRow) -> str:
    """Describe the first difference between two rows of one recording."""
    columns = {
        "part": (previous.part, row.part),
        "class": (previous.class_name, row.class_name),  # "a/b" and "a-b" have one folder
        "group": (previous.group or "no group", row.group or "no group"),
    }
    column, values = next((column, values) for column, values in columns.items() if values[0] != values[1])
    return f"found {values[0]} and {values[1]}, expected one {column}"


def _list_tasks(found: Iterable[_FoundClip], out: Path, shard: Shard) -> tuple[ConversionTask, ...]:
    """Return the conversions of a shard, one per recording."""
    tasks: dict[PurePosixPath, ConversionTask] = {}

    for item in found:
        source = item.match.video.path

        # The noise of a simulated camera depends on this name, which is the same wherever the videos are.
        noise_name = Path(f"{item.name}{source.suffix}")
        if noise_name in shard:
            tasks[item.name] = ConversionTask(source, out / item.recording, noise_name, item.match.span)

    return tuple(tasks.values())


def _list_respelled(found: Iterable[_FoundClip]) -> Iterator[str]:
    """Yield the classes whose folder differs from the list in upper case, with the name of the folder."""
    for clip, _, match in found:
        folder = match.video.folder
        if folder != clip.class_name and folder.casefold() == clip.class_name.casefold():
            yield f"{clip.class_name}: {folder}"


def _note(what: str, videos: Path, names: Iterable[object]) -> Iterator[str]:
    """Yield a line with the number of files and some of their names, if there are any."""
    # The keys of a dictionary are an ordered set: each name once, in the order of the list.
    listed = [str(name) for name in dict.fromkeys(names)]
    if listed:
        shown = ", ".join(listed[:MAX_NAMED]) + (", ..." if len(listed) > MAX_NAMED else "")
        yield f"{videos}: {what}: {len(listed):,} ({shown})"


def _choose_names(clips: Sequence[ListedClip]) -> list[PurePosixPath]:
    """Choose the name of the recording of each clip, CLASS/NAME; the names depend on the lists alone."""
    files = {(clip.class_name, clip.path_names) for clip in clips}
    files_with_name = Counter((class_name, path_names[-1]) for class_name, path_names in files)

    names = []
    for clip in clips:
        stem = clip.path_names[-1]

        # The folders distinguish videos of one name.
        if files_with_name[clip.class_name, stem] > 1:
            stem = "_".join(name for name in clip.path_names if name not in ("/", ".."))

        span = "" if clip.span is None else f"_{clip.span}"
        names.append(PurePosixPath(clip.class_name.replace("/", "-"), f"{stem}{span}"))

    return names


class _Likeness(NamedTuple):
    """Number of equal names at the end of two paths: in any case, and among them in the same upper case."""

    equal_names: int
    equal_case: int


class _VideoFinder:
    """Videos of a folder, found by the paths in lists.

    Attributes:
        paths: All videos of the folder.
    """

    def __init__(self, videos: Path, clips: Iterable[ListedClip]) -> None:
        self.paths: set[Path] = set()
        self._by_stem: defaultdict[str, list[_Video]] = defaultdict(list)
        for path, name in find_sources([videos], is_skipped=_is_result):
            path_names = _without_suffix(PurePosixPath(name.as_posix())).parts
            self.paths.add(path)
            self._by_stem[path_names[-1].casefold()].append(_Video(path, path_names))

        listed = {clip.path_names for clip in clips}
        self._listed_with_stem = Counter(path_names[-1].casefold() for path_names in listed)

    def find(self, clip: ListedClip) -> _Match | None:
        """Find the video of a clip: a video of the clip alone, or the film that it is cut from."""
        *folders, stem = clip.path_names

        # A name that several listed videos have needs its complete path.
        is_unique = self._listed_with_stem[stem.casefold()] == 1
        min_equal_names = 1 if is_unique else len(clip.path_names)

        if clip.span is None:
            return self._match(clip.path_names, min_equal_names)

        alone = self._match((*folders, f"{stem}_{clip.span}"), min_equal_names)
        if alone is not None:
            return alone

        film = self._match(clip.path_names, min_equal_names)
        return None if film is None else film._replace(span=clip.span)

    def _match(self, path_names: tuple[str, ...], min_equal_names: int) -> _Match | None:
        """Return the video whose path is most like a listed path, with this number of equal names at its end or more.

        None: no video is like it.
        """
        stem = path_names[-1].casefold()

        # The longest common end of both paths decides, then equal upper case.
        candidates = [(_compare(path_names, video.path_names), video) for video in self._by_stem.get(stem, ())]
        best = max((likeness for likeness, _ in candidates), default=_Likeness(0, 0))
        if best.equal_names < min_equal_names:
            return None

        first, *others = [video for likeness, video in candidates if likeness == best]
        return _Match(first, is_ambiguous=bool(others))


def _is_result(path: Path) -> bool:
    """Return whether a file may be a result of a previous run: the output folder may be in the folder of videos."""
    return path.name.lower().endswith(LISTED_SUFFIX)


def _compare(listed: Sequence[str], present: Sequence[str]) -> _Likeness:
    """Count the equal names at the end of two paths."""
    equal_names = 0
    equal_case = 0
    for a, b in zip(reversed(listed), reversed(present), strict=False):
        if a.casefold() != b.casefold():
            break
        equal_names += 1
        equal_case += a == b
    return _Likeness(equal_names, equal_case)
