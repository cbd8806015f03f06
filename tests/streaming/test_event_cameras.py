"""Event cameras, with a stand-in for neuromorphic-drivers that replays packets of its types."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cameras import KINDS, Device, connect, packet_of
from clocks import TickingClock
from conftest import SENSOR, random_events
from facts import mentions, raises

from dvspipe.base.errors import ConfigError, VideoError
from dvspipe.base.groups import setting_names
from dvspipe.events import Events, concatenate
from dvspipe.streaming import Chunk, open_live
from dvspipe.streaming.camera_settings import describe_settings


def plug(monkeypatch: pytest.MonkeyPatch, packets: Sequence[SimpleNamespace | None]) -> Device:
    """Connect a camera that sends these packets."""
    device = Device(packets)
    connect(monkeypatch, device)
    return device


def read_until_failure(source: Any) -> Iterator[Chunk]:
    with raises(VideoError, "event-camera", "disconnected"):
        yield from source.read(TickingClock(), threading.Event())


def test_packets_give_their_events_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    events = random_events(0, 300)
    parts = [events.slice_events(first, first + 20) for first in range(0, 300, 20)]
    packets = [None, packet_of(None), *map(packet_of, parts), None, None, None]
    device = plug(monkeypatch, packets)
    source = open_live("event-camera")
    assert source.content == SENSOR
    chunks = list(read_until_failure(source))
    assert 1 < len(chunks) < len(parts)
    found = concatenate([chunk.content for chunk in chunks if isinstance(chunk.content, Events)], SENSOR)
    for name in "txyp":
        np.testing.assert_array_equal(getattr(found, name), getattr(events, name))
    assert all(isinstance(chunk.content, Events) and chunk.t_us == chunk.content.t[-1] for chunk in chunks)
    assert device.opened
    assert not device.is_open


def test_times_never_decrease_between_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    late, early = Events([90, 100], [1, 2], [1, 2], [0, 1], SENSOR), Events([95, 110], [3, 4], [3, 4], [0, 1], SENSOR)
    plug(monkeypatch, [packet_of(late), packet_of(early), None, None, None])
    (chunk,) = read_until_failure(open_live("event-camera"))
    assert isinstance(chunk.content, Events)
    assert chunk.content.t.tolist() == [90, 100, 100, 110]


def test_restarted_clock_continues_the_stream_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = Events([900_000_000, 900_000_010], [1, 2], [1, 2], [0, 1], SENSOR)
    after = Events([5, 25], [3, 4], [3, 4], [0, 1], SENSOR)
    plug(monkeypatch, [packet_of(before), packet_of(after), None, None, None])
    (chunk,) = read_until_failure(open_live("event-camera"))
    assert isinstance(chunk.content, Events)
    assert (chunk.content.t - 900_000_000).tolist() == [0, 10, 10, 30]
    assert mentions(caplog.text, "event-camera", "-900.0 s")


def test_overflows_of_the_camera_count_as_lost_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    events = random_events(0, 10)
    plug(monkeypatch, [packet_of(None, [0]), packet_of(events, [3, 7]), None, None, None])
    (chunk,) = read_until_failure(open_live("event-camera"))
    assert chunk.lost == 3


def test_stop_ends_and_closes_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    device, stop = plug(monkeypatch, [None] * 10), threading.Event()
    stop.set()
    assert not list(open_live("event-camera").read(TickingClock(), stop))
    assert device.opened
    assert not device.is_open


def test_serial_number_selects_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Device(serial="B2")
    connect(monkeypatch, Device(), wanted)
    assert open_live("event-camera:B2").device is wanted  # type: ignore[attr-defined]


def test_missing_cameras_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    with raises(VideoError, "event-camera", "no event camera"):
        open_live("event-camera")
    connect(monkeypatch, Device())
    with raises(VideoError, "event-camera:C3", "EVK4", "A1"):
        open_live("event-camera:C3")


def test_missing_library_is_reported_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", None)
    with raises(ConfigError, "event-camera", "dvspipe[camera]"):
        open_live("event-camera")


def test_event_cameras_cannot_be_replayed() -> None:
    with raises(ConfigError, "event-camera", 2):
        open_live("event-camera", speed=2.0)


def test_library_is_as_the_stand_in() -> None:
    drivers = pytest.importorskip("neuromorphic_drivers", reason="the extra camera is not installed")
    names = set(vars(packet_of(None)))
    assert names == set(drivers.packet.Evt3Packet.__annotations__)
    for packet in (drivers.packet.DvxplorerPacket, drivers.packet.Davis346Packet):
        assert names <= set(packet.__annotations__)
    with pytest.raises(RuntimeError):
        drivers.open(configuration=None, serial="no such camera", iterator_timeout=0.05)

    for method in ("name", "serial", "connection", "properties", "biases_bounds"):
        assert callable(getattr(Device, method))
        assert callable(getattr(drivers.device.Device, method))

    # The library has the settings of the stand-in, and others, with the same types.
    for name, kind in KINDS.items():
        module = getattr(drivers, name.name.lower())
        assert drivers.Name[name.name].value == name.value
        ours = describe_settings(kind.Configuration, SENSOR)
        theirs = describe_settings(module.Configuration, SENSOR)
        assert set(setting_names(ours)) <= set(setting_names(theirs))
