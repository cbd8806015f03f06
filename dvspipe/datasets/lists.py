"""Published lists of videos: a CSV file with a row for each clip, its class, and its part in a split.

`read_list` reads the file, and `plan_listed` finds the videos: conversions, rows of splits.csv, and what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, model_validator

from ..base.errors import DataError
from ..base.pool import ALL, Shard
from ..recordings.conversion import ConversionTask, FilmSpan
from ..recordings.sources import find_sources
from ..results.splits import MAX_SPLITS_BYTES, Part, SplitRow
from ..results.tables import Record, read_table

# UCF101: v_CLASS_gGROUP_cCLIP.avi. HMDB51: FILM_CLASS_BODY_CAMERA_PEOPLE_VIEW_QUALITY_CLIP.avi.
FILM_PATTERNS = (
    r"(?<=_)g\d\d(?=_c\d\d\.)",
    r"^.+(?=_[fhlu]_[cn]m_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+\.)",
)
"""Patterns of the film in the file names of published data sets."""
LISTED_SUFFIX = ".h5"


class ListedClip(Record):
    """Clip in a list."""

    file: str = Field(min_length=1)
    """Path of the video in the folder of videos, with `/` between the names."""
    class_name: str = Field(alias="class", min_length=1)
    """Name of the class."""
    part: Part
    """Part in this split."""
    group: str = ""
    """Film or person; empty: the film of a cut clip, otherwise unknown."""
    start_s: float = Field(default=0.0, ge=0)
    """Start of the clip in the video, in seconds."""
    stop_s: float | None = None
    """Stop of the clip in the video, in seconds (exclusive); None: end of the video."""
    split: int = Field(default=1, ge=1)
    """Number of the split."""

    @model_validator(mode="after")
    def _check_span(self) -> Self:
        _ = self.span
        return self

    @property
    def span(self) -> FilmSpan | None:
        """Time span of the video; None: the complete video."""
        is_cut = self.start_s or self.stop_s is not None
        return FilmSpan.check(self.start_s, self.stop_s) if is_cut else None

    @property
    def recording(self) -> str:
        """Path of its recording in the output folder, CLASS/FOLDER_NAME.h5; folders named like the class are left out.

        Example:
            >>> row = {"class": "wave", "part": "train"}
            >>> [ListedClip(file=file, **row).recording for file in ("p1/a.mp4", "wave/b.mp4")]
            ['wave/p1_a.h5', 'wave/b.h5']
        """
        path = PurePosixPath(self.file)
        folders = [name for name in path.parent.parts if name not in (self.class_name, "/", "..")]
        cut = "" if self.span is None else f"_{self.span}"
        return f"{self.class_name.replace('/', '-')}/{'_'.join([*folders, path.stem])}{cut}{LISTED_SUFFIX}"

    def to_row(self) -> SplitRow:
        """Return the row of its recording in splits.csv; clips of one film stay together."""
        group = self.group or ("" if self.span is None else self.file)
        return SplitRow(split=self.split, file=self.recording, class_name=self.class_name, part=self.part, group=group)


def read_list(path: Path) -> list[ListedClip]:
    r"""Read a list of clips.

    Raises:
        FileError: If the file cannot be read.
        DataError: If a column is missing, or a line is invalid; the message names the line.

    Example:
        >>> path = tmp_path / "list.csv"
        >>> _ = path.write_text("file,class,part,start_s\nclips/a.mp4,wave,train,1.5\n")
        >>> [clip] = read_list(path)
        >>> clip.split, clip.class_name, clip.part, clip.recording
        (1, 'wave', 'train', 'wave/clips_a_0001.5.h5')
    """
    return read_table(path, ListedClip, ("file", "class", "part"), MAX_SPLITS_BYTES)


@dataclass(frozen=True)
class ListedConversions:
    """Conversions of the clips of a published list.

    Args:
        tasks: Conversions of this shard, CLASS/NAME.h5 in the output folder.
        rows: Rows of splits.csv for all clips that were found.
        notes: What does not fit, a line each.
    """

    tasks: tuple[ConversionTask, ...]
    rows: tuple[SplitRow, ...]
    notes: tuple[str, ...]


def plan_listed(videos: Path, out: Path, clips: Sequence[ListedClip], *, shard: Shard = ALL) -> ListedConversions:
    """Plan the conversion of the clips of a published list.

    Args:
        videos: Folder of videos, searched recursively.
        out: Output folder.
        clips: Clips of the list.
        shard: Selection of the clips to convert, by the names of their recordings.

    Raises:
        DataError: If no clip is found, or the list has a recording twice in a split.
    """
    # The output folder may be in the folder of videos: results of an earlier run are not sources. The list decides
    # about images beside videos.
    sources = find_sources([videos], lambda path: path.suffix.lower() == LISTED_SUFFIX, "skip")
    path_of = {name.as_posix(): path for path, name in sources}

    file_of: dict[str, str] = {}
    rows: dict[tuple[int, str], SplitRow] = {}
    tasks: dict[str, ConversionTask] = {}
    for clip in clips:
        if clip.file not in path_of:
            continue

        key = (clip.split, clip.recording)
        first = file_of.setdefault(clip.recording, clip.file)
        if key in rows or first != clip.file:
            raise DataError(f"{clip.file}: is listed twice as {clip.recording} (expected one line for each in a split)")
        rows[key] = clip.to_row()

        # The noise of a simulated camera depends on this name, which is the same wherever the videos are.
        noise_name = Path(clip.recording.removesuffix(LISTED_SUFFIX) + PurePosixPath(clip.file).suffix)
        tasks[clip.recording] = ConversionTask(path_of[clip.file], out / clip.recording, noise_name, clip.span)

    listed = {clip.file for clip in clips}
    differences = {
        "listed videos are missing": listed - path_of.keys(),
        "videos are not in the list, and are not converted": path_of.keys() - listed,
    }
    notes = tuple(
        f"{videos}: {what}: {len(files):,}, such as {min(files)}" for what, files in differences.items() if files
    )
    if not rows:
        raise DataError("; ".join(notes) or f"{videos}: the list has no clips")

    selected = shard.select([*tasks.values()], lambda task: task.name or task.source)
    return ListedConversions(tuple(selected), tuple(rows.values()), notes)
