"""Calibration recovers the parameters of simulated sensors, and predicts recordings of a real sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facts import raises

from dvspipe.base.errors import DataError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import read, read_frames
from dvspipe.recordings.calibration import calibrate
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.simulator.calibration import Calibration, _correlate_counts, _count_events, calibrate_frames
from dvspipe.video.frames import Frame

SENSOR = SensorSize(width=64, height=40)
OFFSET = 8 / 255
FRAMES = 40
INTERVAL_US = 40_000


def moving_texture(finer: int = 1) -> list[Frame]:
    """Log-normal texture on a circular path of 8 pixels, with a still stripe on the left; `finer` times the frames."""
    rng = np.random.default_rng(3)
    row, column = np.mgrid[: SENSOR.height, : SENSOR.width].astype(float)
    waves = [(rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 2 * np.pi)) for _ in range(30)]
    frames = []
    for k in range((FRAMES - 1) * finer + 1):
        angle = 2 * np.pi * k / finer / FRAMES
        dx, dy = 8 * np.cos(angle), 8 * np.sin(angle)
        level = sum(np.sin((row + dy) * u[0] + (column + dx) * u[1] + phase) for u, phase in waves) * 0.2
        level[:, : SENSOR.width // 4] = 0
        image = np.clip(np.rint(80 * np.exp(level)), 0, 255).astype(np.uint8)
        frames.append(Frame(1_000_000 + k * INTERVAL_US // finer, image, "linear"))
    return frames


def simulated(frames: list[Frame], **settings: float) -> Events:
    return concatenate(simulate(frames, SimulatorConfig(log_offset=OFFSET, **settings)), SENSOR)


@pytest.mark.parametrize(("pos", "neg"), [(0.15, 0.25), (0.3, 0.2)])
def test_thresholds_and_log_offset_are_recovered(pos: float, neg: float) -> None:
    found = calibrate_frames(moving_texture(), simulated(moving_texture(), pos_thres=pos, neg_thres=neg))
    assert found.log_offset == pytest.approx(OFFSET, rel=1e-3)
    assert found.pos_thres == pytest.approx(pos, rel=0.05)
    assert found.neg_thres == pytest.approx(neg, rel=0.05)
    assert found.sigma_thres < 0.02
    assert found.leak_rate_hz == found.shot_noise_rate_hz == 0
    assert found.correlation > 0.98


def test_thresholds_are_recovered_from_events_between_frames() -> None:
    events = simulated(moving_texture(finer=8), pos_thres=0.15, neg_thres=0.25)
    found = calibrate_frames(moving_texture(), events, log_offset=OFFSET)
    assert found.pos_thres == pytest.approx(0.15, rel=0.1)
    assert found.neg_thres == pytest.approx(0.25, rel=0.1)


def test_mismatch_is_recovered() -> None:
    events = simulated(moving_texture(), pos_thres=0.2, neg_thres=0.2, sigma_thres=0.04, sensor_seed=1)
    found = calibrate_frames(moving_texture(), events, log_offset=OFFSET)
    assert found.sigma_thres == pytest.approx(0.04, rel=0.35)
    assert found.pos_thres == pytest.approx(0.2, rel=0.1)


def test_leak_and_shot_noise_are_recovered_from_still_pixels() -> None:
    settings = {"pos_thres": 0.2, "neg_thres": 0.2, "leak_rate_hz": 0.5, "shot_noise_rate_hz": 1.0, "sensor_seed": 1}
    found = calibrate_frames(moving_texture(), simulated(moving_texture(), **settings), log_offset=OFFSET)
    # about 240 leak and 370 shot events in the stripe: tolerances are 3 standard deviations
    assert found.leak_rate_hz == pytest.approx(0.5, rel=0.3)
    assert found.shot_noise_rate_hz == pytest.approx(1.0, rel=0.25)


def test_frames_outside_the_events_are_ignored() -> None:
    frames = moving_texture()
    events = simulated(frames).between(frames[10].t_us + 1, frames[30].t_us + 1)
    assert calibrate_frames(frames, events, log_offset=OFFSET).intervals == 19  # between frames 11 and 30


def test_insufficient_data_is_an_error() -> None:
    frames = moving_texture()
    events = simulated(frames)
    for pictures, recorded, facts in (
        (frames[:9], events.between(0, frames[8].t_us), "10"),
        ([], events, ("0", "10")),
        (frames, Events.empty(SENSOR), ("0", "10")),
        (frames, events[events.p], ("0", "500")),
        (frames, Events.empty("12x7"), ("64x40", "12x7")),
    ):
        with raises(DataError, facts):
            calibrate_frames(pictures, recorded)


def judge(found: Calibration, frames: list[Frame], events: Events) -> tuple[float, float, float]:
    """Return rate and ON/OFF ratio of a simulation relative to the recording, and the median correlation of counts."""
    config = SimulatorConfig(**found.to_yaml_settings())
    ours = concatenate(simulate(frames, config), events.sensor)
    on, on_recorded = int(ours.p.sum()), int(events.p.sum())
    ratio = (on / (len(ours) - on)) / (on_recorded / (len(events) - on_recorded))
    return len(ours) / len(events), ratio, _correlate_counts(_count_events(frames, ours), _count_events(frames, events))


@pytest.fixture(scope="module")
def davis(test_data: Path) -> tuple[list[Frame], Events]:
    path = test_data / "davis/faery_davis346.aedat4"
    return list(read_frames(path)), read(path)


def test_calibration_on_one_half_predicts_the_other_half(davis: tuple[list[Frame], Events]) -> None:
    frames, events = davis
    first, second = ((part, events.between(part[0].t_us + 1, part[-1].t_us + 1)) for part in (frames[:30], frames[29:]))
    rate, on_off, correlation = judge(calibrate_frames(*first), *second)
    assert rate == pytest.approx(1, abs=0.1)
    assert on_off == pytest.approx(1, abs=0.15)
    assert correlation >= 0.8


def test_sensor_file_contains_the_transfer_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = simulated(moving_texture(), pos_thres=0.2, neg_thres=0.2)
    monkeypatch.setattr("dvspipe.recordings.calibration.read", lambda *_: events)
    monkeypatch.setattr("dvspipe.recordings.calibration.read_frames", lambda *_: moving_texture())
    found = calibrate(tmp_path / "clip.aedat4", tmp_path / "sensor.yaml")
    assert f"transfer curve {found.transfer}" in (tmp_path / "sensor.yaml").read_text()
    written = SimulatorConfig.read(tmp_path / "sensor.yaml", kind="sensors")
    for name in ("pos_thres", "neg_thres", "sigma_thres", "log_offset"):
        assert getattr(written, name) == pytest.approx(getattr(found, name), rel=1e-3, abs=1e-4)
