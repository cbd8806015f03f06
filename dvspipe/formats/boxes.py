"""Bounding boxes of objects in recordings: files NAME_bbox.npy of Prophesee's data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError
from ..events import SensorSize

BOX_SUFFIX = "_bbox.npy"
EVENTS_ENDING = "_td"  # NAME_td.dat has its boxes in NAME_bbox.npy
OLD_NAMES = {"ts": "t", "confidence": "class_confidence"}
REQUIRED = ("t", "x", "y", "w", "h", "class_id")


@dataclass(frozen=True, eq=False)
class Boxes:
    """Bounding boxes, sorted by time.

    Args:
        t: Times in microseconds on the clock of the recording, int64 [N].
        corners: Left, top, right and bottom side in pixels; right and bottom are exclusive, float64 [N, 4].
        classes: Class of each object, int64 [N], >= 0.
        tracks: Number of each object over time, int64 [N]; None if the file has none.
    """

    t: NDArray[np.int64]
    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    tracks: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.t)

    def last_in(self, start_us: int, end_us: int) -> Boxes:
        """Return the boxes of the last labelled time in [start_us, end_us); none if there is no such time."""
        first, stop = np.searchsorted(self.t, (start_us, end_us)).tolist()
        if stop > first:
            first = int(np.searchsorted(self.t, self.t[stop - 1]))

        return self._select(slice(first, stop))

    def clip(self, sensor: SensorSize) -> Boxes:
        """Return the parts of boxes inside a sensor; boxes outside are left out."""
        corners = self.corners.clip(0, [sensor.width, sensor.height, sensor.width, sensor.height])
        left, top, right, bottom = corners.T
        inside = (right > left) & (bottom > top)
        tracks = None if self.tracks is None else self.tracks[inside]
        return Boxes(self.t[inside], corners[inside], self.classes[inside], tracks)

    def _select(self, part: slice) -> Boxes:
        tracks = None if self.tracks is None else self.tracks[part]
        return Boxes(self.t[part], self.corners[part], self.classes[part], tracks)


def find_boxes(recording: Path) -> Path | None:
    """Return the file with the boxes of a recording, NAME_bbox.npy beside NAME.SUFFIX or NAME_td.SUFFIX, or None."""
    name = recording.name.removesuffix("".join(recording.suffixes[-1:]))
    path = recording.with_name(name.removesuffix(EVENTS_ENDING) + BOX_SUFFIX)
    return path if path.is_file() else None


def read_boxes(path: Path) -> Boxes:
    """Read a file with bounding boxes: a structured array with the fields t, x, y, w, h, class_id and others.

    x and y are the upper left corner, w and h the size in pixels; t is in microseconds. The older names ts and
    confidence are accepted.

    Example:
        >>> fields = [("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "u1")]
        >>> np.save(tmp_path / "a_bbox.npy", np.array([(5, 1, 2, 3, 4, 0)], fields))
        >>> read_boxes(tmp_path / "a_bbox.npy").corners.tolist()
        [[1.0, 2.0, 4.0, 6.0]]
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{path}: not a NumPy file with boxes ({error})") from error

    fields_of_rows = rows.dtype.names if isinstance(rows, np.ndarray) else None
    names = {OLD_NAMES.get(name, name): name for name in fields_of_rows or ()}  # name in the file of each field
    missing = [name for name in REQUIRED if name not in names]
    if missing or rows.ndim != 1:
        fields = ", ".join(names) or "no fields"
        raise DataError(
            f"{path}: not a table of boxes (found {fields}, expected a row per box with {', '.join(REQUIRED)})"
        )

    # Only corners may be negative: boxes may extend beyond the sensor.
    values = np.stack([rows[names[name]].astype(np.float64) for name in ("x", "y", "w", "h")], axis=1)
    upper_left = values[:, :2]
    sizes = values[:, 2:]
    times = rows[names["t"]]
    classes = rows[names["class_id"]]
    is_wrong = ~np.isfinite(values).all(axis=1) | (sizes < 0).any(axis=1) | (times < 0) | (classes < 0)

    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise DataError(
            f"{path}: box {row}: invalid (found {rows[row]}, expected finite values, none negative except x and y)"
        )

    order = np.argsort(times, kind="stable")
    tracks = rows[names["track_id"]].astype(np.int64)[order] if "track_id" in names else None
    corners = np.concatenate([upper_left, upper_left + sizes], axis=1)
    return Boxes(times.astype(np.int64)[order], corners[order], classes.astype(np.int64)[order], tracks)
