"""Label files of recordings, for a network that knows some classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..labels import SUFFIX, read_labels
from ..results import LabelRow


@dataclass(frozen=True)
class LabelledSpan:
    """A part of a recording that shows one class.

    Args:
        t_start_us: Start in microseconds, inclusive.
        t_end_us: End, exclusive.
        label: The class.
        class_name: Its name.
    """

    t_start_us: int
    t_end_us: int
    label: int
    class_name: str

    def to_row(self) -> LabelRow:
        """Return the record of it."""
        return LabelRow(t_start_us=self.t_start_us, t_end_us=self.t_end_us, class_name=self.class_name)


def find_label_file(labels: Path, recording: Path, name: Path) -> Path:
    """Return the label file of a recording.

    Args:
        labels: A label file, or a folder with NAME_labels.csv for NAME.SUFFIX, at the same place below the folder as
            the recording is below its own, or in the folder itself.
        recording: The recording.
        name: The recording's path below the folder that was searched, or its name.

    Raises:
        DataError: There is none.
    """
    if not labels.is_dir():
        return labels
    file = f"{recording.name.removesuffix(''.join(recording.suffixes[-1:]))}{SUFFIX}"
    found = next((place for place in (labels / name.with_name(file), labels / file) if place.is_file()), None)
    if found is None:
        raise DataError(f"{recording}: no label file {file} in {labels}")
    return found


def read_spans(path: Path, classes: Sequence[str]) -> tuple[LabelledSpan, ...]:
    """Return the labels in a file, by their times.

    Raises:
        FileError: The file cannot be read.
        DataError: It is not a label file, or has a class that the network does not know.
    """
    spans = []
    for span in read_labels(path):
        if span.name not in classes:
            raise DataError(f"{path}: class {span.name!r}, the network knows {', '.join(classes)}")
        spans.append(LabelledSpan(span.start_us, span.end_us, classes.index(span.name), span.name))
    return tuple(spans)
