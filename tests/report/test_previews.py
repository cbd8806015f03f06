"""Previews, read back by independent libraries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from test_pages import webm_pictures

from dvspipe.base.errors import EventError, FileError
from dvspipe.events import Events, SensorSize
from dvspipe.report import PreviewSettings, write_preview
from dvspipe.report.painter import EventPainter, paint
from dvspipe.report.previews import find_clock
from dvspipe.report.style import EVENT_PALETTES
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

SENSOR = SensorSize(width=12, height=7)
SCALE = 10  # of 12 pixels to 120
STRIP = 26  # line of text above the pixels
SIZE = (12 * SCALE, 7 * SCALE + STRIP)
SETTINGS = PreviewSettings(window_us=10_000, side_px=120)
RED, BLUE, WHITE = (214, 31, 38), (31, 95, 191), (255, 255, 255)


@pytest.fixture
def events() -> Events:
    """Three windows: four ON at (3, 1), four OFF at (5, 2) and four of both at (8, 3); no events; one ON at (0, 0)."""
    rows = [(t, x, y, p) for t in range(0, 4000, 1000) for x, y, p in ((3, 1, 1), (5, 2, 0), (8, 3, 1), (8, 3, 0))]
    t, x, y, p = np.array([*rows, (29_999, 0, 0, 1)]).T + np.array([[1_000_000], [0], [0], [0]])
    return Events(t, x, y, p, SENSOR)


def pixel(image: Any, x: int, y: int) -> tuple[int, ...]:
    """Return the colour at the centre of a sensor pixel in an enlarged RGB picture."""
    return tuple(int(value) for value in np.asarray(image)[STRIP + y * SCALE + SCALE // 2, x * SCALE + SCALE // 2])


def gif_pictures(path: Path) -> list[Any]:
    with Image.open(path) as image:
        return [np.asarray(picture.convert("RGB")) for picture in ImageSequence.Iterator(image)]


@pytest.mark.parametrize(
    ("name", "read", "tolerance"),
    [("a.gif", gif_pictures, 0), ("a.webm", webm_pictures, 30), ("a.mp4", webm_pictures, 30)],
)
def test_preview_shows_one_picture_per_window_in_polarity_colours(
    tmp_path: Path, events: Events, name: str, read: Any, tolerance: int
) -> None:
    pictures = read(write_preview([events], SENSOR, tmp_path / name, SETTINGS))
    assert [picture.shape[1::-1] for picture in pictures] == [SIZE] * 3
    seen = [pixel(pictures[0], 3, 1), pixel(pictures[0], 5, 2), pixel(pictures[0], 8, 3), pixel(pictures[1], 3, 1)]
    assert np.abs(np.subtract(seen, [RED, BLUE, WHITE, WHITE])).max() <= tolerance
    pale_red = np.add(WHITE, 0.6 * np.subtract(RED, WHITE)).round()  # one event
    assert np.abs(pixel(pictures[2], 0, 0) - pale_red).max() <= tolerance
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_gif_loops_without_drift_of_durations(tmp_path: Path) -> None:
    t = np.arange(0, 1_000_000, 1000)
    events = Events(t, t % 12, t % 7, t % 2, SENSOR)
    path = write_preview([events], SENSOR, tmp_path / "a.gif", PreviewSettings(side_px=16))
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        durations = [picture.info["duration"] for picture in ImageSequence.Iterator(image)]
    assert set(durations) == {30, 40}
    assert sum(durations) == pytest.approx(len(durations) * 33.333, abs=5)


@pytest.mark.parametrize("length_us", [1000, 5000])
@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_preview_does_not_depend_on_chunk_size(tmp_path: Path, events: Events, length_us: int, suffix: str) -> None:
    parts = (events.between(start, start + length_us) for start in range(1_000_000, 1_030_000, length_us))
    span = (int(events.t[0]), int(events.t[-1]))
    complete = write_preview([events], SENSOR, tmp_path / f"complete{suffix}", SETTINGS)
    streamed = write_preview(parts, SENSOR, tmp_path / f"parts{suffix}", SETTINGS, span_us=span)
    assert streamed.read_bytes() == complete.read_bytes()


def test_preview_has_a_dark_background_on_request(tmp_path: Path, events: Events) -> None:
    settings = PreviewSettings(window_us=10_000, colours="dark", side_px=120)
    picture = gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))[0]
    palette = EVENT_PALETTES["dark"]
    assert [pixel(picture, *at) for at in ((3, 1), (5, 2), (0, 6))] == [palette.on, palette.off, palette.background]


@pytest.mark.parametrize(
    ("name", "read"), [("a.gif", gif_pictures), ("a.webm", webm_pictures), ("a.png", gif_pictures)]
)
def test_preview_without_events_is_a_blank_picture(tmp_path: Path, name: str, read: Any) -> None:
    for chunks in ([], [Events.empty(SENSOR)]):
        assert len(read(write_preview(chunks, SENSOR, tmp_path / name, SETTINGS))) == 1


def test_sides_are_reduced_by_integer_factors_and_are_even() -> None:
    for size, side_px, shape in (("347x261", 200, (261, 347)), ("347x261", 100, (131, 174)), ("12x7", 100, (63, 108))):
        sensor = SensorSize.parse(size)
        settings = PreviewSettings(side_px=side_px)
        painter = EventPainter(sensor, settings)
        assert painter.draw_pixels(None, 0).shape == (*shape, 3)
        height, width, _ = painter.draw(None, 0, 0).shape
        assert (height % 2, width % 2) == (0, 0)
        assert (height > shape[0], width - shape[1]) == (True, shape[1] % 2)


@given(st.floats(-1, 1), st.sampled_from(["light", "dark"]))
def test_colours_are_mixed_from_the_background_to_the_polarity(strength: float, colours: Any) -> None:
    palette = EVENT_PALETTES[colours]
    full = palette.on if strength > 0 else palette.off
    expected = [a + abs(strength) * (b - a) for a, b in zip(palette.background, full, strict=True)]
    assert paint(np.array([[strength]]), palette)[0, 0] == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize("name", ["a.avi", "a", "a.h5"])
def test_unknown_preview_suffix_lists_the_supported_ones(tmp_path: Path, events: Events, name: str) -> None:
    with raises(FileError, name, ".webm", ".mp4", ".gif", ".png"):
        write_preview([events], SENSOR, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_failed_preview_leaves_the_folder_unchanged(tmp_path: Path, events: Events, name: str) -> None:
    (tmp_path / name).write_text("before")

    def broken() -> Iterator[Events]:
        yield events
        raise RuntimeError("the recording ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        write_preview(broken(), SENSOR, tmp_path / name, SETTINGS)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_chunk_of_another_sensor_is_an_error(tmp_path: Path) -> None:
    with raises(EventError, "13x7", "12x7"):
        write_preview([Events.empty(SensorSize(width=13, height=7))], SENSOR, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("settings", "pictures", "fps"),
    [({"speed": 2, "fps": 20}, 10, 20), ({"speed": 0.25, "window_us": 50_000}, 20, 5)],
)
def test_pictures_of_a_second_follow_speed_and_fps(
    tmp_path: Path, settings: dict[str, Any], pictures: int, fps: float
) -> None:
    events = random_events(0, 1000, span_us=1_000_000)
    path = write_preview([events], SENSOR, tmp_path / "a.webm", PreviewSettings(side_px=16, **settings))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == pictures
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=0.01)


def test_long_pause_is_shortened(tmp_path: Path) -> None:
    events = Events([0, 3_600_000_000], [0, 1], [0, 0], [1, 1], SENSOR)
    settings = PreviewSettings(window_us=100_000, side_px=16)
    assert len(gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))) in (12, 13)


def test_video_is_shown_beside_the_events(tmp_path: Path, events: Events) -> None:
    """The video is dark for the first 15 ms of the recording, then bright."""
    greys = [20 if 5000 * k < 1_015_000 else 235 for k in range(206)]
    write_video(
        tmp_path / "v.webm", [Frame(5000 * k, np.full((14, 24), grey, np.uint8)) for k, grey in enumerate(greys)]
    )
    path = write_preview([events], SENSOR, tmp_path / "a.gif", SETTINGS, beside=tmp_path / "v.webm")
    pictures = gif_pictures(path)
    assert pictures[0].shape[1] == 2 * 12 * SCALE
    assert pictures[0][60, 40].mean() < 40
    assert pictures[2][60, 40].mean() > 210
    wide = pictures[0][:, -12 * SCALE :]
    assert pixel(wide, 3, 1) == RED
    assert pixel(wide, 5, 2) == BLUE


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_video_beside_the_events_keeps_its_colours(name: str, tmp_path: Path, events: Events) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.new("RGB", (24, 14), (200, 60, 20)).save(tmp_path / "frames" / f"{number}.png")
    path = write_preview([events], SENSOR, tmp_path / name, SETTINGS, beside=tmp_path / "frames")
    picture = webm_pictures(path)[0]  # OpenCV also reads the others
    assert picture[60:90, 40:90].mean(axis=(0, 1)) == pytest.approx((200, 60, 20), abs=15)


def test_preview_of_a_part_shows_recording_times(tmp_path: Path) -> None:
    events, span_us = random_events(0, 900, span_us=300_000), (3_000_000, 3_300_000)
    part = events.shift_time(3_000_000)
    for name in ("a.gif", "a.png"):
        begin = write_preview([events], SENSOR, tmp_path / name, SETTINGS, span_us=(0, 300_000)).read_bytes()
        for zero_us in span_us[0], 0:
            path = write_preview([part], SENSOR, tmp_path / name, SETTINGS, span_us=span_us, zero_us=zero_us)
            assert (path.read_bytes() == begin) == (zero_us > 0)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30, unique=True), st.floats(0.1, 10))
def test_clock_rises_with_playing_time_and_ends_at_the_last_picture(ends_us: list[int], speed: float) -> None:
    settings = PreviewSettings(fps=20, speed=speed)
    clock = find_clock(sorted(ends_us), settings, 0)
    playing, shown = np.array(clock).T
    assert np.diff(playing) == pytest.approx(0.05)
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == pytest.approx(max(ends_us) / 1e6)
