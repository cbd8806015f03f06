"""Automatic region of interest in pictures larger than the network's sensor."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import as_tuples, divide, random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from PIL import Image

from dvspipe.base.errors import EventError
from dvspipe.events import Events, Region, SensorSize, concatenate, merge_streams
from dvspipe.formats import write
from dvspipe.framing import FramingConfig
from dvspipe.framing.fitting import fit_events, start_fit
from dvspipe.framing.framing import Framing, RegionTrack, find_framing, follow_events, plan_following
from dvspipe.framing.opening import open_source
from dvspipe.report.config import PreviewSettings
from dvspipe.report.painter import Box, Caption, EventPainter
from dvspipe.report.style import LIGHT
from dvspipe.synthesis import GestureClip, record_gesture
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

LARGE = SensorSize(width=240, height=180)
TARGET = SensorSize(width=32, height=24)
SIZE = SensorSize(width=30, height=40)  # moving object


def moving_object(left: int, top: int, *, seconds: float = 2.0, seed: int = 0, factor: int = 1) -> Events:
    """Create events of a moving object, scaled by `factor`, with its upper left corner at (left, top)."""
    events = random_events(seed, round(40_000 * seconds), SIZE, span_us=round(seconds * 1e6))
    block = np.arange(factor)
    t = np.repeat(events.t, factor**2)
    x = (factor * events.x[:, None] + np.tile(block, factor)).ravel() + left
    y = (factor * events.y[:, None] + np.repeat(block, factor)).ravel() + top
    return Events(t, x, y, np.repeat(events.p, factor**2), LARGE)


def with_noise(events: Events, rate_hz: float, seed: int = 1) -> Events:
    """Add uniform noise to events."""
    span_us = int(events.t[-1]) + 1
    noise = random_events(seed, round(rate_hz * LARGE.width * LARGE.height * span_us * 1e-6), LARGE, span_us)
    return concatenate(merge_streams([[events], [noise]]), LARGE)


def framing_of(events: Events, target: SensorSize = TARGET) -> Framing:
    found = find_framing([events], events.sensor, target)
    assert found is not None
    return found


def follow(parts: list[Events], framing: Framing) -> Events:
    """Fit parts of a recording, and crop them to the moving region."""
    fit, track = plan_following(framing)
    state = start_fit(fit)
    framed = []
    for part in parts:
        fitted, state = fit_events(part, fit, state)
        framed.append(follow_events(fitted, track))
    return concatenate(framed, TARGET)


def frame_events(events: Events, target: SensorSize) -> Events:
    return concatenate(open_source(events, target, FramingConfig(roi="auto")).read_fitted(), target)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (20, 100), (210, 140)])
def test_motion_is_centred_anywhere_in_the_picture(left: int, top: int) -> None:
    """The region extends beyond the picture if the object is at the edge."""
    found = framing_of(moving_object(left, top))
    centre = found.center[0] - (left, top)
    np.testing.assert_allclose(centre, framing_of(moving_object(100, 70)).center[0] - (100, 70), atol=2.5)
    assert found.zoom == pytest.approx(framing_of(moving_object(100, 70)).zoom, rel=0.1)


def test_region_grows_with_the_moving_object() -> None:
    one, two = framing_of(moving_object(80, 60)), framing_of(moving_object(80, 60, factor=2))
    assert one.zoom == pytest.approx(2 * two.zoom, rel=0.25)
    np.testing.assert_allclose(two.center[0] - (80, 60), 2 * (one.center[0] - (80, 60)), atol=12)


@pytest.mark.parametrize(("label", "left", "top"), [(9, 20, 100)])
def test_a_person_of_a_training_clip_is_shown_as_in_the_clip(label: int, left: int, top: int) -> None:
    """Except for the margin by which camera and place vary from clip to clip."""
    clip = record_gesture(GestureClip(label, person=3, clip=0, seed=0))
    sensor = SensorSize(width=320, height=240)
    found = find_framing([Events(clip.t, clip.x + left, clip.y + top, clip.p, sensor)], sensor, clip.sensor)
    assert found is not None
    assert 0.6 < found.zoom < 2.1
    np.testing.assert_allclose(found.center[0], (left + 64, top + 64), atol=48)


@pytest.mark.parametrize("rate_hz", [0.05, 0.5])
def test_framing_is_robust_to_noise_and_hot_pixels(rate_hz: float) -> None:
    events = moving_object(150, 90)
    clean, noisy = framing_of(events), framing_of(with_noise(events, rate_hz))
    assert noisy.zoom == pytest.approx(clean.zoom, rel=0.25)
    np.testing.assert_allclose(noisy.center[0], clean.center[0], atol=8)
    t = np.arange(0, 2_000_000, 100)
    hot = Events(t, np.full(t.size, 3), np.full(t.size, 170), t % 2, LARGE)
    both = concatenate(merge_streams([[events], [hot]]), LARGE)
    np.testing.assert_allclose(framing_of(both).center[0], clean.center[0], atol=0.5)


def test_walking_person_is_followed_and_person_in_place_is_not() -> None:
    stays = concatenate([moving_object(100, 70, seed=k).shift_time(2_000_000 * k) for k in range(10)], LARGE)
    assert len(framing_of(stays).track().t_us) == 1
    walks = concatenate([moving_object(12 * k, 70, seed=k).shift_time(2_000_000 * k) for k in range(15)], LARGE)
    found = framing_of(walks)
    track = found.track()
    assert len(track.t_us) > 5
    assert (np.diff(track.left) > 0).all()
    middle = track.left[np.searchsorted(track.t_us, 15_000_000, side="right") - 1] + track.size.width / 2
    assert middle == pytest.approx(12 * 7 + 15, abs=0.2 * track.size.width)
    framed = follow([walks], found)
    columns = [np.median(framed.between(k * 2_000_000, (k + 1) * 2_000_000).x) for k in range(2, 13)]
    assert np.ptp(columns) < 0.3 * TARGET.width


@pytest.mark.parametrize(("left", "top"), [(190, 70), (140, 130), (200, 0)])
def test_region_shows_one_of_two_moving_objects_and_not_the_middle(left: int, top: int, tmp_path: Path) -> None:
    both = concatenate(merge_streams([[moving_object(20, 60)], [moving_object(left, top, seed=1)]]), LARGE)
    write(tmp_path / "two.h5", both)
    for name, data in (("the events", both), ("two.h5", tmp_path / "two.h5")):
        source = open_source(data, TARGET, FramingConfig())
        assert [mentions(warning, name, "several", "roi") for warning in source.warnings] == [True]

    alone = [framing_of(moving_object(*corner)) for corner in ((20, 60), (left, top))]
    found = framing_of(both)
    distances = [np.abs(found.center - one.center[0]).max() for one in alone]
    assert min(distances) < 4
    assert found.zoom == pytest.approx(alone[int(np.argmin(distances))].zoom, rel=0.1)


def test_region_shows_the_larger_of_two_moving_objects() -> None:
    small, large = moving_object(10, 20), moving_object(170, 60, factor=2, seed=1)
    found = framing_of(concatenate(merge_streams([[small], [large]]), LARGE))
    np.testing.assert_allclose(found.center[0], framing_of(large).center[0], atol=4)


def test_region_stays_with_one_of_two_objects_that_are_larger_in_turn() -> None:
    parts = []
    for turn, larger in enumerate((20, 190)):
        places = [(20, 70), (190, 70), (larger, 95)]
        objects = [[moving_object(*place, seconds=8, seed=turn)] for place in places]
        parts.append(concatenate(merge_streams(objects), LARGE).shift_time(8_000_000 * turn))
    center = framing_of(concatenate(parts, LARGE)).center
    assert np.abs(center[:, 0] - 35).max() < 15


def test_film_of_two_people_apart_shows_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.people.films.track_person", lambda _: None)
    frames = []
    for number in range(40):
        image = np.full((300, 400), 60, np.uint8)
        for left in (20, 330):
            at = left + round(42 * abs((number % 20) / 10 - 1))
            image[100:150, at : at + 8] = 200
        frames.append(Frame(33_333 * number, image))
    write_video(tmp_path / "two.webm", frames)
    source = open_source(tmp_path / "two.webm", TARGET, FramingConfig())
    assert [mentions(warning, "two.webm", "several", "roi") for warning in source.warnings] == [True]
    for look in source.looked_at:
        assert min(abs(look.left + look.width / 2 - middle) for middle in (45, 355)) < 25


def test_one_person_is_one_thing() -> None:
    for label in (1, 7, 8):
        clip = record_gesture(GestureClip(label, person=2, clip=2, seed=5, duration_us=1_000_000))
        assert open_source(clip, TARGET, FramingConfig(roi="auto")).warnings == ()


@functools.cache
def framed_walk() -> tuple[Events, Framing, Events]:
    """Return events of a moving object in noise, their framing, and the framed events."""
    events = with_noise(concatenate([moving_object(40, 30), moving_object(90, 60).shift_time(2_000_000)], LARGE), 0.1)
    return events, framing_of(events), frame_events(events, TARGET)


@limits(max_examples=20)
@given(places=st.lists(st.integers(0, 10**6), max_size=5))
def test_framing_is_independent_of_stream_division(places: list[int]) -> None:
    events, expected, complete = framed_walk()
    found = find_framing(divide(events, places), LARGE, TARGET)
    assert found is not None
    np.testing.assert_array_equal(found.center, expected.center)
    assert found.zoom == expected.zoom
    assert follow(divide(events, places), expected) == complete


def test_events_follow_the_track_at_its_times() -> None:
    size = SensorSize(width=4, height=3)
    track = RegionTrack(size, np.array([0, 100, 200]), np.array([0, 2, -1]), np.array([0, 1, 5]))
    events = random_events(0, 300, SensorSize(width=12, height=7), 300).shift_time(-50)
    expected = []
    for t, x, y, p in as_tuples(events):  # the first position also applies before its time
        left, top = (0, 0) if t < 100 else (2, 1) if t < 200 else (-1, 5)
        if 0 <= x - left < 4 and 0 <= y - top < 3:
            expected.append((t, x - left, y - top, p))
    found = follow_events(events, track)
    assert (as_tuples(found), found.sensor) == (expected, size)


def test_complete_picture_is_used_without_motion() -> None:
    for events in (random_events(0, 5000, LARGE, 2_000_000), Events.empty(LARGE)):
        assert find_framing([events], LARGE, TARGET) is None
        source = open_source(events, TARGET, FramingConfig())
        assert [(look.t_us, str(look)) for look in source.looked_at] == [(None, "240x180+0+0")]
        complete = open_source(events, TARGET, FramingConfig(fit="scale"))
        assert concatenate(source.read_fitted(), TARGET) == concatenate(complete.read_fitted(), TARGET)


def write_bar(path: Path, region: Region, picture: SensorSize) -> None:
    """Write a video of a bar that moves back and forth in a region."""
    frames = []
    left, top, size = region.left, region.top, region.size
    for number in range(40):
        image = np.full((picture.height, picture.width), 60, np.uint8)
        at = left + round((size.width - 8) * abs((number % 20) / 10 - 1))
        image[top : top + size.height, at : at + 8] = 200
        frames.append(Frame(33_333 * number, image))
    write_video(path, frames)


def test_video_is_cropped_to_the_moving_person_before_simulation(tmp_path: Path) -> None:
    picture = SensorSize(width=400, height=300)
    write_bar(tmp_path / "bar.webm", Region(280, 50, SensorSize(width=60, height=60)), picture)
    source = open_source(tmp_path / "bar.webm", TARGET, FramingConfig())
    (look,) = source.looked_at
    assert look.left + look.width / 2 == pytest.approx(310, abs=8)
    assert look.top < 70
    assert look.top + look.height > 90
    framed = concatenate(source.read_fitted(), TARGET)
    assert np.median(framed.x) == pytest.approx(TARGET.width / 2, abs=4)
    assert (source.picture, source.overview.sensor) == (picture, SensorSize(width=256, height=192))
    complete = open_source(tmp_path / "bar.webm", TARGET, FramingConfig(roi="full"))
    assert [str(look) for look in complete.looked_at] == ["400x300+0+0"]
    assert complete.events.sensor == SensorSize(width=32, height=24)


@pytest.mark.parametrize("over", [{"crop": "100x80+10+20"}, {"resize": "100x80"}])
def test_video_with_crop_or_size_is_not_searched(over: dict[str, Any], tmp_path: Path) -> None:
    write_bar(tmp_path / "bar.webm", Region(20, 30, SensorSize(width=40, height=40)), SensorSize(width=160, height=120))
    config = FramingConfig(**over)
    source = open_source(tmp_path / "bar.webm", TARGET, config)
    assert [str(look) for look in source.looked_at] == ["100x80+0+0"]


def test_found_region_can_be_passed_as_roi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.people.films.track_person", lambda _: None)  # tracking takes 2 s, and finds nobody
    write_bar(tmp_path / "bar.webm", Region(0, 0, SensorSize(width=40, height=40)), SensorSize(width=160, height=120))
    found = open_source(tmp_path / "bar.webm", TARGET, FramingConfig(roi="auto"))
    (look,) = found.looked_at
    assert (look.left < 0) or (look.top < 0)
    given = open_source(tmp_path / "bar.webm", TARGET, FramingConfig(roi=str(look)))
    assert given.looked_at == found.looked_at
    there, here = (concatenate(source.read_fitted(), TARGET) for source in (found, given))
    assert len(here) == pytest.approx(len(there), rel=0.1)
    assert [here.x.mean(), here.y.mean()] == pytest.approx([there.x.mean(), there.y.mean()], abs=1)


def test_region_outside_the_video_is_rejected(tmp_path: Path) -> None:
    write_bar(tmp_path / "bar.webm", Region(0, 0, SensorSize(width=40, height=40)), SensorSize(width=160, height=120))
    for roi, found in (("0x0+1+1", "'0x0+1+1'"), ("9x9+160+1", ("9x9+160+1", "160x120"))):
        with raises(EventError, "bar.webm", found) as caught:
            open_source(tmp_path / "bar.webm", TARGET, FramingConfig(roi=roi))
        assert "sensor" not in str(caught.value)


def test_picture_shows_a_rectangle_around_the_region() -> None:
    sensor = SensorSize(width=40, height=30)
    settings = PreviewSettings(side_px=80)
    painter = EventPainter(sensor, settings, captions=lambda _: Caption("up", 0.5, Box(10, 5, 20, 100)))
    is_line = (painter.draw(None, 1000, 0)[-60:] == LIGHT.bar).all(axis=2)
    assert is_line[30, 20]
    assert is_line[30, 59]
    assert is_line[10, 40]
    assert not is_line[30, 40]
    assert not is_line[59, 40]  # the lower edge is outside


@pytest.mark.parametrize("name", ["short.gif", "short.mp4"])
def test_short_gif_is_repeated_whatever_its_name_is(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(np.roll(np.eye(32, dtype=np.uint8) * 255, 4 * k, axis=1)) for k in range(8)]
    path, size = tmp_path / name, SensorSize(width=32, height=32)
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=60, loop=0)
    source = open_source(path, size, FramingConfig(roi="full"))
    events = concatenate(source.read_fitted(), size)
    first, second = (events.between(start_us, start_us + 400_000) for start_us in (480_000, 960_000))
    assert first.shift_time(480_000) == second
    assert 2_900_000 < events.t[-1] < 3_500_000  # 3 s are 7 rounds of 0.48 s
    assert [mentions(warning, name, "0.48 s", "repeated", "3.36 s") for warning in source.warnings] == [True]


def test_film_that_is_no_gif_is_not_repeated(tmp_path: Path) -> None:
    write_bar(tmp_path / "a.webm", Region(20, 30, SensorSize(width=40, height=40)), SensorSize(width=160, height=120))
    film = (tmp_path / "a.webm").rename(tmp_path / "a.gif")
    source = open_source(film, TARGET, FramingConfig(roi="full"))
    assert source.warnings == ()
    assert concatenate(source.read_fitted(), TARGET).t[-1] < 1_400_000
