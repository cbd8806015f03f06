"""Ten checks of an event camera, with the stand-in for neuromorphic-drivers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cameras import PACKET_DTYPE, Connection, Device, Name, connect
from clocks import TickingClock
from commands import dvspipe as run
from conftest import SENSOR
from facts import mentions, raises

import dvspipe
from dvspipe.base.errors import ConfigError
from dvspipe.streaming import camera_trial, devices
from dvspipe.streaming.devices import VENDORS, ConnectedCamera
from dvspipe.verbs import camera_checks
from dvspipe.verbs.diagnosis import Diagnosis

NAMES = ("permission", "speed", "sensor", "events", "times", "polarities", "hot pixels", "motion", "settings")
TICK_US = 20_000  # between two packets


class CoarseClock(TickingClock):
    """Clock that advances by the time between two packets whenever it is read."""

    def now_s(self) -> float:
        self.time_s += TICK_US * 1e-6
        return self.time_s


class Scene(Device):
    """Camera whose packets follow the trial: few events at rest, many with a hand, and only its region of interest.

    Args:
        on: Share of ON events.
        tick_us: Time between two packets on the camera's clock.
        events: Events per packet at rest, and with a hand.
        hot: Additional events per packet of a pixel.
        overflows: What each packet says about lost data.
        obeys: Whether it applies a region of interest.
    """

    def __init__(
        self,
        kind: Name = Name.PROPHESEE_EVK4,
        *,
        on: float = 0.5,
        tick_us: int = TICK_US,
        events: tuple[int, int] = (5, 60),
        hot: int = 0,
        overflows: tuple[int, ...] | None = None,
        obeys: bool = True,
    ) -> None:
        super().__init__(kind=kind)
        self._rng = np.random.default_rng(0)
        self._on = on
        self._tick_us = tick_us
        self._events = events
        self._hot = hot
        self._overflows = overflows
        self._obeys = obeys
        self._ticks = 0

    def __next__(self) -> tuple[SimpleNamespace, SimpleNamespace | None]:
        self._ticks += 1
        still_us = 1_000_000 * (camera_trial.SETTLE_S + camera_trial.REST_S)
        count = self._events[self._ticks * TICK_US > still_us]
        events = np.zeros(count + self._hot, PACKET_DTYPE)
        events["t"] = self._tick_us * self._ticks + np.arange(len(events))
        events["x"] = [*self._rng.integers(SENSOR.width, size=count), *[1] * self._hot]
        events["y"] = [*self._rng.integers(SENSOR.height, size=count), *[1] * self._hot]
        events["on"] = self._rng.random(len(events)) < self._on

        packet = SimpleNamespace(polarity_events=self._crop(events), polarity_events_overflow_indices=self._overflows)
        return SimpleNamespace(), packet

    def _crop(self, events: np.ndarray) -> np.ndarray:
        settings = self.configuration
        if settings is None or not self._obeys:
            return events
        if region := getattr(settings, "region_of_interest", None):
            return events[(events["x"] < region.left + region.width) & (events["y"] < region.top + region.height)]
        if not getattr(settings, "x_mask", ()):
            return events
        is_silent = np.array(settings.x_mask)[events["x"]] | np.array(settings.y_mask)[events["y"]]
        return events[is_silent == 0]


@pytest.fixture(autouse=True)
def _ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the trial take no time, and this machine list no camera."""
    monkeypatch.setattr(camera_checks, "SystemClock", CoarseClock)
    monkeypatch.setattr(devices, "find_event_cameras", list)


def diagnose(monkeypatch: pytest.MonkeyPatch, device: Device) -> dict[str, tuple[str, str]]:
    """Return the state and the text of each check."""
    connect(monkeypatch, device)
    diagnosis = dvspipe.doctor(camera=True)
    assert not device.is_open
    assert [check.name for check in diagnosis.checks] == [*NAMES, "reopening"]
    assert Diagnosis.model_validate_json(diagnosis.model_dump_json()) == diagnosis
    return {check.name: (check.state, check.text) for check in diagnosis.checks}


@pytest.mark.parametrize("kind", [Name.PROPHESEE_EVK4, Name.PROPHESEE_EVK3_HD, Name.INIVATION_DAVIS346])
def test_good_camera_passes_all_checks(monkeypatch: pytest.MonkeyPatch, kind: Name) -> None:
    checks = diagnose(monkeypatch, Scene(kind))
    assert {state for state, _ in checks.values()} == {"ok"}
    assert mentions(checks["sensor"][1], kind.value, "A1", SENSOR)
    assert mentions(checks["motion"][1], 248, "3,000")
    assert mentions(checks["settings"][1], "6x3+0+0", "100.0%")


def test_camera_without_a_region_is_opened_again_with_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scene(Name.INIVATION_DVXPLORER)
    checks = diagnose(monkeypatch, device)
    assert {state for state, _ in checks.values()} == {"ok"}
    assert "neither reads them back" in checks["settings"][1]
    assert device.configuration is not None


def test_slow_connection_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "connection", lambda _: Connection.USB_HIGH)
    state, text = diagnose(monkeypatch, Scene())["speed"]
    assert state == "doubtful"
    assert mentions(text, "480 Mb/s", "USB 3 port")


def test_clock_of_the_camera_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    state, text = diagnose(monkeypatch, Scene(tick_us=2 * TICK_US))["times"]
    assert state == "broken"
    assert mentions(text, "17.88", "8.94")
    assert diagnose(monkeypatch, Scene(tick_us=TICK_US + 20))["times"][0] == "ok"


def test_lost_data_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    state, text = diagnose(monkeypatch, Scene(overflows=(0,)))["events"]
    assert state == "doubtful"
    assert "too slow" in text


@pytest.mark.parametrize(("on", "expected"), [(0.0, "broken"), (1.0, "broken"), (0.05, "doubtful"), (0.3, "ok")])
def test_rare_polarity_is_found(monkeypatch: pytest.MonkeyPatch, on: float, expected: str) -> None:
    assert diagnose(monkeypatch, Scene(on=on))["polarities"][0] == expected


def test_hot_pixel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    state, text = diagnose(monkeypatch, Scene(hot=4))["hot pixels"]
    assert state == "doubtful"  # one of 84 pixels
    assert mentions(text, "1 pixel", "1.190%")


def test_hand_that_does_not_stand_out_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    assert diagnose(monkeypatch, Scene(events=(40, 60)))["motion"][0] == "doubtful"


def test_settings_without_effect_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    state, text = diagnose(monkeypatch, Scene(obeys=False))["settings"]
    assert state == "broken"
    assert "6x3+0+0" in text


def test_camera_without_events_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = diagnose(monkeypatch, Scene(events=(0, 0)))
    assert checks["events"][0] == "broken"
    assert "cap of the lens" in checks["events"][1]
    assert {checks[name][0] for name in ("times", "polarities", "hot pixels", "motion", "settings")} == {"missing"}


def test_camera_that_cannot_be_opened_again_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(Scene):
        def __exit__(self, *_: object) -> None:
            super().__exit__()
            monkeypatch.setattr("cameras.Drivers.open", fail)

    def fail(*_: object, **__: object) -> Device:
        raise RuntimeError("device busy")

    checks = diagnose(monkeypatch, Fragile())
    assert checks["reopening"][0] == "broken"
    assert "device busy" in checks["reopening"][1]


def test_camera_without_permission_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scene()
    connect(monkeypatch, device)
    vendor = VENDORS[1]
    camera = ConnectedCamera("event-camera:A1", vendor.name, Path("/dev/bus/usb/002/007"), False, vendor)
    monkeypatch.setattr(devices, "find_event_cameras", lambda: [camera])

    done = run("doctor", "--camera", code=2)
    assert "permission" in done.stderr
    assert vendor.udev_rule in done.stdout
    assert not device.opened


def test_report_has_the_measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect(monkeypatch, Scene())
    done = run("doctor", "--camera", "-o", tmp_path / "report.json", columns=80)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["trial"]["hand"]["events"] > 10 * report["trial"]["rest"]["events"]
    assert done.stderr.splitlines() == [camera_trial.STILL, camera_trial.WAVE, camera_trial.WAVE_ON]
    assert max(map(len, done.stdout.splitlines())) <= 80

    refused = run("doctor", "--camera", "-o", tmp_path / "report.json", code=2)
    assert mentions(refused.stderr, "report.json", "--overwrite")


def test_no_camera_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    done = run("doctor", "--camera", code=2)
    assert mentions(done.stderr, "event-camera", "found no event camera")
    assert not done.stdout


def test_interruption_closes_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scene()
    connect(monkeypatch, device)

    def interrupt(*_: object) -> None:
        assert device.is_open
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvspipe.doctor(camera=True, progress=interrupt)
    assert not device.is_open


def test_serial_number_selects_a_camera_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, Scene())
    done = run("doctor", "--camera", "--serial", "B2", code=2)
    assert mentions(done.stderr, "event-camera:B2", "A1")
    with raises(ConfigError, "serial", "camera=True"):
        dvspipe.doctor(serial="B2")
