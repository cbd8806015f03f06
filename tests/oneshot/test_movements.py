"""Page of the parts of films that show gestures, and pictures of refused films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facts import raises
from numpy.typing import NDArray
from PIL import Image

from dvspipe.base.errors import FileError, VideoError
from dvspipe.events import SensorSize
from dvspipe.oneshot import GestureFilm, write_movement_page
from dvspipe.oneshot.movements import plot_hands
from dvspipe.people import JOINTS, GesturePart, Track, write_refusal_picture, write_track_preview
from dvspipe.people.skeletons import choose_row
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

SIZE = SensorSize(width=64, height=48)
PART = GesturePart(400_000, 1_200_000, 400_000, 2, ("right",), 0, ("2 people are in the film <b>",))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Return a grey film of 2 s at 10 frames per second."""
    path = tmp_path / "wave.webm"
    write_video(path, [Frame(k * 100_000, np.full((48, 64), 10 * k, np.uint8)) for k in range(20)])
    return path


def tracked(missing: int = 4) -> Track:
    """Return a track of the film; the last pictures show no person."""
    N, J = 20, len(JOINTS)
    points_m = np.random.default_rng(0).normal(0, 0.3, (N, J, 3))
    points_px, confidence, yaw = np.full((N, J, 2), 30.0), np.full((N, J), 0.9), np.zeros(N)
    for values in (points_m, points_px, confidence, yaw):
        values[N - missing :] = np.nan
    presence = np.where(np.arange(N) < N - missing, 0.9, 0.1)
    times_us = np.arange(N, dtype=np.int64) * 100_000
    return Track(times_us, points_m, points_px, confidence, presence, yaw, np.ones(N, np.int64), SIZE)


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_page_shows_part_repetitions_and_warnings(film: Path, tmp_path: Path) -> None:
    once = GesturePart(0, 900_000, None, 1, ("right", "left"), 500_000, ())
    films = [GestureFilm("my_wave", film, tracked(), PART), GestureFilm("stop", film, tracked(), once)]
    page = write_movement_page(films, tmp_path / "page.html").read_text(encoding="utf-8")
    for fact in ("my wave", "wave.webm", "0.40", "1.20", "2 repetitions of 0.40 s", "held for 0.5 s", "right and left"):
        assert fact in page
    assert "2 people are in the film &lt;b&gt;." in page
    assert page.count("data:video/webm") == 2
    with raises(FileError, "page.png"):
        write_movement_page(films, tmp_path / "page.png")


def test_video_of_a_part_has_its_frames(film: Path, tmp_path: Path) -> None:
    path = write_track_preview(tracked(), film, tmp_path / "part.webm", part_us=(400_000, 1_200_000))
    shown = list(open_video(path).frames())
    assert len(shown) == 9
    assert shown[0].image[:8, :8].mean() < shown[-1].image[:8, :8].mean()


def test_chart_shades_the_part() -> None:
    for axes in plot_hands(tracked(), PART).axes:
        assert axes.get_xlim() == pytest.approx((0, 1.9))
        (shaded,) = axes.patches
        assert shaded.get_extents().transformed(axes.transData.inverted()).intervalx == pytest.approx((0.4, 1.2))
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        assert marks == pytest.approx([0.4, 0.8, 1.2])


def test_refusal_picture_shows_frame_skeleton_and_reason(film: Path, tmp_path: Path) -> None:
    reason = "wave.webm: shows no hands (found 0 %, expected 40 % or more)"
    path = write_refusal_picture(film, tracked(), reason, tmp_path / "why.png")
    shown = read(path)
    assert shown.shape[1] == 480
    assert np.ptp(shown[:240, 80:400].astype(int)) > 50  # joints on a grey frame
    assert (shown[240:].min(axis=(1, 2)) < 120).any()  # dark text on a light strip
    longer = write_refusal_picture(film, None, reason * 5, tmp_path / "why2.png")
    assert len(read(longer)) > len(shown)
    with raises(FileError, "why.jpg"):
        write_refusal_picture(film, None, reason, tmp_path / "why.jpg")


def test_refusal_picture_of_another_film_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "short.webm", [Frame(k * 130_000, np.zeros((48, 64), np.uint8)) for k in range(3)])
    with raises(VideoError, "short.webm"):
        write_refusal_picture(tmp_path / "short.webm", tracked(), "too short", tmp_path / "why.png")


def test_most_telling_picture_is_in_the_majority() -> None:
    assert choose_row(tracked(missing=4)) == 8
    assert choose_row(tracked(missing=16)) == 12
