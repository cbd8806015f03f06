"""Stand-in for neuromorphic-drivers: its types and functions, with packets made by the tests.

The annotations are types, as in the library; `test_library_is_as_the_stand_in` compares both.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR

from dvspipe.events import Events

PACKET_DTYPE = np.dtype([("t", np.uint64), ("x", np.uint16), ("y", np.uint16), ("on", np.bool_)])
Int16 = np.int16 | int
UInt8 = np.uint8 | int
UInt16 = np.uint16 | int
UInt32 = np.uint32 | int
UInt64 = np.uint64 | int


class Name(Enum):
    PROPHESEE_EVK4 = "Prophesee EVK4"
    PROPHESEE_EVK3_HD = "Prophesee EVK3 HD"
    INIVATION_DAVIS346 = "iniVation DAVIS 346"
    INIVATION_DVXPLORER = "iniVation DVXplorer"


class Connection(Enum):
    USB_HIGH = "USB 2.0 High Speed (480 Mb/s)"
    USB_SUPER = "USB 3.0 SuperSpeed (5.0 Gb/s)"


class Clock(Enum):
    INTERNAL = 0
    EXTERNAL = 2


@dataclass
class RateLimiter:
    reference_period_us: UInt16
    maximum_events_per_period: UInt32


@dataclass
class Evk4Biases:
    fo: Int16 = 0
    diff_on: Int16 = 0
    diff: Int16 = 0


@dataclass
class Evk4Configuration:
    biases: Evk4Biases = field(default_factory=Evk4Biases)
    x_mask: tuple[UInt64, ...] = ()
    y_mask: tuple[UInt64, ...] = ()
    mask_intersection_only: bool = False
    clock: Clock = Clock.INTERNAL
    rate_limiter: RateLimiter | None = None


class RowColumnMask:
    """Masks of the rows and columns whose pixels are silent; the library packs them into numbers."""

    def __init__(self, set: bool) -> None:  # noqa: A002  (as in the library)
        self._x = np.full(SENSOR.width, set)
        self._y = np.full(SENSOR.height, set)

    def clear_rectangle(self, x: int, y: int, width: int, height: int) -> None:
        self._x[x : x + width] = False
        self._y[y : y + height] = False

    def x_mask(self) -> tuple[int, ...]:
        return tuple(self._x.astype(int).tolist())

    def y_mask(self) -> tuple[int, ...]:
        return tuple(self._y.astype(int).tolist())


@dataclass
class Evk3Biases:
    fo_p: UInt8 = 74
    fo_n: UInt8 = 0
    diff_on: UInt8 = 115


@dataclass
class Evk3Configuration:
    biases: Evk3Biases = field(default_factory=Evk3Biases)
    x_mask: tuple[UInt64, ...] = ()
    y_mask: tuple[UInt64, ...] = ()
    mask_intersection_only: bool = False
    rate_limiter: RateLimiter | None = None


@dataclass
class Davis346Biases:
    diffbn: UInt16 = 1063
    onbn: UInt16 = 1564
    offbn: UInt16 = 583


@dataclass
class RegionOfInterest:
    left: UInt16 = 0
    top: UInt16 = 0
    width: UInt16 = SENSOR.width
    height: UInt16 = SENSOR.height


@dataclass
class Davis346Configuration:
    biases: Davis346Biases = field(default_factory=Davis346Biases)
    region_of_interest: RegionOfInterest = field(default_factory=RegionOfInterest)
    exposure_us: UInt32 = 4000


@dataclass
class DvxplorerBiases:
    on: UInt8 = 8
    off: UInt8 = 8
    log: bool = False


@dataclass
class DvxplorerConfiguration:
    biases: DvxplorerBiases = field(default_factory=DvxplorerBiases)


KINDS = {
    Name.PROPHESEE_EVK4: SimpleNamespace(
        Biases=Evk4Biases, Configuration=Evk4Configuration, RateLimiter=RateLimiter, RowColumnMask=RowColumnMask
    ),
    Name.PROPHESEE_EVK3_HD: SimpleNamespace(
        Biases=Evk3Biases, Configuration=Evk3Configuration, RateLimiter=RateLimiter, RowColumnMask=RowColumnMask
    ),
    Name.INIVATION_DAVIS346: SimpleNamespace(
        Biases=Davis346Biases, Configuration=Davis346Configuration, RegionOfInterest=RegionOfInterest
    ),
    Name.INIVATION_DVXPLORER: SimpleNamespace(Biases=DvxplorerBiases, Configuration=DvxplorerConfiguration),
}
BOUNDS = {
    Name.PROPHESEE_EVK4: {"fo": (-35, 55), "diff_on": (-85, 140), "diff": (-25, 23)},
    Name.PROPHESEE_EVK3_HD: {"fo_p": (45, 110), "fo_n": (0, 255), "diff_on": (0, 140)},
    Name.INIVATION_DAVIS346: dict.fromkeys(("diffbn", "onbn", "offbn"), (0, 2040)),
    Name.INIVATION_DVXPLORER: {"on": (0, 17), "off": (0, 17)},
}


def packet_of(events: Events | None, overflows: Sequence[int] | None = None) -> SimpleNamespace:
    """Packet with the attributes of `Evt3Packet`."""
    found = None
    if events is not None:
        found = np.empty(len(events), PACKET_DTYPE)
        found["t"], found["x"], found["y"], found["on"] = events.t, events.x, events.y, events.p
    return SimpleNamespace(
        polarity_events=found,
        trigger_events=None,
        polarity_events_overflow_indices=None if overflows is None else np.array(overflows, np.uintp),
        trigger_events_overflow_indices=None,
    )


class Device:
    """Camera that sends packets; after the last one, it fails as if it were unplugged.

    Attributes:
        configuration: What it was opened with last; None: the defaults.
        opened: How often it was opened.
    """

    def __init__(
        self, packets: Iterable[SimpleNamespace | None] = (), kind: Name = Name.PROPHESEE_EVK4, serial: str = "A1"
    ) -> None:
        self._packets = iter(packets)
        self._kind = kind
        self._serial = serial
        self.is_open = False
        self.opened = 0
        self.configuration: Any = None

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def __next__(self) -> tuple[SimpleNamespace, SimpleNamespace | None]:
        for packet in self._packets:
            return SimpleNamespace(system_time=0.0, ring=None), packet
        raise RuntimeError("No such device (it may have been disconnected)")

    def name(self) -> Name:
        return self._kind

    def serial(self) -> str:
        return self._serial

    def connection(self) -> Connection:
        return Connection.USB_SUPER

    def properties(self) -> SimpleNamespace:
        return SimpleNamespace(width=SENSOR.width, height=SENSOR.height)

    def biases_bounds(self) -> SimpleNamespace:
        bounds = BOUNDS[self._kind].items()
        return SimpleNamespace(**{name: SimpleNamespace(minimum=low, maximum=high) for name, (low, high) in bounds})


class Drivers:
    """Module with what dvspipe uses of neuromorphic-drivers."""

    def __init__(self, *devices: Device) -> None:
        self._devices = {device.serial(): device for device in devices}
        for kind, module in KINDS.items():
            setattr(self, kind.name.lower(), module)

    def open(self, *, configuration: object, serial: str | None, iterator_timeout: float) -> Device:
        assert iterator_timeout < 1
        for found, device in self._devices.items():
            if serial in (None, found):
                assert not device.is_open, "a camera can be opened only once"
                device.is_open = True
                device.opened += 1
                device.configuration = configuration
                return device
        raise RuntimeError("no device found" if serial is None else f"device with serial {serial} not found")

    def list_devices(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=one.name(), serial=serial, error=None) for serial, one in self._devices.items()]


def connect(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> None:
    """Connect cameras."""
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", Drivers(*devices))
