"""Framing of a person found by the pose network, and what the film says about a gesture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dvspipe
from facts import mentions
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dvspipe.base.errors import VideoError
from dvspipe.events import Region, SensorSize
from dvspipe.framing import FramingConfig, open_source
from dvspipe.framing.framing import Framing
from dvspipe.people import JOINTS, Track, films
from dvspipe.people.advice import find_film_reason
from dvspipe.people.region import HAND_M, MAX_GROWTH, VIEW_M, enclose_hands, frame_person, measure_person
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

TARGET, PICTURE = SensorSize(width=128, height=128), SensorSize(width=640, height=360)
SCALE = 90.0  # pixels per metre
CLOSE_Y = 330.0  # row of the shoulders of a person whose hips are below the picture


def track_of(
    x: np.ndarray,
    *,
    present: np.ndarray | None = None,
    yaw: float = 0.0,
    y: float = 150.0,
    scale: float = SCALE,
    hand: tuple[float, float] = (0.2, -0.6),
    confidence: float = 1.0,
) -> Track:
    """Create a track at 4 Hz of a still person, rotated by `yaw`, with the shoulders at columns x [N].

    The wrists are `hand` metres outwards and above the shoulders, and the hands point outwards.
    """
    N, J = len(x), len(JOINTS)
    points = np.zeros((N, J, 3))
    for side, sign in (("left", 1), ("right", -1)):
        points[:, JOINTS.index(f"{side}_shoulder")] = (0.18 * sign, 0, 0)
        points[:, JOINTS.index(f"{side}_hip")] = (0.1 * sign, -0.5, 0)
        points[:, JOINTS.index(f"{side}_wrist")] = (hand[0] * sign, hand[1], 0)
        points[:, JOINTS.index(f"{side}_index")] = ((hand[0] + 0.1) * sign, hand[1], 0)
    across = points[..., 0] * np.cos(yaw)
    px = np.stack([x[:, None] + scale * across, y - scale * points[..., 1]], axis=-1)
    seen = np.ones(N, bool) if present is None else present
    yaws, sure = np.where(seen, yaw, np.nan), np.where(seen[:, None], np.full((N, J), confidence), np.nan)
    points[~seen], px[~seen] = np.nan, np.nan
    presence, people = np.where(seen, 0.9, 0.1), np.ones(N, np.int64)
    return Track(250_000 * np.arange(N), points, px, sure, presence, yaws, people, PICTURE)


def frame(track: Track) -> Framing:
    path = frame_person(track)
    assert path is not None
    return Framing.of(path, PICTURE, TARGET)


def show_nobody(*_: object, **__: Any) -> Track:
    raise VideoError("film.mp4: shows no person")


@pytest.mark.parametrize("yaw", [0.0, 0.8, -1.2])
def test_position_and_scale_are_measured_from_shoulders_and_torso(yaw: float) -> None:
    center, scale = measure_person(track_of(np.full(5, 300.0), yaw=yaw))
    np.testing.assert_allclose(center, np.full((5, 2), [300.0, 150.0]))
    np.testing.assert_allclose(scale, SCALE)


def test_still_person_is_framed_as_in_training_clips() -> None:
    framing = frame(track_of(np.full(12, 300.0)))
    assert framing.zoom == pytest.approx(128 / (VIEW_M * SCALE))
    track = framing.track()
    assert (track.left.size, track.size.width) == (1, round(VIEW_M * SCALE))
    assert track.left[0] + track.size.width / 2 == pytest.approx(300, abs=1)
    assert track.top[0] + track.size.height / 2 == pytest.approx(150, abs=1)


@pytest.mark.parametrize("y", [150.0, CLOSE_Y])
@pytest.mark.parametrize(
    ("hand", "side_m"),
    [
        ((0.5, 0.2), VIEW_M),  # inside
        ((0.7, 0.1), 2 * (0.7 + HAND_M)),
        ((1.5, 0.1), MAX_GROWTH * VIEW_M),
    ],
)
def test_hands_enlarge_the_region(hand: tuple[float, float], side_m: float, y: float) -> None:
    framing = frame(track_of(np.full(12, 300.0), hand=hand, y=y))
    assert 128 / framing.zoom == pytest.approx(side_m * SCALE)


@given(
    hands=arrays(np.float64, (20, 2, 2), elements=st.floats(-70, 70)),
    unseen=arrays(np.bool_, (20, 2)),
)
def test_region_contains_the_shoulders_and_nearly_all_hands(hands: np.ndarray, unseen: np.ndarray) -> None:
    hands[unseen] = np.nan
    square = enclose_hands(hands, 100.0)
    assert 100 <= square.side <= 140
    assert max(abs(square.x), abs(square.y)) <= square.side / 2 - 50 + 1e-9  # the square around the shoulders is inside
    away = np.abs(hands - (square.x, square.y)).max(axis=-1)[~unseen]
    assert (away > square.side / 2 + 1e-9).sum() <= max(4, 0.04 * away.size)  # 1 % at each of four edges, at least one


@pytest.mark.parametrize(
    ("right", "left", "square"),
    [
        ((80.0, 0.0), (np.nan, np.nan), (15.0, 0.0, 130.0)),  # grows towards the hand
        ((-200.0, 0.0), (160.0, 0.0), (-20.0, 0.0, 140.0)),  # beyond the largest region
    ],
)
def test_region_grows_towards_the_hands(right: tuple[float, ...], left: tuple[float, ...], square: object) -> None:
    assert enclose_hands(np.array([[right, left]] * 12), 100.0) == pytest.approx(square)


def test_hands_outside_the_film_do_not_enlarge_the_region() -> None:
    at_left_edge = track_of(np.full(12, 60.0), hand=(0.7, 0.1), y=CLOSE_Y)
    at_left_edge.confidence[:, JOINTS.index("left_wrist")] = 0.0
    framing = frame(at_left_edge)
    assert framing.zoom == pytest.approx(128 / (VIEW_M * SCALE))


def test_region_is_at_most_the_complete_film() -> None:
    framing = frame(track_of(np.full(10, 300.0), scale=1000.0))
    assert framing.bounding_region() == Region.full(PICTURE)
    assert 128 / framing.zoom == pytest.approx(PICTURE.width)


def test_walking_person_is_followed_across_gaps() -> None:
    x, present = np.linspace(100, 500, 41), np.ones(41, bool)
    present[15:22] = False
    framing = frame(track_of(x, present=present))
    assert len(framing.t_us) == 34
    away = np.abs(framing.center[:, 0] - x[present])
    assert away.max() < 0.25 * VIEW_M * SCALE


def test_people_who_are_seldom_seen_or_tiny_and_patterns_are_not_framed() -> None:
    seldom = track_of(np.full(10, 300.0), present=np.arange(10) < 2)
    tiny = track_of(np.full(10, 300.0), scale=12.0)
    pattern = track_of(np.full(10, 300.0), confidence=0.1)
    for found in (seldom, tiny, pattern):
        assert frame_person(found) is None


def write_moving_bar(path: Path) -> None:
    """Write a film of a bar that moves to the right of column 500."""
    frames = []
    for number in range(30):
        image = np.full((PICTURE.height, PICTURE.width), 70, np.uint8)
        image[40:120, 500 + number % 10 * 6 : 520 + number % 10 * 6] = 200
        frames.append(Frame(33_333 * number, image))
    write_video(path, frames)


def test_truncated_film_is_an_error_of_one_line(tmp_path: Path) -> None:
    write_moving_bar(tmp_path / "film.webm")
    content = (tmp_path / "film.webm").read_bytes()
    (tmp_path / "film.webm").write_bytes(content[: len(content) * 2 // 3])
    done = dvspipe("infer", "gesture", "film.webm", "--joints=false", "-o", "answers", cwd=tmp_path, code=2)
    assert mentions(done.stderr, "truncated", "film.webm")


def test_person_takes_precedence_over_stronger_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_moving_bar(tmp_path / "film.webm")
    monkeypatch.setattr(films, "track_pictures", show_nobody)
    moving = open_source(tmp_path / "film.webm", TARGET, FramingConfig(roi="auto")).looked_at[0]
    assert moving.left + moving.width / 2 > 450
    monkeypatch.setattr(films, "track_pictures", lambda *_, **__: track_of(np.full(4, 150.0)))
    found = open_source(tmp_path / "film.webm", TARGET, FramingConfig(roi="auto")).looked_at[0]
    assert found.left + found.width / 2 == pytest.approx(150, abs=2)


def test_reasons_follow_from_the_person_in_the_film() -> None:
    def reason(track: Track | None, class_name: str, start_us: int = 0) -> str:
        return find_film_reason(track, class_name, start_us, start_us + 1_000_000)

    still = np.full(20, 300.0)
    assert reason(track_of(still), "clap") == ""
    assert "nobody" in reason(None, "clap")
    assert "8 px" in reason(track_of(still, scale=8 / 0.36), "clap")
    outside = track_of(still)
    outside.points_px[:, JOINTS.index("right_wrist"), 1] = PICTURE.height + 20
    assert "right hand" in reason(outside, "right_hand_wave")
    assert "right hand" in reason(outside, "clap")
    assert reason(outside, "left_hand_wave") == ""
    assert reason(outside, "clap", 30_000_000) == ""  # the hand may be outside at other times
