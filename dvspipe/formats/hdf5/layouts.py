"""The layouts of HDF5 recordings, and which of them a file has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ...errors import FormatError
from ..hints import TimeUnit
from .storage import find_dataset, list_datasets

SUFFIXES = (".h5", ".hdf5")


class Location(NamedTuple):
    """Where a column is: a dataset, and the field or the column number in it if it has several."""

    dataset: str
    part: str | int | None = None


@dataclass(frozen=True)
class Layout:
    """Where a kind of file has its events.

    Args:
        name: Its name, as `dvspipe info` shows it.
        columns: Locations of t, x, y and p.
        integer_unit: Unit of integer times; None if it is not defined.
        float_unit: Unit of floating-point times; None if it is not defined.
        offset: Dataset of what is added to every time.
        index: Dataset of the first event at or after each millisecond.
        index_start: Dataset of the millisecond at which the index begins, if that is not 0.
        sensor: Datasets of width and height, or one of both.
    """

    name: str
    columns: dict[str, Location]
    integer_unit: TimeUnit | None = None
    float_unit: TimeUnit | None = None
    offset: str | None = None
    index: str | None = None
    index_start: str | None = None
    sensor: tuple[str, str] | str | None = None

    @property
    def is_table(self) -> bool:
        """Whether it is a table of numbers; only their type tells the order of its columns."""
        return isinstance(self.columns["t"].part, int)


def _group(name: str, t: str = "t", x: str = "x", y: str = "y", p: str = "p") -> dict[str, Location]:
    return {column: Location(f"{name}/{dataset}") for column, dataset in (("t", t), ("x", x), ("y", y), ("p", p))}


def table_columns(name: str, order: str) -> dict[str, Location]:
    """Return the locations of the columns of a table, given their letters in order."""
    return {column: Location(name, number) for number, column in enumerate(order)}


LAYOUTS = (
    Layout(  # dvspipe, DSEC, RVT, TUM-VIE, EventCV, evutils
        "dsec",
        _group("events"),
        integer_unit="us",
        offset="t_offset",
        index="ms_to_idx",
        index_start="ms_to_idx_offset",
        sensor=("events/width", "events/height"),
    ),
    Layout(
        "m3ed",
        _group("prophesee/left"),
        integer_unit="us",
        index="prophesee/left/ms_map_idx",
        sensor="prophesee/left/calib/resolution",
    ),
    Layout("prophesee", {column: Location("CD/events", column) for column in "txyp"}, integer_unit="us"),
    Layout("event_utils", _group("events", "ts", "xs", "ys", "ps"), float_unit="s"),
    Layout("raw_events", _group("raw_events"), float_unit="s"),
    Layout("v2e", table_columns("events", "txyp")),
    Layout("mvsec", table_columns("davis/left/events", "xytp"), float_unit="s"),
)
TABLE_TYPES = {"v2e": np.dtype(np.uint32), "mvsec": np.dtype(np.float64)}
"""The types that identify tables written by these programs; other tables there may have other columns."""


def find_layout(path: Path, file: h5py.File) -> Layout:
    """Return the layout of a file.

    Raises:
        FormatError: It has none of them, or different events in two of them.
    """
    found = [(layout, columns) for layout in LAYOUTS if (columns := _columns_of(file, layout))]
    if not found:
        known = ", ".join(f"{layout.name} ({layout.columns['t'].dataset})" for layout in LAYOUTS)
        raise FormatError(f"{path}: no events (found {list_datasets(file)}, expected one of the layouts {known})")
    (first, columns), *others = found
    for other, other_columns in others:
        if columns != other_columns:  # hard links to the same datasets are one recording
            raise FormatError(f"{path}: has events in the layouts {first.name} and {other.name} (expected one)")
    return first


def _columns_of(file: h5py.File, layout: Layout) -> dict[str, h5py.Dataset] | None:
    """Return the datasets of the columns; None if one is missing or has another shape."""
    columns = {}
    for name, location in layout.columns.items():
        dataset = find_dataset(file, location.dataset)
        if dataset is None:
            return None
        if isinstance(location.part, str) and location.part not in (dataset.dtype.names or ()):
            return None
        if isinstance(location.part, int) and (dataset.ndim != 2 or dataset.shape[1] != len("txyp")):
            return None
        columns[name] = dataset
    return columns
