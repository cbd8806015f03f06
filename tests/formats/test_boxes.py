"""Bounding boxes: fields of files, and the boxes of a window."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR
from facts import raises

from dvspipe.base.errors import DataError
from dvspipe.formats.boxes import find_boxes, read_boxes

FIELDS = [("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "<u4")]
TOOLBOX = np.dtype(
    {
        "names": ["ts", "x", "y", "w", "h", "class_id", "track_id", "confidence"],
        "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
        "offsets": [0, 8, 12, 16, 20, 24, 28, 32],
        "itemsize": 40,
    }
)
"""Fields of Prophesee's automotive data sets, with the older names of two of them."""


def written(folder: Path, rows: Sequence[tuple[float, ...]], fields: Any = FIELDS) -> Path:
    np.save(folder / "a_bbox.npy", np.array(rows, fields))
    return folder / "a_bbox.npy"


def test_boxes_of_prophesee_are_read_sorted_by_time(tmp_path: Path) -> None:
    rows = [(20, 1, 2, 3, 4, 1, 7, 0.5), (10, 5, 1, 2, 2, 0, 8, 1.0)]
    boxes = read_boxes(written(tmp_path, rows, TOOLBOX))
    assert boxes.t.tolist() == [10, 20]
    assert boxes.corners.tolist() == [[5, 1, 7, 3], [1, 2, 4, 6]]
    assert boxes.classes.tolist() == [0, 1]
    assert boxes.tracks is not None
    assert boxes.tracks.tolist() == [8, 7]
    assert read_boxes(written(tmp_path, [(0, 1, 2, 3, 4, 1)])).tracks is None


def test_window_has_the_boxes_of_its_last_labelled_time(tmp_path: Path) -> None:
    boxes = read_boxes(
        written(tmp_path, [(t, x, 0, 1, 1, 0) for t, x in ((10, 1), (10, 2), (15, 3), (15, 4), (20, 5))])
    )
    assert boxes.last_in(0, 15).corners[:, 0].tolist() == [1, 2]
    assert boxes.last_in(0, 16).corners[:, 0].tolist() == [3, 4]
    assert boxes.last_in(20, 21).corners[:, 0].tolist() == [5]
    assert len(boxes.last_in(11, 15)) == len(boxes.last_in(21, 99)) == 0


def test_boxes_are_clipped_to_the_sensor(tmp_path: Path) -> None:
    boxes = read_boxes(written(tmp_path, [(0, -2, -1, 5, 3, 0), (0, 10, 5, 9, 9, 1), (0, 12, 0, 2, 2, 2)]))
    inside = boxes.clip(SENSOR)
    assert inside.corners.tolist() == [[0, 0, 3, 2], [10, 5, 12, 7]]
    assert inside.classes.tolist() == [0, 1]


def test_boxes_are_found_beside_a_recording(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    assert find_boxes(tmp_path / "a.raw") == find_boxes(tmp_path / "a_td.dat") == path
    assert find_boxes(tmp_path / "b.raw") is None
    assert len(read_boxes(path)) == 0


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ((-1, 0, 0, 1, 1, 0), ("0", "-1")),
        ((0, float("nan"), 0, 1, 1, 0), ("0", "nan")),
        ((0, 0, 0, -1, 1, 0), ("0", "-1.0")),
    ],
)
def test_invalid_box_is_rejected(tmp_path: Path, row: tuple[float, ...], facts: tuple[str, ...]) -> None:
    path = written(tmp_path, [row])
    with raises(DataError, "a_bbox.npy", *facts):
        read_boxes(path)


def test_other_files_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a_bbox.npy"
    np.save(path, np.zeros((3, 4)))
    with raises(DataError, "a_bbox.npy", "class_id"):
        read_boxes(path)
    np.save(path, np.zeros(2, FIELDS[:3]))
    with raises(DataError, "a_bbox.npy", "t, x, y", "class_id"):
        read_boxes(path)
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    with raises(DataError, "a_bbox.npy"):  # pickled objects are never loaded
        read_boxes(path)
    content = written(tmp_path, [(0, 0, 0, 1, 1, 0)] * 3).read_bytes()
    for wrong in (b"", content[:-5], pickle.dumps([1])):
        path.write_bytes(wrong)
        with raises(DataError, "a_bbox.npy"):
            read_boxes(path)
