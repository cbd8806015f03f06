"""Part of a film that shows a gesture: repeated, performed once or held; films that cannot be used."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from facts import mentions, raises
from filmed import without_person
from numpy.typing import NDArray

from dvspipe.base.errors import DataError, VideoError
from dvspipe.events import SensorSize
from dvspipe.people import JOINTS, GesturePart, Track, check_brightness, find_movement, to_body_frame
from dvspipe.people.cycles import find_cycles
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

Floats = NDArray[np.float64]
SIZE = SensorSize(width=320, height=240)
REST = (0.05, -0.58, 0.05)  # wrist relative to its shoulder: outwards, up, forwards in metres
RAISED = (0.15, 0.1, 0.25)
ASIDE = (0.45, 0.1, 0.2)


def filmed(right_m: Floats, left_m: Floats | None = None, fps: float = 30.0) -> Track:
    """Return a track of a person whose wrists are at these places relative to the shoulders, [N, 3] in metres."""
    N, J = len(right_m), len(JOINTS)
    points_m = np.zeros((N, J, 3))
    for side, out, path in (("right", -1.0, right_m), ("left", 1.0, np.array(REST) if left_m is None else left_m)):
        shoulder = np.array([out * 0.18, 0.0, 0.0])
        wrist = shoulder + np.array([out, 1, 1]) * path
        points_m[:, JOINTS.index(f"{side}_shoulder")] = shoulder
        points_m[:, JOINTS.index(f"{side}_elbow")] = (shoulder + wrist) / 2
        for joint in ("wrist", "index", "pinky", "thumb"):
            points_m[:, JOINTS.index(f"{side}_{joint}")] = wrist
    points_m, yaw = to_body_frame(points_m)
    return Track(
        times_us=np.round(np.arange(N) * 1e6 / fps).astype(np.int64),
        points_m=points_m,
        points_px=np.array([160, 100]) + points_m[..., :2] * (120, -120),
        confidence=np.full((N, J), 0.95),
        presence=np.ones(N),
        yaw=yaw,
        people=np.ones(N, np.int64),
        size=SIZE,
    )


def visit(t_s: Floats, *stops: tuple[float, tuple[float, float, float]]) -> Floats:
    """Return a path [T, 3] through places at given times, straight in between."""
    places = np.array([place for _, place in stops])
    return np.stack([np.interp(t_s, [time for time, _ in stops], column) for column in places.T], axis=-1)


def seconds(duration_s: float, fps: float = 30.0) -> Floats:
    return np.arange(round(duration_s * fps)) / fps


def wave(t_s: Floats, rate_hz: float = 2.0, start_s: float = 1.0) -> Floats:
    """Return a hand that is raised, waves for 3 s, and is lowered."""
    up_s, down_s = start_s + 0.5, start_s + 3.5
    path = visit(t_s, (start_s, REST), (up_s, RAISED), (down_s, RAISED), (down_s + 0.5, REST))
    waving = (t_s >= up_s) & (t_s <= down_s)
    path[:, 0] += np.where(waving, 0.1 * np.sin(2 * np.pi * rate_hz * (t_s - up_s)), 0)
    return path


def swipe(t_s: Floats, start_s: float) -> Floats:
    """Return a hand that is raised, swipes inwards, and is lowered, within 1.2 s; relative to rest."""
    path = visit(t_s, (start_s, REST), (start_s + 0.4, ASIDE), (start_s + 0.8, RAISED), (start_s + 1.2, REST))
    return path - np.array(REST)


@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("fps", [24.0, 30.0])
def test_wave_is_cut_to_its_periods(rate_hz: float, fps: float) -> None:
    part = find_movement(filmed(wave(seconds(6, fps), rate_hz), fps=fps))
    assert part.period_us is not None
    assert part.period_us == pytest.approx(1e6 / rate_hz, rel=0.05)
    assert part.repetitions == round(part.duration_us / part.period_us)
    assert 3 * rate_hz - 1.5 < part.repetitions <= 3 * rate_hz + 0.5
    assert 1.3e6 < part.start_us < part.stop_us < 4.7e6
    assert (part.sides, part.hold_us) == (("right",), 0)


def test_rest_before_the_wave_moves_the_part() -> None:
    early, late = (find_movement(filmed(wave(seconds(8), start_s=start_s))) for start_s in (0.5, 2.5))
    assert late.start_us - early.start_us == late.stop_us - early.stop_us == 2_000_000
    assert late.period_us == early.period_us


def test_swapped_arms_swap_sides() -> None:
    path = wave(seconds(6))
    rest = np.tile(np.array(REST), (len(path), 1))
    right, left = find_movement(filmed(path, rest)), find_movement(filmed(rest, path))
    assert (right.sides, left.sides) == (("right",), ("left",))
    assert replace(left, sides=right.sides) == right


def test_circles_of_both_hands_are_repetitions() -> None:
    t_s = seconds(5)
    angle = 2 * np.pi * 0.8 * t_s
    circle = np.stack([0.3 + 0.2 * np.cos(angle), 0.2 * np.sin(angle), 0 * angle], axis=-1)
    part = find_movement(filmed(circle, circle))
    assert part.sides == ("right", "left")
    assert part.repetitions >= 3
    assert part.warnings == ()


def test_swipe_is_the_part_without_rest() -> None:
    part = find_movement(filmed(np.array(REST) + swipe(seconds(5), 2.0)))
    assert part.period_us is None
    assert part.repetitions == 1
    assert part.start_us == pytest.approx(2.0e6, abs=100_000)
    assert part.stop_us == pytest.approx(3.2e6, abs=100_000)
    assert any("once" in warning for warning in part.warnings)


def test_held_pose_includes_raising_and_lowering() -> None:
    part = find_movement(filmed(visit(seconds(6), (1.0, REST), (1.5, RAISED), (4.0, RAISED), (4.5, REST))))
    assert part.start_us == pytest.approx(1.0e6, abs=100_000)
    assert part.stop_us == pytest.approx(4.5e6, abs=100_000)
    assert 1_800_000 < part.hold_us < 2_600_000
    assert any("event camera" in warning for warning in part.warnings)


def test_hold_until_the_end_of_the_film_is_included_for_two_seconds() -> None:
    raised = visit(seconds(6), (1.0, REST), (1.3, RAISED))
    part = find_movement(filmed(raised))
    assert part.start_us == pytest.approx(1.0e6, abs=100_000)
    assert part.stop_us == pytest.approx(3.3e6, abs=100_000)
    assert part.hold_us == pytest.approx(2.0e6, abs=100_000)
    lowered = find_movement(filmed(raised[::-1]))
    assert lowered.duration_us == pytest.approx(part.duration_us, abs=70_000)


def test_hand_held_up_in_the_complete_film_is_refused() -> None:
    with raises(DataError, "stop.mp4", "right", "up", 8):
        find_movement(filmed(np.tile(np.array(RAISED), (90, 1))), name="stop.mp4")


def test_person_at_rest_is_refused() -> None:
    tremor = np.random.default_rng(0).normal(0, 0.003, (90, 3))
    with raises(DataError, "still.mp4", 8):
        find_movement(filmed(np.array(REST) + tremor), name="still.mp4")


def test_most_movement_wins_and_other_movements_are_listed() -> None:
    t_s = seconds(9)
    part = find_movement(filmed(np.array(REST) + 0.6 * swipe(t_s, 1.5) + swipe(t_s, 5.5)))
    assert 5.3e6 < part.start_us < part.stop_us < 6.9e6
    assert any(mentions(warning, 1, "1.5", "2.7") for warning in part.warnings)


def test_reaching_for_the_camera_is_not_the_gesture() -> None:
    t_s, reach = seconds(8), (0.0, -0.1, 0.55)
    camera = visit(t_s, (0.0, reach), (1.0, REST), (7.0, REST), (7.9, reach))
    part = find_movement(filmed(camera + swipe(t_s, 3.5)))
    assert 3.3e6 < part.start_us < part.stop_us < 4.9e6


def test_given_start_and_stop_are_the_part() -> None:
    track = filmed(wave(seconds(6)))
    part = find_movement(track, start_us=1_900_000, stop_us=3_900_000)
    assert (part.start_us, part.stop_us, part.repetitions) == (1_900_000, 3_900_000, 4)
    free = find_movement(track)
    assert find_movement(track, start_us=1_000_000).start_us == 1_000_000
    assert find_movement(track, stop_us=5_000_000).start_us == free.start_us
    assert find_movement(track, start_us=1_000_000, stop_us=60_000_000).stop_us == track.times_us[-1]


@pytest.mark.parametrize(("start_us", "stop_us"), [(3_000_000, 2_000_000), (9_000_000, None), (-1, None)])
def test_impossible_part_is_refused(start_us: int, stop_us: int | None) -> None:
    with raises(DataError, "wave.mp4", f"{start_us / 1e6:g}"):
        find_movement(filmed(wave(seconds(6))), name="wave.mp4", start_us=start_us, stop_us=stop_us)


def test_gap_ends_a_part_with_a_warning() -> None:
    track = filmed(wave(seconds(6)))
    gapped = without_person(track, (track.times_us > 3_200_000) & (track.times_us < 4_000_000))
    part = find_movement(gapped)
    assert part.stop_us <= 3_200_000
    assert any(mentions(warning, 13) for warning in part.warnings)
    with raises(DataError, "wave.mp4", "person"):
        find_movement(gapped, name="wave.mp4", start_us=3_300_000, stop_us=3_900_000)


def with_confidence(track: Track, **values: float) -> Track:
    """Return the track with the confidence of joints changed on both sides."""
    confidence = np.array(track.confidence)
    for joint, value in values.items():
        for side in ("right", "left"):
            confidence[:, JOINTS.index(f"{side}_{joint}")] = value
    return replace(track, confidence=confidence)


def test_hidden_hands_are_refused_and_hidden_elbows_warned_of() -> None:
    track = filmed(wave(seconds(6)))
    with raises(DataError, "wave.mp4", "0 %", "40 %"):
        find_movement(with_confidence(track, wrist=0.2), name="wave.mp4")
    outside = replace(track, points_px=track.points_px + np.array([0, 400]))
    with raises(DataError, "wave.mp4"):
        find_movement(outside, name="wave.mp4")
    part = find_movement(with_confidence(track, elbow=0.2, thumb=0.1))
    assert any(mentions(warning, "elbow", "100 %") for warning in part.warnings)
    assert any("fingers" in warning for warning in part.warnings)


def test_hidden_hand_does_not_move() -> None:
    t_s = seconds(6)
    track = filmed(wave(t_s), np.array(REST) + np.random.default_rng(0).normal(0, 0.1, (len(t_s), 3)))
    confidence = np.array(track.confidence)
    confidence[:, JOINTS.index("left_wrist")] = 0.1
    assert find_movement(replace(track, confidence=confidence)).sides == ("right",)


def test_short_movement_is_refused() -> None:
    twitch = visit(seconds(3), (1.0, REST), (1.1, RAISED), (1.2, REST))
    with raises(DataError, "twitch.mp4", 0.4):
        find_movement(filmed(twitch), name="twitch.mp4")


def test_small_movement_is_warned_of() -> None:
    t_s = seconds(4)
    path = np.array(RAISED) + 0.04 * np.sin(2 * np.pi * 1.5 * t_s)[:, None] * np.array([1.0, 0, 0])
    part = find_movement(filmed(path))
    assert part.repetitions >= 4
    assert any("arm length" in warning for warning in part.warnings)


def test_several_people_and_few_pictures_are_warned_of() -> None:
    track = filmed(wave(seconds(6, 12.0), 2.5), fps=12.0)
    part = find_movement(replace(track, people=np.full(len(track.times_us), 3)))
    assert any(mentions(warning, 3, "people") for warning in part.warnings)
    assert any(mentions(warning, 12, "repetition") for warning in part.warnings)


@pytest.mark.parametrize("seed", range(10))
def test_any_track_gives_a_part_inside_the_film_or_an_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    track = filmed(np.cumsum(rng.normal(0, 0.05, (60, 3)), axis=0), fps=float(rng.choice([2, 12, 30])))
    track = without_person(track, rng.uniform(size=60) < rng.choice([0, 0.1, 0.5]))
    parts = list[GesturePart]()
    with suppress(DataError):
        parts.append(find_movement(track))
    assert all(0 <= part.start_us < part.stop_us <= track.times_us[-1] and part.sides for part in parts)


@pytest.mark.parametrize("seed", range(4))
def test_cycles_of_a_noisy_sine_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    period, count = int(rng.integers(8, 40)), int(rng.integers(3, 9))
    angle = 2 * np.pi * (np.arange(period * count + 1) / period + rng.uniform())
    path = np.stack([np.sin(angle), np.cos(angle)], axis=-1) + rng.normal(0, 0.1, (len(angle), 2))
    cycles = find_cycles(path, 1 / 30, 0.1)
    assert cycles is not None
    assert cycles.count == count
    assert (cycles.stop - cycles.start) / cycles.count == pytest.approx(period, rel=0.08)


def test_straight_movement_and_noise_are_no_cycles() -> None:
    ramp = np.linspace(0, 1, 90)[:, None] * np.array([[1.0, 0.5, 0.2]])
    assert find_cycles(ramp, 1 / 30, 0.01) is None
    assert find_cycles(np.random.default_rng(1).normal(0, 1, (90, 3)), 1 / 30, 0.1) is None
    assert find_cycles(ramp[:5], 1 / 30, 0.01) is None
    small = 0.001 * np.sin(np.arange(90) / 3)[:, None]
    assert find_cycles(small, 1 / 30, 0.01) is None


def test_dark_film_is_refused(tmp_path: Path) -> None:
    for name, level in (("dark.webm", 2), ("grey.webm", 128)):
        write_video(tmp_path / name, [Frame(k * 40_000, np.full((48, 64), level, np.uint8)) for k in range(3)])
    with raises(VideoError, "dark.webm", 2):
        check_brightness(tmp_path / "dark.webm")
    assert check_brightness(tmp_path / "grey.webm") == pytest.approx(128 / 255, abs=0.02)
