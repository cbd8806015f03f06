"""Metadata of HDF5 recordings: locations, time unit and offset of events; sensor size; attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...base.errors import EventError, FormatError
from ...events import SensorSize
from ..hints import UNIT_EXPONENTS, Hints, TimeUnit, unknown_columns, unknown_unit
from ..values import MAX_INT64
from .layouts import TABLE_TYPES, Layout, Location, table_columns
from .storage import check_storage, find_dataset, find_number, get_dataset

MAX_ATTRIBUTE_BYTES = 1 << 20
UNITS_BY_MS: dict[float, TimeUnit] = {1e3: "s", 1.0: "ms", 1e-3: "us", 1e-6: "ns"}


@dataclass(frozen=True)
class Metadata:
    """Metadata for reading the events of a file.

    Args:
        path: HDF5 file.
        layout: Name of the layout.
        locations: Locations of t, x, y and p.
        events: Number of events.
        exponent: Time in microseconds = stored time * 10^exponent + offset_us.
        offset_us: Offset to add to every time in microseconds.
    """

    path: Path
    layout: str
    locations: dict[str, Location]
    events: int
    exponent: int
    offset_us: int


def read_metadata(path: Path, file: h5py.File, layout: Layout, hints: Hints) -> Metadata:
    """Read the metadata for reading the events of a file."""
    locations = _find_locations(path, file, layout, hints)
    sizes = {}
    for name, location in locations.items():
        dataset = get_dataset(file, location.dataset)
        where = f"{path}: {location.dataset}"
        check_storage(where, dataset)
        dtype = dataset.dtype[location.part] if isinstance(location.part, str) else dataset.dtype
        if dataset.ndim != (2 if isinstance(location.part, int) else 1) or dtype.kind not in "iubf":
            raise FormatError(
                f"{where}: wrong type (found {dtype} of shape {dataset.shape}, expected a number per event for {name})"
            )
        sizes[name] = len(dataset)

    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{size:,} {name}" for name, size in sizes.items())
        raise FormatError(f"{path}: columns of different lengths (found {listed})")

    unit = _find_unit(path, file, layout, locations["t"], hints)
    return Metadata(
        path=path,
        layout=layout.name,
        locations=locations,
        events=sizes["t"],
        exponent=UNIT_EXPONENTS[unit],
        offset_us=_read_number(path, file, layout.offset),
    )


def _find_locations(path: Path, file: h5py.File, layout: Layout, hints: Hints) -> dict[str, Location]:
    """Return the locations of the columns; a table of an unknown program needs hints."""
    name = layout.columns["t"].dataset
    dtype = get_dataset(file, name).dtype
    if not layout.is_table or (hints.columns is None and dtype == TABLE_TYPES[layout.name]):
        return layout.columns

    if hints.columns is None:
        raise unknown_columns(
            path, f"unknown order of columns (found {name} with four {dtype} per row, never written by {layout.name})"
        )
    if len(hints.columns) != len("txyp"):
        raise unknown_columns(
            path, f"wrong number of columns in {name} (found four {dtype} per row, expected {len(hints.columns)})"
        )
    return table_columns(name, hints.columns)


def _find_unit(path: Path, file: h5py.File, layout: Layout, location: Location, hints: Hints) -> TimeUnit:
    dataset = get_dataset(file, location.dataset)
    dtype = dataset.dtype[location.part] if isinstance(location.part, str) else dataset.dtype
    unit = layout.float_unit if dtype.kind == "f" else layout.integer_unit

    # The number type of a table identifies the program that wrote it, and so the unit.
    if layout.is_table and dtype == TABLE_TYPES[layout.name]:
        unit = layout.float_unit or "us"
    scale = _read_attribute(path, file, "timestamp_scale_ms")  # written by EventCV
    if layout.name == "dsec" and scale is not None:
        unit = next((known for ms, known in UNITS_BY_MS.items() if np.isclose(scale, ms, atol=0)), None)

    unit = hints.time_unit or unit
    if unit is None:
        raise unknown_unit(
            path, f"unknown time unit ({location.dataset} is {dtype}, without a unit in the layout {layout.name})"
        )
    return unit


def _read_number(path: Path, file: h5py.File, name: str | None) -> int:
    """Return the number in a dataset of one value; 0 if there is no such dataset."""
    number = find_number(path, file, name) if name else 0
    if number is not None and abs(number) > MAX_INT64:
        raise FormatError(f"{path}: wrong {name} (found {number}, expected a 64-bit number)")
    return number or 0


def read_sensor(path: Path, file: h5py.File, layout: Layout) -> SensorSize | None:
    """Read the sensor size; None if the file does not store it."""
    named: dict[SensorSize, str] = {}
    try:
        for where, sides in _read_sizes(path, file, layout):
            width, height = map(int, sides)
            named[SensorSize(width=width, height=height)] = where
    except (EventError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{path}: invalid sensor size ({error})") from error

    if len(named) > 1:
        listed = ", ".join(f"{where}: {sensor}" for sensor, where in named.items())
        raise FormatError(f"{path}: several sensor sizes (found {listed}, expected one)")
    return next(iter(named), None)


def _read_sizes(path: Path, file: h5py.File, layout: Layout) -> Iterator[tuple[str, Any]]:
    """Yield all stored sizes: name of their location, and width and height."""
    width = _read_attribute(path, file, "width")
    height = _read_attribute(path, file, "height")
    if width is not None and height is not None:
        yield "attributes width and height", (width, height)

    geometry = _read_attribute(path, file, "geometry")
    if layout.name == "prophesee" and geometry is not None:
        yield "attribute geometry", _to_text(geometry).lower().split("x")[:2]

    if isinstance(layout.sensor, tuple):
        sides = [find_number(path, file, name) for name in layout.sensor]
        if None not in sides:
            yield " and ".join(layout.sensor), sides
    elif layout.sensor is not None and (resolution := find_dataset(file, layout.sensor)) is not None:
        check_storage(f"{path}: {layout.sensor}", resolution)
        if resolution.shape == (2,):
            yield layout.sensor, resolution[:]


def read_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """Read the attributes of a file as JSON values, except attributes larger than MAX_ATTRIBUTE_BYTES."""
    values = {name: _read_attribute(path, file, name) for name in file.attrs}
    attributes = {name: _to_json(value) for name, value in values.items() if value is not None}

    settings = attributes.get("settings")
    if isinstance(settings, str) and attributes.get("format") == "dsec":  # written by dvspipe
        try:
            attributes["settings"] = json.loads(settings)
        except json.JSONDecodeError as error:
            raise FormatError(f"{path}: attribute settings is not JSON ({error})") from error
    return attributes


def _read_attribute(path: Path, file: h5py.File, name: str) -> Any:
    """Read an attribute; None if it is missing, or larger than MAX_ATTRIBUTE_BYTES."""
    if name not in file.attrs:
        return None

    # The HDF5 library follows the addresses in a sequence, and crashes if they are corrupted. Texts are not sequences.
    stored = file.attrs.get_id(name)
    if stored.get_type().detect_class(h5py.h5t.VLEN):
        raise FormatError(f"{path}: corrupted attribute {name} (found a sequence, expected a number or a text)")
    return file.attrs[name] if stored.get_storage_size() <= MAX_ATTRIBUTE_BYTES else None


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _to_json(value: Any) -> Any:
    """Convert an attribute to a JSON value."""
    if isinstance(value, bytes):
        return _to_text(value)
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return _to_text(value)
    return value
