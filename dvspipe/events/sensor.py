"""Sensor size and rectangular regions."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

from ..base.errors import EventError, brief

MAX_SIDE_PX = 32767  # x and y are int16
SIZE_PATTERN = r"^\d+x\d+$"
"""Text of a `SensorSize` in settings, such as 346x260."""
REGION_PATTERN = r"^\d+x\d+\+\d+\+\d+$"
"""Text of a `Region` inside a picture, such as 128x128+20+10."""


def as_integer(name: str, value: SupportsIndex) -> int:
    """Convert an integer of any type to a Python int, which has no limit: NumPy's integers overflow.

    Raises:
        EventError: If the value is not an integer.
    """
    try:
        return operator.index(value)
    except TypeError as error:
        raise EventError(f"{name} = {brief(value)}: wrong type (found {type(value).__name__}, expected int)") from error


@dataclass(frozen=True)
class SensorSize:
    """Size of a sensor's pixel array.

    Args:
        width: Columns, 1 to 32767.
        height: Rows, 1 to 32767.

    Raises:
        EventError: If a side is out of range, or not an integer.

    Example:
        >>> width, height = SensorSize(width=346, height=260)
        >>> width, height
        (346, 260)
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        for name, side in vars(self).items():
            object.__setattr__(self, name, as_integer(f"sensor {name}", side))
            if not 1 <= side <= MAX_SIDE_PX:
                raise EventError(f"sensor {self}: wrong {name} (found {side}, expected 1 to {MAX_SIDE_PX} pixels)")

    def __iter__(self) -> Iterator[int]:
        """Yield width and height: `width, height = sensor`."""
        yield self.width
        yield self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def of(cls, size: SensorSizeLike) -> SensorSize:
        """Convert (width, height) or a string such as "346x260" to a size.

        Raises:
            EventError: If `size` has another form.
        """
        if isinstance(size, SensorSize):
            return size
        if isinstance(size, str):
            return cls.parse(size)

        try:
            width, height = size
        except (TypeError, ValueError) as error:
            raise EventError(f"sensor size {size!r}: wrong form (expected width and height)") from error
        return cls(width=width, height=height)

    @classmethod
    def parse(cls, text: str) -> SensorSize:
        """Parse WIDTHxHEIGHT, such as "346x260".

        Raises:
            EventError: If the text has another form.
        """
        width, _, height = text.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise EventError(f"sensor size {text!r}: wrong form (expected WIDTHxHEIGHT, such as 346x260)")

        return cls(width=int(width), height=int(height))


SensorSizeLike = SensorSize | tuple[int, int] | str
"""A `SensorSize`, (width, height), or a string such as "346x260"."""

GESTURE_SENSOR = SensorSize(width=128, height=128)
"""DVS128, the sensor of DVS128 Gesture; people are framed to its size."""


@dataclass(frozen=True)
class Region:
    """Rectangle of pixels.

    Args:
        left: First column; negative if the rectangle begins outside the sensor.
        top: First row; negative if the rectangle begins outside the sensor.
        size: Width and height.

    Raises:
        EventError: If `left` or `top` is not an integer.
    """

    left: int
    top: int
    size: SensorSize

    def __post_init__(self) -> None:
        for name in ("left", "top"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))

    @classmethod
    def full(cls, sensor: SensorSize) -> Region:
        """Return the region that covers a complete sensor."""
        return cls(0, 0, sensor)

    @classmethod
    def of(cls, region: RegionLike) -> Region:
        """Convert a text, or (left, top, width, height), to a region.

        Raises:
            EventError: If `region` has another form, or a side is out of range.

        Example:
            >>> Region.of((10, 20, 64, 48)) == Region.of("64x48+10+20")
            True
        """
        if isinstance(region, Region):
            return region
        if isinstance(region, str):
            return cls.parse(region)

        try:
            left, top, width, height = region
            return cls(left, top, SensorSize(width=width, height=height))
        except (TypeError, ValueError, EventError) as error:
            raise EventError(
                f"region {region!r}: wrong form (expected left, top, width and height, or WIDTHxHEIGHT+LEFT+TOP)"
            ) from error

    @classmethod
    def parse(cls, text: str) -> Region:
        """Parse WIDTHxHEIGHT+LEFT+TOP, such as "128x128+10-20" (here TOP = -20).

        Raises:
            EventError: If the text has another form, or a side is out of range.
        """
        match = re.fullmatch(r"(\d+)x(\d+)([+-]\d+)([+-]\d+)", text)
        if match is None:
            raise EventError(f"region {text!r}: wrong form (expected WIDTHxHEIGHT+LEFT+TOP, such as 128x128+10+20)")

        width, height, left, top = map(int, match.groups())
        try:
            return cls(left, top, SensorSize(width=width, height=height))
        except EventError as error:
            raise EventError(f"region {text!r}: wrong size (expected sides of 1 to {MAX_SIDE_PX} pixels)") from error

    def is_inside(self, sensor: SensorSize) -> bool:
        """Return whether the region lies inside a sensor."""
        return self.overlap(sensor) == self

    def overlap(self, sensor: SensorSize) -> Region | None:
        """Return the intersection with a sensor; None if it is empty."""
        left = max(0, self.left)
        top = max(0, self.top)
        width = min(sensor.width, self.left + self.size.width) - left
        height = min(sensor.height, self.top + self.size.height) - top

        return Region(left, top, SensorSize(width=width, height=height)) if width > 0 and height > 0 else None

    def __str__(self) -> str:
        return f"{self.size}{self.left:+d}{self.top:+d}"


RegionLike = Region | Sequence[int] | str
"""A `Region`, (left, top, width, height), or a string such as "128x128+10+20"."""
