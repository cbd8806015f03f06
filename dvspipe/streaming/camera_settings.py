"""Settings of an event camera from a file: biases, region of interest, limit of the event rate.

A camera has the settings of its `Configuration` in neuromorphic-drivers. Masks of rows and columns are replaced by
`region_of_interest`, which is written as for the other cameras.

Sources: github.com/neuromorphicsystems/neuromorphic-drivers at 6c2018e; `I_LL_Biases::load_from_file` of
github.com/prophesee-ai/openeb; for DV, the names of the attributes in the davis module of dv-runtime, and the currents
of libcaer's `caerBiasCoarseFineFromCurrent`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np
from pydantic import AfterValidator, create_model
from pydantic_core import from_json

from ..base.config import Settings, build
from ..base.errors import EventError, FormatError, shorten
from ..base.files import read_bytes
from ..events import Region, SensorSize

MAX_BYTES = 1 << 22  # DV stores all of its modules in a file
REGION_SETTING = "region_of_interest"
MASKS = frozenset({"x_mask", "y_mask", "pixel_mask", "mask_intersection_only"})

# The driver's README: the period is at most 200 us; the register of the number has 22 bits.
MAX_OF_LIMITER = {"reference_period_us": 200, "maximum_events_per_period": (1 << 22) - 1}

# Current of a DAVIS bias in pA: COARSE_PA[coarse] * fine / 255. The driver numbers the pairs by their current.
COARSE_PA = (11, 94, 756, 6_054, 48_437, 387_500, 3_100_000, 24_800_000)
MAX_FINE = 255


@dataclass(frozen=True)
class CameraSettings:
    """Settings of an event camera, not compared with the camera yet.

    Args:
        where: Source in messages, such as a file.
        values: Names and values, as in a `Configuration` of neuromorphic-drivers.
    """

    where: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> CameraSettings:
        """Read a file: .json, .bias of Prophesee, or .xml of DV.

        Raises:
            FileError: If the file cannot be read.
            FormatError: If its content is not as its suffix says.
        """
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise FormatError(f"{path}: not a file of camera settings (expected {', '.join(READERS)})")

        content = read_bytes(path, MAX_BYTES)
        try:
            return cls(str(path), reader(content))
        except (ValueError, ParseError) as error:
            raise FormatError(f"{path}: {shorten(str(error))}") from error

    def configure(self, drivers: ModuleType, device: Any) -> Any:
        """Return the `Configuration` of an open camera with these settings; the others have the driver's defaults.

        Raises:
            ConfigError: If the camera lacks a setting, or a value is out of its range.
        """
        kind = kind_of(drivers, device)
        model = describe_settings(kind.Configuration, sensor_of(device), device.biases_bounds())
        chosen = build(model, self._rename(kind), f"{self.where} for {device.name().value}")

        values = _to_values(kind.Configuration, chosen)
        region = values.pop(REGION_SETTING, None)
        return kind.Configuration(**values, **({} if region is None else _to_region(kind, region)))

    def _rename(self, kind: ModuleType) -> Mapping[str, Any]:
        """Return the values with the driver's name of Prophesee's bias_fo, which is the p-type one on the EVK3 HD."""
        biases = self.values.get("biases")
        known = {field.name for field in fields(kind.Biases)}
        if not isinstance(biases, dict) or "fo" in known or "fo_p" not in known:
            return self.values

        return {**self.values, "biases": {"fo_p" if name == "fo" else name: value for name, value in biases.items()}}


def sensor_of(device: Any) -> SensorSize:
    """Return the size of the sensor of an open camera."""
    sides = device.properties()
    return SensorSize(width=int(sides.width), height=int(sides.height))


def kind_of(drivers: ModuleType, device: Any) -> Any:
    """Return the driver's module for the kind of an open camera, such as `prophesee_evk4`."""
    return getattr(drivers, device.name().name.lower())


def describe_settings(configuration: type, sensor: SensorSize, bounds: Any = None) -> type[Settings]:
    """Return the model of the settings in a dataclass of the driver.

    Args:
        configuration: Dataclass of numbers, booleans, enumerations and other such dataclasses.
        sensor: Sensor of the camera.
        bounds: Object with a `minimum` and `maximum` for each bias; None: the ranges of the types.
    """
    described: dict[str, Any] = {}
    for field in fields(configuration):
        if field.name in ("x_mask", REGION_SETTING):
            described[REGION_SETTING] = Annotated[str, AfterValidator(partial(_parse_region, sensor=sensor))], None
        elif field.name not in MASKS:
            is_required = field.default is MISSING and field.default_factory is MISSING
            described[field.name] = _describe_type(field, sensor, bounds), ... if is_required else None

    return create_model(configuration.__name__, __base__=Settings, **described)


def _describe_type(field: Field[Any], sensor: SensorSize, bounds: Any) -> Any:
    kind = _type_of(field)
    if isinstance(kind, type) and is_dataclass(kind):
        return describe_settings(kind, sensor, bounds)
    if issubclass(kind, Enum):
        return Literal[*(member.name for member in kind)]
    if kind is bool:
        return bool

    limits = np.iinfo(kind)
    minimum = int(limits.min)
    maximum = MAX_OF_LIMITER.get(field.name, int(limits.max))
    if hasattr(bounds, field.name):
        minimum = int(getattr(bounds, field.name).minimum)
        maximum = int(getattr(bounds, field.name).maximum)
    return Annotated[int, AfterValidator(partial(_check_range, minimum=minimum, maximum=maximum))]


def _check_range(value: int, *, minimum: int, maximum: int) -> int:
    if not minimum <= value <= maximum:
        raise ValueError(f"out of range (expected {minimum:,} to {maximum:,})")
    return value


def _parse_region(text: str, *, sensor: SensorSize) -> Region:
    try:
        region = Region.parse(text)
    except EventError as error:
        raise ValueError("wrong form (expected WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10)") from error

    if not region.is_inside(sensor):
        raise ValueError(f"outside the sensor (expected a region of {Region.full(sensor)})")
    return region


def _type_of(field: Field[Any]) -> Any:
    """Return the type of a field: int16 for the driver's `int16 | int`, X for `X | None`."""
    return next(iter(get_args(field.type)), field.type)


def _to_values(configuration: type, chosen: Settings) -> dict[str, Any]:
    """Return the given settings as arguments of a dataclass of the driver."""
    types = {field.name: _type_of(field) for field in fields(configuration)}
    values: dict[str, Any] = {}
    for name in chosen.model_fields_set:
        value = getattr(chosen, name)
        if isinstance(value, Settings):
            value = types[name](**_to_values(types[name], value))
        elif isinstance(value, str):  # name in an enumeration
            value = types[name][value]
        values[name] = value

    return values


def _to_region(kind: Any, region: Region) -> dict[str, Any]:
    """Return the arguments of a `Configuration` that let only the pixels of a region send events."""
    size = region.size
    if hasattr(kind, "RegionOfInterest"):
        return {REGION_SETTING: kind.RegionOfInterest(region.left, region.top, size.width, size.height)}

    # A pixel is silent if its row or its column is in the mask.
    mask = kind.RowColumnMask(set=True)
    mask.clear_rectangle(x=region.left, y=region.top, width=size.width, height=size.height)
    return {"x_mask": mask.x_mask(), "y_mask": mask.y_mask()}


def _read_json(content: bytes) -> Mapping[str, Any]:
    values = from_json(content)
    if not isinstance(values, dict):
        raise ValueError(f"wrong content (found {type(values).__name__}, expected an object of settings)")
    return values


def _read_bias(content: bytes) -> Mapping[str, Any]:
    """Read lines `VALUE % bias_NAME`, with decimal or hexadecimal values; other lines begin with %."""
    biases = dict[str, int]()
    for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("%"):
            continue

        match = re.match(r"\s*([+-]?\d{1,6}|0[xX][\da-fA-F]{1,4})\s*%\s*(?:bias_)?(\w+)", line)
        if match is None:
            raise ValueError(f"line {number}: wrong form (found {shorten(line.strip(), 40)!r}, expected VALUE % NAME)")
        value = int(match[1], 16 if "x" in match[1].lower() else 10)
        _add_bias(biases, match[2], value)

    return {"biases": biases}


class _SafeBuilder(TreeBuilder):
    """Builder of an XML tree that refuses document types, and so entities, which can expand without limit."""

    def doctype(self, *_: object) -> None:
        raise ValueError("has a document type (expected a file that DV has saved)")


def _read_xml(content: bytes) -> Mapping[str, Any]:
    """Read the biases in a configuration of DV; each is a node with a coarse and a fine value.

    Other values, such as voltages, are left out: the driver has no settings for them.
    """
    parser = XMLParser(target=_SafeBuilder())
    parser.feed(content)

    biases = dict[str, int]()
    for name, attributes in _list_nodes(parser.close()):
        if {"coarseValue", "fineValue"} <= attributes.keys():
            coarse = int(attributes["coarseValue"])
            fine = int(attributes["fineValue"])
            _add_bias(biases, name.lower(), number_of_bias(coarse, fine))

    if not biases:
        raise ValueError("no biases (expected nodes with coarseValue and fineValue, as DV saves them for a DAVIS)")
    return {"biases": biases}


def _list_nodes(root: Element) -> Iterator[tuple[str, dict[str, str]]]:
    for node in root.iter("node"):
        yield node.get("name", ""), {item.get("key", ""): item.text or "" for item in node.findall("attr")}


def _add_bias(biases: dict[str, int], name: str, value: int) -> None:
    if biases.setdefault(name, value) != value:
        raise ValueError(f"two values of the bias {name} (found {biases[name]} and {value})")


def number_of_bias(coarse: int, fine: int) -> int:
    """Return the driver's number of a DAVIS bias: its place among all pairs, sorted by their current.

    Args:
        coarse: 0 to 7.
        fine: 0 to 255; 0: no current.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> number_of_bias(0, 0), number_of_bias(4, 39), number_of_bias(7, 255)
        (0, 1063, 2040)
    """
    if not (0 <= coarse < len(COARSE_PA) and 0 <= fine <= MAX_FINE):
        raise ValueError(f"wrong bias (found coarse {coarse} and fine {fine}, expected 0 to 7 and 0 to {MAX_FINE})")
    if not fine:
        return 0

    # Pairs with equal currents are sorted by their coarse value.
    own = COARSE_PA[coarse] * fine
    steps = ((own if place < coarse else own - 1) // current for place, current in enumerate(COARSE_PA))
    return 1 + sum(min(MAX_FINE, below) for below in steps)


READERS = {".json": _read_json, ".bias": _read_bias, ".xml": _read_xml}
"""Functions that read the content of a file, by its suffix."""
