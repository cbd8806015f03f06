"""Corruption of recordings by faults of sensors and transmission, to test how a network degrades.

A corruption is a frozen value. Called with events and a random generator, it returns corrupted events on the same
sensor, sorted by time, within the time span of the recording.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError
from .events import Events
from .sensor import SensorSize

CorruptionName = Literal["hot_pixels", "noise", "bursts", "drops", "jitter", "flips"]
"""Names of the corruptions in `CORRUPTION_KINDS`."""

HOT_RATE_HZ = 100.0
BURST_US = 2000  # duration of a flash
BURST_SHARE = 0.5  # share of the pixels that fire in a flash


@dataclass(frozen=True)
class Corruption(ABC):
    """Corruption of a recording; picklable.

    Args:
        strength: Strength, 0 (no corruption) to `limit`; each corruption defines its unit.

    Attributes:
        name: Name in `CORRUPTION_KINDS`.
        limit: Maximum strength.
        levels: Strengths of a standard test, in increasing order.

    Raises:
        ConfigError: If the strength is out of range.
    """

    strength: float
    name: ClassVar[CorruptionName]
    limit: ClassVar[float]
    levels: ClassVar[tuple[float, ...]]

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= self.limit:
            raise ConfigError(f"{self.name} = {self.strength:g}: out of range (expected 0 to {self.limit:g})")

    @abstractmethod
    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the corrupted events."""


@dataclass(frozen=True)
class HotPixels(Corruption):
    """Pixels that fire all the time: each adds events at random times, with a polarity of its own.

    Args:
        strength: Share of the pixels that are hot, 0 to 1.
        rate_hz: Events per second of a hot pixel.

    Example:
        >>> events = Events([0, 1_000_000], [0, 1], [0, 1], [1, 0], "12x7")
        >>> len(HotPixels(1.0, rate_hz=100)(events, np.random.default_rng(0))) > 8000
        True
    """

    rate_hz: float = HOT_RATE_HZ
    name: ClassVar[CorruptionName] = "hot_pixels"
    limit: ClassVar[float] = 1
    levels: ClassVar[tuple[float, ...]] = (0.001, 0.003, 0.01, 0.03)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events with the events of hot pixels."""
        sensor = events.sensor
        pixels = rng.permutation(sensor.width * sensor.height)
        hot = pixels[: round(self.strength * len(pixels))]
        polarities = rng.integers(0, 2, len(hot))

        # Each event belongs to a hot pixel, the number `owner`; the events of a pixel are a Poisson process.
        counts = rng.poisson(self.rate_hz * events.duration_us * 1e-6, len(hot))
        owner = np.repeat(np.arange(len(hot)), counts)
        t = _draw_times(events, len(owner), rng)
        x = hot[owner] % sensor.width
        y = hot[owner] // sensor.width
        return _add(events, np.stack([t, x, y, polarities[owner]]))


@dataclass(frozen=True)
class Noise(Corruption):
    """Background activity: events at random times, pixels and polarities.

    Args:
        strength: Events per second and pixel, 0 to 1000.
    """

    name: ClassVar[CorruptionName] = "noise"
    limit: ClassVar[float] = 1000
    levels: ClassVar[tuple[float, ...]] = (0.3, 1, 3, 10)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events with noise events."""
        first_us = int(events.t[0]) if len(events) else 0
        last_us = first_us + events.duration_us
        return _add(events, draw_noise(events.sensor, first_us, last_us, self.strength, rng))


@dataclass(frozen=True)
class Bursts(Corruption):
    """Flashes of light: at random times, half of the pixels fire once within 2 ms, all with the same polarity.

    Args:
        strength: Flashes per second, 0 to 1000.
    """

    name: ClassVar[CorruptionName] = "bursts"
    limit: ClassVar[float] = 1000
    levels: ClassVar[tuple[float, ...]] = (1, 3, 10, 30)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events with the events of flashes."""
        width = events.sensor.width
        height = events.sensor.height
        added = [np.zeros((4, 0), np.int64)]
        flashes = int(rng.poisson(self.strength * events.duration_us * 1e-6))
        for start_us in _draw_times(events, flashes, rng):
            pixels = np.flatnonzero(rng.random(width * height) < BURST_SHARE)

            # A flash at the end does not make the recording longer.
            t = np.minimum(start_us + rng.integers(0, BURST_US, len(pixels)), events.t[-1])
            added.append(np.stack([t, pixels % width, pixels // width, np.full(len(pixels), rng.integers(0, 2))]))
        return _add(events, np.concatenate(added, axis=1))


@dataclass(frozen=True)
class Drops(Corruption):
    """Lost events, each with the same probability.

    Args:
        strength: Share of the events that are lost, 0 to 1.
    """

    name: ClassVar[CorruptionName] = "drops"
    limit: ClassVar[float] = 1
    levels: ClassVar[tuple[float, ...]] = (0.1, 0.3, 0.5, 0.8)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the remaining events, possibly none."""
        remains = rng.random(len(events)) >= self.strength
        return Events(events.t[remains], events.x[remains], events.y[remains], events.p[remains], events.sensor)


@dataclass(frozen=True)
class Jitter(Corruption):
    """Inexact times: normal noise on the time of each event.

    Args:
        strength: Standard deviation in microseconds, 0 to 1,000,000.
    """

    name: ClassVar[CorruptionName] = "jitter"
    limit: ClassVar[float] = 1_000_000
    levels: ClassVar[tuple[float, ...]] = (1000, 3000, 10_000, 30_000)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events with other times, inside the time span of the recording."""
        if not len(events):
            return events

        moved = events.t + np.rint(rng.normal(0, self.strength, len(events))).astype(np.int64)
        rows = np.stack([moved.clip(events.t[0], events.t[-1]), events.x, events.y, events.p])
        return _add(Events.empty(events.sensor), rows)  # sorts them


@dataclass(frozen=True)
class Flips(Corruption):
    """Wrong polarities, each with the same probability.

    Args:
        strength: Share of the events with the wrong polarity, 0 to 1.
    """

    name: ClassVar[CorruptionName] = "flips"
    limit: ClassVar[float] = 1
    levels: ClassVar[tuple[float, ...]] = (0.03, 0.1, 0.3, 0.5)

    def __call__(self, events: Events, rng: np.random.Generator) -> Events:
        """Return the events with other polarities."""
        flipped = rng.random(len(events)) < self.strength
        return Events(events.t, events.x, events.y, events.p ^ flipped, events.sensor)


CORRUPTION_KINDS: Mapping[CorruptionName, type[Corruption]] = MappingProxyType(
    {kind.name: kind for kind in (HotPixels, Noise, Bursts, Drops, Jitter, Flips)}
)
"""Corruptions by name."""


def find_corruption(name: str) -> type[Corruption]:
    """Return the class of a corruption by its name.

    Example:
        >>> find_corruption("drops")(0.3)
        Drops(strength=0.3)
    """
    for kind in CORRUPTION_KINDS.values():
        if kind.name == name:
            return kind

    raise ConfigError(f"corruption {name}: unknown (expected {', '.join(CORRUPTION_KINDS)})")


def draw_noise(
    sensor: SensorSize, first_us: int, last_us: int, rate_hz: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw noise events at random times, pixels and polarities; return rows t, x, y and p, int64 [4, N], not sorted."""
    span_us = last_us - first_us
    expected = rate_hz * sensor.width * sensor.height * span_us * 1e-6

    # The rows have different upper limits (exclusive): time, column, row and polarity.
    below = np.array([[span_us + 1], [sensor.width], [sensor.height], [2]])
    noise = rng.integers(0, below, (4, int(rng.poisson(expected))))
    noise[0] += first_us
    return noise


def _draw_times(events: Events, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw times within the time span of a recording, int64 [count]."""
    return int(events.t[0]) + rng.integers(0, events.duration_us + 1, count) if count else np.zeros(0, np.int64)


def _add(events: Events, rows: NDArray[np.int64]) -> Events:
    """Return events with more events, rows t, x, y and p [4, N], sorted by time."""
    joined = np.concatenate([np.stack([events.t, events.x, events.y, events.p]), rows], axis=1)
    order = np.argsort(joined[0], kind="stable")

    t, x, y, p = joined[:, order]
    return Events(t, x, y, p, events.sensor)
