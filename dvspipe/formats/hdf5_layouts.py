"""Layouts of HDF5 recordings, and their detection.

A layout says where a program stores the events: in a dataset per column, in fields of one dataset, or in the columns of
a table. `find_layout` returns the only entry of LAYOUTS whose datasets a file has.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py

from ..base.errors import FormatError
from .hints import TimeUnit

MAX_LISTED = 12  # datasets in a message


class Location(NamedTuple):
    """Location of a column: dataset, and field or column number if the dataset has several."""

    dataset: str
    part: str | int | None = None


class Layout(NamedTuple):
    """Layout: locations of events and metadata in a file.

    Args:
        name: Name, as shown by `dvspipe info`.
        columns: Locations of t, x, y and p.
        integer_unit: Unit of integer times; None if undefined.
        float_unit: Unit of floating-point times; None if undefined.
        offset: Dataset with the offset to add to every time.
        sensor: Datasets of width and height, or one dataset with both.
        table_type: Type of the numbers of a table that this program writes. Tables of other types may have other
            columns.
    """

    name: str
    columns: dict[str, Location]
    integer_unit: TimeUnit | None = None
    float_unit: TimeUnit | None = None
    offset: str | None = None
    sensor: tuple[str, ...] = ()
    table_type: str | None = None


def _group_columns(name: str, *datasets: str) -> dict[str, Location]:
    return {column: Location(f"{name}/{dataset}") for column, dataset in zip("txyp", datasets, strict=True)}


def _table_columns(name: str, order: str) -> dict[str, Location]:
    return {column: Location(name, number) for number, column in enumerate(order)}


LAYOUTS = (
    Layout(  # dvspipe, DSEC, RVT, TUM-VIE, EventCV, evutils
        "dsec",
        _group_columns("events", *"txyp"),
        integer_unit="us",
        offset="t_offset",
        sensor=("events/width", "events/height"),
    ),
    Layout(
        "m3ed",
        _group_columns("prophesee/left", *"txyp"),
        integer_unit="us",
        sensor=("prophesee/left/calib/resolution",),
    ),
    Layout("prophesee", {column: Location("CD/events", column) for column in "txyp"}, integer_unit="us"),
    Layout("event_utils", _group_columns("events", "ts", "xs", "ys", "ps"), float_unit="s"),
    Layout("raw_events", _group_columns("raw_events", *"txyp"), float_unit="s"),
    Layout("v2e", _table_columns("events", "txyp"), integer_unit="us", table_type="uint32"),
    Layout("mvsec", _table_columns("davis/left/events", "xytp"), float_unit="s", table_type="float64"),
)


def find_layout(path: Path, file: h5py.File) -> Layout:
    """Detect the layout of a file."""
    datasets = {layout.name: [_find_dataset(file, place) for place in layout.columns.values()] for layout in LAYOUTS}
    matches = [layout for layout in LAYOUTS if None not in datasets[layout.name]]
    if not matches:
        stored: list[str] = []
        file.visititems(lambda name, item: stored.append(name) if isinstance(item, h5py.Dataset) else None)
        known = ", ".join(f"{layout.name} ({layout.columns['t'].dataset})" for layout in LAYOUTS)
        listed = ", ".join(stored[:MAX_LISTED]) or "nothing"
        raise FormatError(f"{path}: no events (found {listed}, expected one of the layouts {known})")

    first, *others = matches
    for other in others:
        if datasets[first.name] != datasets[other.name]:  # links to the same datasets are the same recording
            raise FormatError(f"{path}: events in several layouts (found {first.name} and {other.name}, expected one)")

    return first


def _find_dataset(file: h5py.File, location: Location) -> h5py.Dataset | None:
    """Return the dataset of a column; None if it is missing or has the wrong shape."""
    dataset = file.get(location.dataset)
    if not isinstance(dataset, h5py.Dataset):
        return None
    if isinstance(location.part, str) and location.part not in (dataset.dtype.names or ()):
        return None
    row = (len("txyp"),) if isinstance(location.part, int) else ()
    return dataset if dataset.shape is not None and dataset.shape[1:] == row else None
