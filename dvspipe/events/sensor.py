"""Sensor size and rectangular regions."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

from ..errors import EventError

MAX_SIDE_PX = 32767  # x and y are int16


@dataclass(frozen=True)
class SensorSize:
    """Size of a sensor's pixel array.

    Args:
        width: Columns, 1 to 32767.
        height: Rows, 1 to 32767.

    Raises:
        EventError: If a side is out of range.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE_PX:
                raise EventError(f"sensor {self}: wrong {name} (found {side}, expected 1 to {MAX_SIDE_PX} pixels)")

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
            width, height = map(operator.index, size)
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


@dataclass(frozen=True)
class Region:
    """Rectangle of pixels.

    Args:
        left: First column; negative if the rectangle begins outside the sensor.
        top: First row; negative if the rectangle begins outside the sensor.
        size: Width and height.
    """

    left: int
    top: int
    size: SensorSize

    @classmethod
    def full(cls, sensor: SensorSize) -> Region:
        """Return the region that covers a complete sensor."""
        return cls(0, 0, sensor)

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
        if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX):
            raise EventError(
                f"region {text!r}: wrong size (found {width}x{height}, expected sides of 1 to {MAX_SIDE_PX})"
            )
        return cls(left, top, SensorSize(width=width, height=height))

    def is_inside(self, sensor: SensorSize) -> bool:
        """Return whether the region lies inside a sensor."""
        return self.overlap(sensor) == self

    def overlap(self, sensor: SensorSize) -> Region | None:
        """Return the intersection with a sensor; None if it is empty."""
        left, top = max(0, self.left), max(0, self.top)
        width = min(sensor.width, self.left + self.size.width) - left
        height = min(sensor.height, self.top + self.size.height) - top
        return Region(left, top, SensorSize(width=width, height=height)) if width > 0 and height > 0 else None

    def __str__(self) -> str:
        return f"{self.size}{self.left:+d}{self.top:+d}"
