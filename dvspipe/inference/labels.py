"""Read label files of recordings and map their classes to a network's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base.errors import DataError
from ..base.labels import SUFFIX, read_labels
from ..results import LabelRow


@dataclass(frozen=True)
class LabelledSpan:
    """Time span of a recording that shows one class.

    Args:
        t_start_us: Start time in microseconds, inclusive.
        t_end_us: End time in microseconds, exclusive.
        label: Class number.
        class_name: Class name.
    """

    t_start_us: int
    t_end_us: int
    label: int
    class_name: str

    def to_row(self) -> LabelRow:
        """Convert to a record for storage."""
        return LabelRow(t_start_us=self.t_start_us, t_end_us=self.t_end_us, class_name=self.class_name)


def find_label_file(labels: Path, recording: Path, name: Path) -> Path:
    """Find the label file of a recording.

    Args:
        labels: Label file, or folder with NAME_labels.csv for NAME.SUFFIX. The file is searched at the recording's
            relative path `name` first, then directly in the folder.
        recording: Path of the recording.
        name: Path of the recording relative to the source folder, or its file name.

    Raises:
        DataError: If the folder has no label file for the recording.
    """
    if not labels.is_dir():
        return labels
    file = f"{recording.name.removesuffix(''.join(recording.suffixes[-1:]))}{SUFFIX}"
    found = next((path for path in (labels / name.with_name(file), labels / file) if path.is_file()), None)
    if found is None:
        raise DataError(f"{recording}: label file not found (expected {file} in {labels})")
    return found


def read_spans(path: Path, classes: Sequence[str]) -> tuple[LabelledSpan, ...]:
    """Read a label file.

    Args:
        path: Label file.
        classes: Class names of the network.

    Returns:
        Labelled spans, sorted by time.

    Raises:
        FileError: If the file cannot be read.
        DataError: If it is not a label file, or contains a class that the network does not have.
    """
    spans = []
    for span in read_labels(path):
        if span.name not in classes:
            raise DataError(f"{path}: unknown class (found {span.name!r}, expected {', '.join(classes)})")
        spans.append(LabelledSpan(span.start_us, span.end_us, classes.index(span.name), span.name))
    return tuple(spans)
