"""Pose tracking: network, search, track and its file, body coordinates."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dvspipe
from facts import mentions, raises
from filmed import make_track as make_waving
from filmed import without_person
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.base.errors import DataError, FileError, FormatError, VideoError
from dvspipe.base.gestures import GESTURES
from dvspipe.events import SensorSize
from dvspipe.people import (
    JOINTS,
    InputSquare,
    Sighting,
    Track,
    TrackSettings,
    find_people,
    make_track,
    measure_arms,
    track_pictures,
    tracking,
)
from dvspipe.people.network import WEIGHTS, cut_square
from dvspipe.people.tracking import count_people, search_squares, smooth_runs, track
from dvspipe.synthesis.gestures import Performance, pose_person
from dvspipe.synthesis.people import LEFT, RIGHT, WRIST, Pose, draw_person
from dvspipe.synthesis.rendering import render
from dvspipe.synthesis.scenes import Camera, Scene, draw_scene, to_srgb
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

SIZE = SensorSize(width=320, height=240)
CAMERA = Camera(scale_px=140.0, distance_m=2.5, x_px=150.0, y_px=90.0, yaw=0.1, pitch=0.0)
SMALL = SensorSize(width=64, height=48)
Picture = NDArray[np.uint8]


def filmed(seconds: float = 0.3, fps: float = 15.0) -> tuple[list[Frame], Pose, Scene]:
    """Render a person who waves with the right hand."""
    rng, t = np.random.default_rng(3), np.arange(round(seconds * fps)) / fps
    person = draw_person(rng)
    plan = [Performance(GESTURES.index("right_hand_wave"), -1_000_000, 9_000_000)]
    scene = draw_scene(person, SIZE, "led", rng, lambda *_: CAMERA)
    moved = pose_person(plan, person, rng, t)
    light = np.stack(list(render(person, scene, moved, t))) / 65535
    pictures = np.asarray(255 * np.clip(to_srgb(light / np.quantile(light, 0.99)), 0, 1), np.uint8)
    frames = [Frame(round(t_s * 1e6), image) for t_s, image in zip(t, pictures, strict=True)]
    return frames, moved, scene


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "wave.webm"
    write_video(path, filmed()[0])
    return path


def sighting(x: float, y: float, side: float, presence: float = 0.99) -> Sighting:
    """Return a sighting with this square, and joints around its centre."""
    points_m = np.random.default_rng(1).normal(0, 0.3, (len(JOINTS), 3))
    points_m[JOINTS.index("left_shoulder")], points_m[JOINTS.index("right_shoulder")] = (0.2, 0.5, 0), (-0.2, 0.5, 0)
    points_px = np.array([x, y]) + side * points_m[:, :2]
    return Sighting(presence, points_px, points_m, np.full(len(JOINTS), 0.9), InputSquare(x, y, side))


class FakeNetwork:
    """Fake pose network: the red values of the first pixels encode x, y and side of each person."""

    def __call__(self, picture: Picture, square: InputSquare) -> Sighting:
        people = [tuple(map(float, row)) for row in picture[0, :9, 0].reshape(3, 3) if row[2]]
        inside = [
            one for one in people if max(abs(one[0] - square.x_px), abs(one[1] - square.y_px)) < square.side_px / 3
        ]
        near = min(inside, key=lambda one: abs(one[0] - square.x_px), default=None)
        return sighting(*near) if near else sighting(square.x_px, square.y_px, square.side_px, 0.1)


def pictures(*people: list[tuple[int, int, int]], fps: float = 10.0) -> Iterator[tuple[int, Picture]]:
    """Return pictures of 64x48 for `FakeNetwork`."""
    for number, each in enumerate(people):
        picture = np.zeros((SMALL.height, SMALL.width, 3), np.uint8)
        picture[0, : 3 * len(each), 0] = np.array(each, np.uint8).ravel()
        yield round(number * 1e6 / fps), picture


ONE, OTHER = (20, 24, 30), (48, 24, 20)


def make_seldom_seen() -> Track:
    """Return a track with two gaps."""
    track = make_waving(0.3, 0)
    presence = np.array([0.2, 0.9, 0.99, 0.99, 0.3, 0.49999999, 0.9, 0.5, 1.0])
    return replace(without_person(track.select(np.arange(len(track.times_us)) < 9), presence < 0.5), presence=presence)


def test_network_finds_joints_of_a_rendered_person() -> None:
    frames, moved, scene = filmed()
    track = track_pictures(((f.t_us, np.repeat(f.image[..., None], 3, axis=2)) for f in frames), SIZE)
    assert track.present.all()
    assert (track.people == 1).all()
    for side, name in ((RIGHT, "right"), (LEFT, "left")):
        true_px = scene.camera.project(moved.arms[:, side, WRIST])[:, :2]
        off_px = np.linalg.norm(track.points_px[:, JOINTS.index(f"{name}_wrist")] - true_px, axis=-1)
        assert off_px.mean() < 0.25 * 0.5 * CAMERA.scale_px  # a quarter of an arm; wrong sides would be a metre off


def test_included_weights_match_the_notice() -> None:
    notice = WEIGHTS.with_name("NOTICE").read_text(encoding="utf-8")
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in notice
    assert "Apache License" in WEIGHTS.with_name("LICENSE").read_text(encoding="utf-8")


def test_square_beyond_the_edges_is_padded_with_black() -> None:
    picture = np.full((48, 64, 3), 200, np.uint8)
    patch, left, top, side = cut_square(picture, InputSquare(0.0, 24.0, 64.0))
    assert (left, top, side) == (-32, -8, 64)
    assert (patch[64:192, :120] == 0).all()
    assert (patch[64:192, 136:] == 200).all()


def test_search_squares_cover_the_picture() -> None:
    for width, height in ((64, 48), (48, 64), (500, 100)):
        seen = np.zeros((height, width), int)
        for square in search_squares(width, height):
            half = square.side_px / 2
            rows = slice(max(0, round(square.y_px - half)), max(0, round(square.y_px + half)))
            seen[rows, max(0, round(square.x_px - half)) : max(0, round(square.x_px + half))] += 1
        assert seen.min() >= 2


@given(seed=st.integers(0, 999), yaw=st.floats(-3.1, 3.1))
def test_arms_are_independent_of_yaw_and_position(seed: int, yaw: float) -> None:
    points = np.random.default_rng(seed).normal(size=(8, len(JOINTS), 3))
    track, turned = (
        make_track(np.arange(8), replace(CAMERA, yaw=angle).turn(points) + np.arange(3.0)) for angle in (0.0, yaw)
    )
    np.testing.assert_allclose(np.exp(1j * turned.yaw), np.exp(1j * (track.yaw + yaw)), atol=1e-9)
    ours, theirs = measure_arms(turned), measure_arms(track)
    for arm, expected in ((ours.right, theirs.right), (ours.left, theirs.left)):
        np.testing.assert_allclose([arm.elbow, arm.wrist], [expected.elbow, expected.wrist], atol=1e-9)


def test_arm_axes_are_outwards_up_forwards() -> None:
    points = np.zeros((1, len(JOINTS), 3))
    arms_m = {"right": [(-0.2, 0, 0), (-0.5, 0, 0), (-0.5, 0.2, 0)], "left": [(0.2, 0, 0), (0.5, 0, 0), (0.5, 0, 0.2)]}
    for side, places in arms_m.items():  # 0.3 m outwards, then 0.2 m up or forwards
        for joint, place in zip(("shoulder", "elbow", "wrist"), places, strict=True):
            points[:, JOINTS.index(f"{side}_{joint}")] = place
    arms = measure_arms(make_track(np.zeros(1, np.int64), points))
    assert arms.arm_m == pytest.approx(0.5)
    np.testing.assert_allclose([arms.right.elbow[0], arms.left.elbow[0]], [[0.6, 0, 0]] * 2, atol=1e-9)
    np.testing.assert_allclose([arms.right.wrist[0], arms.left.wrist[0]], [[0.6, 0.4, 0], [0.6, 0, 0.4]], atol=1e-9)


def test_track_is_unchanged_by_writing_and_reading(tmp_path: Path) -> None:
    track = make_seldom_seen()
    track.write(tmp_path / "joints.csv")
    read = Track.read(tmp_path / "joints.csv")
    assert read.size == track.size
    for name in ("times_us", "people", "presence"):
        np.testing.assert_array_equal(getattr(read, name), getattr(track, name))
    for name in ("points_m", "points_px", "confidence", "yaw"):
        np.testing.assert_allclose(getattr(read, name), getattr(track, name), rtol=1e-5, atol=1e-6)


def test_measuring_arms_without_a_person_raises() -> None:
    with raises(DataError, "arms"):
        measure_arms(make_seldom_seen().select(np.arange(9) < 1))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda _: [], "header"),
        (lambda lines: lines[:1], "no pictures"),
        (lambda lines: [lines[0].replace("time_us", "t"), *lines[1:]], "header"),
        (lambda lines: [*lines[:2], lines[2][:40]], "line 3"),
        (lambda lines: [*lines[:2], "x" + lines[2]], "x50000"),
        (lambda lines: [*lines[:2], lines[2].rpartition(",")[0] + ","], "confidence"),
        (lambda lines: [*lines[:2], lines[2].rpartition(",")[0] + ",1.5"], "confidence"),
        (lambda lines: [*lines[:3], lines[2]], "times"),
        (lambda lines: [*lines[:2], lines[2].replace(",160,120,", ",160,0,")], "sizes"),
        (lambda lines: [*lines[:2], lines[2].replace(",160,120,", ",160,121,")], "sizes"),
        (lambda lines: [*lines[:2], lines[2].replace(",160,", ",99999999999999999999,", 1)], "width"),
    ],
)
def test_invalid_track_file_is_rejected(change: object, found: object, tmp_path: Path) -> None:
    path = tmp_path / "joints.csv"
    make_seldom_seen().write(path)
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in change(lines)))
    with raises(FormatError, "joints.csv", found):
        Track.read(path)


def test_binary_file_is_rejected_as_track(tmp_path: Path) -> None:
    (tmp_path / "joints.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with raises(FormatError, "joints.csv"):
        Track.read(tmp_path / "joints.csv")
    with raises(FileError, "none.csv"):
        Track.read(tmp_path / "none.csv")


def test_track_values_are_finite_exactly_if_a_person_is_present() -> None:
    track = make_seldom_seen()
    with raises(DataError, "yaw"):
        replace(track, yaw=np.zeros(9))
    with raises(DataError, "people"):
        replace(track, people=np.ones(8, np.int64))
    with raises(DataError, "row 1"):
        replace(track, times_us=np.zeros(9, np.int64))


def test_largest_person_is_tracked_and_people_are_counted() -> None:
    track = track_pictures(pictures([OTHER, ONE], [OTHER, ONE], [ONE]), SMALL, look=FakeNetwork())
    assert track.people.tolist() == [2, 2, 2]
    np.testing.assert_allclose(track.points_px.mean(axis=(0, 1)), ONE[:2], atol=5)
    first = find_people(next(pictures([OTHER, ONE]))[1], FakeNetwork())
    assert [person.square.side_px for person in first] == [30, 20]


def test_only_people_in_the_foreground_with_joints_are_counted() -> None:
    person, small, inside, pattern = (sighting(*square) for square in (ONE, (48, 24, 10), (21, 28, 20), OTHER))
    pattern.confidence[:] = 0.1
    assert count_people([person, small, inside, pattern]) == 1
    assert count_people([person, sighting(*OTHER)]) == 2
    assert count_people([pattern]) == count_people([]) == 0


def test_vanishing_body_is_not_a_person() -> None:
    def look(_: Picture, square: InputSquare) -> Sighting:
        """Simulate a large person at the left with a small body in the face, and a vanishing body at the right."""
        if square.x_px < 40:
            return sighting(30, 24, min(60, 1.3 * square.side_px))
        return sighting(square.x_px, square.y_px, 0.7 * square.side_px, min(1.0, square.side_px / 30))

    people = find_people(np.zeros((48, 64, 3), np.uint8), look)
    assert [person.square for person in people] == [InputSquare(30, 24, 60)]


def test_lost_person_leaves_a_gap_and_is_found_again() -> None:
    film = [[ONE]] * 3 + [[]] * 4 + [[ONE]] * 8
    track = track_pictures(pictures(*film), SMALL, look=FakeNetwork())
    missing_us = track.times_us[~track.present]
    assert (missing_us[0], missing_us[-1]) == (300_000, 700_000)  # searched for at 0.3 s, and again 0.5 s later
    assert track.people[3:8].tolist() == [0] * 5


def test_max_fps_limits_processed_pictures() -> None:
    film = [[ONE]] * 60
    assert len(track_pictures(pictures(*film, fps=60), SMALL, look=FakeNetwork()).times_us) == 30
    track = track_pictures(pictures(*film, fps=25), SMALL, TrackSettings(max_fps=15), look=FakeNetwork())
    assert np.median(np.diff(track.times_us)) == pytest.approx(80_000)


def test_still_pictures_are_left_out() -> None:
    film = [[ONE]] * 30
    moved = [[(20, 24, 30)], [(21, 24, 60)]] * 15
    settings = TrackSettings(max_fps=10, still_fps=2)
    assert len(track_pictures(pictures(*film), SMALL, settings, look=FakeNetwork()).times_us) == 6
    shown = ((t_us, picture + np.uint8(90 * (number % 2))) for number, (t_us, picture) in enumerate(pictures(*moved)))
    assert len(track_pictures(shown, SMALL, settings, look=FakeNetwork()).times_us) == 30


def test_nobody_is_searched_for_less_often_over_time() -> None:
    searched_us = list[int]()

    def look(picture: Picture, square: InputSquare) -> Sighting:
        searched_us.append(int(picture[0, 0, 0]))
        return sighting(square.x_px, square.y_px, square.side_px, 0.1)

    seconds = ((1_000_000 * second, np.full((48, 64, 3), second, np.uint8)) for second in range(60))
    with raises(VideoError, "no person"):
        track_pictures(seconds, SMALL, look=look)
    waits = np.diff(sorted(set(searched_us)))
    assert (waits[0], waits[-1]) == (1, 5)
    assert (np.diff(waits) >= -1).all()


def test_smoothing_preserves_parabolas_and_does_not_cross_gaps() -> None:
    times_us = np.cumsum([0, 33_000, 33_000, 34_000, 33_000, 40_000, 33_000, 33_000, 33_000, 33_000, 30_000])
    t = times_us[:, None, None] / 1e6
    present = np.arange(11) != 5
    points = np.where(present[:, None, None], 3 + 2 * t - 40 * t**2, np.nan)
    np.testing.assert_allclose(smooth_runs(times_us, points, present), points, atol=1e-9)
    noisy = np.random.default_rng(0).normal(0, 1, (300, 1, 1))
    every = np.arange(300) * 33_333
    smoothed = smooth_runs(every, noisy, np.ones(300, bool))
    assert np.var(smoothed[5:-5]) == pytest.approx(17 / 35 * np.var(noisy), rel=0.15)  # Savitzky and Golay's weights
    np.testing.assert_array_equal(smooth_runs(2 * every, noisy, np.ones(300, bool)), noisy)


def test_video_without_a_person_reports_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PoseNetwork", FakeNetwork)
    write_video(tmp_path / "grey.webm", [Frame(k * 40_000, np.full((48, 64), 90, np.uint8)) for k in range(3)])
    with raises(VideoError, "grey.webm", "3"):
        track(tmp_path / "grey.webm")
    with raises(VideoError, "none.webm"):
        track(tmp_path / "none.webm")
    with raises(VideoError, "camera"):
        track("0")


def test_command_writes_what_the_function_returns(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "joints.csv"
    said = dvspipe("track", film, "-o", out, "--fps", 10, "--stop-s", 0.25).stdout
    assert mentions(said, "3 pictures", "100%")
    tracked = track(film, config=TrackSettings(fps=10, stop_s=0.25))
    read = Track.read(out)
    assert tracked.times_us.tolist() == read.times_us.tolist() == [0, 100_000, 200_000]
    np.testing.assert_allclose(read.points_m, tracked.points_m, rtol=1e-5, atol=1e-6)
    assert mentions(dvspipe("track", film, "-o", out, code=2).stderr, out)


def test_documentation_example_runs(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "guides" / "infer.md"
    blocks = page.read_text(encoding="utf-8").split("```python\n")
    [block] = (block.partition("```")[0] for block in blocks if "dvspipe.track" in block)
    shutil.copy(film, tmp_path / "clip.webm")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert np.isfinite(names["arms"].right.wrist).all()
