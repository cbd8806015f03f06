"""Layouts of HDF5 recordings, and their detection.

A layout says where a program stores the events: in a dataset per column, in fields of one dataset, or in the columns of
a table. `find_layout` returns the only entry of LAYOUTS whose datasets a file has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ...base.errors import FormatError
from ..hints import TimeUnit
from .storage import find_dataset, list_datasets

SUFFIXES = (".h5", ".hdf5")


class Location(NamedTuple):
    """Location of a column: dataset, and field or column number if the dataset has several."""

    dataset: str
    part: str | int | None = None


@dataclass(frozen=True)
class Layout:
    """Layout: locations of events and metadata in a file.

    Args:
        name: Name, as shown by `dvspipe info`.
        columns: Locations of t, x, y and p.
        integer_unit: Unit of integer times; None if undefined.
        float_unit: Unit of floating-point times; None if undefined.
        offset: Dataset with the offset to add to every time.
        sensor: Datasets of width and height, or one dataset with both.
    """

    name: str
    columns: dict[str, Location]
    integer_unit: TimeUnit | None = None
    float_unit: TimeUnit | None = None
    offset: str | None = None
    sensor: tuple[str, str] | str | None = None

    @property
    def is_table(self) -> bool:
        """Whether events are a table of numbers; only the number type identifies the order of its columns."""
        return isinstance(self.columns["t"].part, int)


def _group_columns(name: str, t: str = "t", x: str = "x", y: str = "y", p: str = "p") -> dict[str, Location]:
    return {column: Location(f"{name}/{dataset}") for column, dataset in (("t", t), ("x", x), ("y", y), ("p", p))}


def table_columns(name: str, order: str) -> dict[str, Location]:
    """Return the locations of the columns of a table; `order` has one letter per column."""
    return {column: Location(name, number) for number, column in enumerate(order)}


LAYOUTS = (
    Layout(  # dvspipe, DSEC, RVT, TUM-VIE, EventCV, evutils
        "dsec",
        _group_columns("events"),
        integer_unit="us",
        offset="t_offset",
        sensor=("events/width", "events/height"),
    ),
    Layout(
        "m3ed",
        _group_columns("prophesee/left"),
        integer_unit="us",
        sensor="prophesee/left/calib/resolution",
    ),
    Layout("prophesee", {column: Location("CD/events", column) for column in "txyp"}, integer_unit="us"),
    Layout("event_utils", _group_columns("events", "ts", "xs", "ys", "ps"), float_unit="s"),
    Layout("raw_events", _group_columns("raw_events"), float_unit="s"),
    Layout("v2e", table_columns("events", "txyp")),
    Layout("mvsec", table_columns("davis/left/events", "xytp"), float_unit="s"),
)
TABLE_TYPES = {"v2e": np.dtype(np.uint32), "mvsec": np.dtype(np.float64)}
"""Number types of the tables written by these programs. Tables of other types may have other columns."""


def find_layout(path: Path, file: h5py.File) -> Layout:
    """Detect the layout of a file."""
    matches = [(layout, columns) for layout in LAYOUTS if (columns := _find_columns(file, layout))]
    if not matches:
        known = ", ".join(f"{layout.name} ({layout.columns['t'].dataset})" for layout in LAYOUTS)
        raise FormatError(f"{path}: no events (found {list_datasets(file)}, expected one of the layouts {known})")

    (first, columns), *others = matches
    for other, other_columns in others:
        if columns != other_columns:  # hard links to the same datasets are the same recording
            raise FormatError(f"{path}: events in several layouts (found {first.name} and {other.name}, expected one)")

    return first


def _find_columns(file: h5py.File, layout: Layout) -> dict[str, h5py.Dataset] | None:
    """Return the datasets of the columns; None if one is missing or has the wrong shape."""
    columns = {}
    for name, location in layout.columns.items():
        dataset = find_dataset(file, location.dataset)
        if dataset is None:
            return None
        if isinstance(location.part, str) and location.part not in (dataset.dtype.names or ()):
            return None
        if isinstance(location.part, int) and (dataset.ndim != 2 or dataset.shape[-1] != len("txyp")):
            return None

        columns[name] = dataset
    return columns
