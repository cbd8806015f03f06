from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import limit_files
from facts import raises
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dvspipe.base.errors import FileError, VideoError
from dvspipe.events import Region, SensorSize
from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.times import read_times
from dvspipe.video.writing import write_video


def save_images(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"im{number}.png"), np.full((7, 12), 10 * number, np.uint8))


def write_clip(path: Path, count: int = 8) -> list[np.ndarray]:
    images = [np.full((32, 48), 20 * number, np.uint8) for number in range(count)]
    write_video(path, frames_from_arrays(images, fps=50))
    return images


def test_images_in_a_folder_are_sorted_numerically(tmp_path: Path) -> None:
    save_images(tmp_path, 12)
    (tmp_path / "notes.txt").write_text("no image")
    video = open_video(tmp_path, VideoSettings(fps=10))
    frames = list(video.frames())
    assert [frame.image[0, 0] for frame in frames] == [10 * number for number in range(12)]
    assert [frame.t_us for frame in frames] == [100_000 * number for number in range(12)]
    assert (str(video.size), video.frame_count) == ("12x7", 12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_luma_rounded_to_integers(dtype: type) -> None:
    """The formula of docs/concepts/simulator.md, which the simulator's independent implementations need."""
    colours = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 70, 120, 3), endpoint=True).astype(dtype)
    expected = (colours.astype(np.int64) @ [9798, 19235, 3735] + 16384) // 32768
    frames = open_video(colours, VideoSettings(fps=30)).frames()
    np.testing.assert_array_equal([frame.image for frame in frames], expected)


def test_pixel_types_of_images_and_arrays(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((7, 12), 40_000, np.uint16))
    assert next(open_video(tmp_path).frames()).image.dtype == np.uint16
    floats = np.random.default_rng(0).random((3, 7, 12))
    (first, *_) = open_video(floats, VideoSettings(fps=30)).frames()
    assert np.array_equal(first.image, floats[0].astype(np.float32))
    with raises(VideoError, "range"):
        open_video(255 * floats, VideoSettings(fps=30))
    assert open_video(255 * floats, VideoSettings(fps=30, transfer="linear")).size.width == 12


def test_written_video_round_trips_times_and_images(tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    images = write_clip(path)
    frames = list(open_video(path).frames())
    assert [frame.t_us for frame in frames] == [20_000 * number for number in range(8)]
    assert np.abs(np.stack([frame.image for frame in frames]).astype(int) - images).max() <= 6  # VP8 is lossy
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_sources_are_errors_of_one_line(tmp_path: Path) -> None:
    contents = {
        "text.mp4": b"no video",
        "empty.mp4": b"",
        "a.mp4": b"\0\0\0\x20ftypisom",
        "a.webm": b"\x1a\x45\xdf\xa3",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "missing.mp4", ""):
        with raises(VideoError, str(tmp_path / name)):
            open_video(tmp_path / name)
    save_images(tmp_path / "images", 2)
    _, small = cv2.imencode(".png", np.zeros((5, 5), np.uint8))
    for content, message in ((b"\x89PNG broken", "im9.png"), (small.tobytes(), ("frame 2", "5x5"))):
        (tmp_path / "images" / "im9.png").write_bytes(content)
        with raises(VideoError, message):
            list(open_video(tmp_path / "images").frames())
    for transfer in ("rec2020", "gamma=0"):
        with raises(VideoError, transfer, "srgb", "gamma=x"):
            open_video(tmp_path / "images", VideoSettings(transfer=transfer))


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode on other systems")
def test_file_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.mp4")
    path.write_bytes(b"x")
    with raises(VideoError, "UTF-8"):
        open_video(path)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("bikes.mp4", (250, 40_000, "640x272")),
        ("carphone_pristine.mp4", (120, 33_367, "176x144")),
        ("newtonscradle.gif", (36, 50_000, "200x150")),
        ("walk.mkv", (89, 33_000, "640x480")),
    ],
)
def test_real_videos_have_known_frames_and_times(test_data: Path, name: str, facts: tuple[int, int, str]) -> None:
    video = open_video(test_data / "video" / name)
    times = [frame.t_us for frame in video.frames()]
    assert (len(times), times[1], str(video.size)) == facts


@given(st.integers(0, 30), st.integers(1, 30))
def test_only_frames_from_start_to_stop_are_read(start: int, length: int) -> None:
    stop = start + length
    settings = VideoSettings(start_s=start / 50, stop_s=stop / 50, fps=50)
    images = np.zeros((25, 7, 12), np.uint8)
    video = open_video(images, settings)
    expected = [20_000 * number for number in range(start, min(stop, 25))]
    if start < 25:
        assert [frame.t_us for frame in video.frames()] == expected
        assert video.estimate_selected() == len(expected)
    else:
        with raises(VideoError, "0.48 s"):
            list(video.frames())


def test_crop_and_resize_are_applied() -> None:
    image = np.arange(84, dtype=np.uint8).reshape(7, 12)
    video = open_video(image[None], VideoSettings(fps=10, crop="4x6+3+1", resize="2x3"))
    (frame,) = video.frames()
    assert str(video.size) == "2x3"
    assert np.abs(frame.image - image[1:7, 3:7].reshape(3, 2, 2, 2).mean((1, 3))).max() <= 0.5
    with raises(VideoError, "4x6+9+1", "12x7"):
        open_video(image[None], VideoSettings(fps=10, crop="4x6+9+1"))


@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 300), st.integers(1, 300))
def test_sensor_shows_the_middle_of_a_video(width: int, height: int, columns: int, rows: int) -> None:
    video = open_video(np.zeros((1, height, width), np.uint8), VideoSettings(fps=10))
    settings = video.shown_on(SensorSize(width=columns, height=rows)).settings
    (frame,) = open_video(np.zeros((1, height, width), np.uint8), settings).frames()
    assert frame.image.shape == (rows, columns)
    shown = Region.parse(settings.crop or f"{width}x{height}+0+0")
    assert 0 <= width - shown.size.width - 2 * shown.left <= 1
    assert 0 <= height - shown.size.height - 2 * shown.top <= 1


def test_short_film_is_repeated(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.webm", 4)
    video = open_video(tmp_path / "a.webm").repeated(200_000)
    assert [frame.t_us for frame in video.frames()] == [20_000 * number for number in range(12)]


@given(st.lists(st.integers(1, 10**13), min_size=3), st.sampled_from([("us", 1), ("ms", 1000)]))
def test_frame_times_are_read_exactly(tmp_path: Path, steps: list[int], unit: tuple[str, int]) -> None:
    times = np.cumsum(steps).tolist()
    rows = [f"{time_}, im{number}.png" for number, time_ in enumerate(times)]
    (tmp_path / "times.txt").write_text("\n".join(["#time,name", *rows]))
    name, factor = unit
    assert read_times(tmp_path / "times.txt", name) == tuple(time_ * factor for time_ in times)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.0\n0.0100004\n0.5\n", None, [0, 10_000, 500_000]),
        ("# truth\n0.1 rgb/im0.png\n0.2 im1.png\n3 im2.png", "s", [100_000, 200_000, 3_000_000]),
        ("timestamp,filename\r\n1403636579763555584, a\r\n1403636579763557584, b\r\n1403636579763559584,c", "ns", None),
        ("0.0\n0.1\n", None, ("times.txt", "2", "3")),
        ("0.0\n0.2\n0.1\n", None, ("line 3", "100000", "200000")),
        ("0.0\n0,1\n0.2\n", None, ("line 2", "0,1")),
        ("0.0 1e3\n", None, ("line 1", "0.0 1e3")),
        ("0.0\n0.1\n0.2 s\nend\n", None, ("line 4", "end")),
        ("t x\nt x\n0.0\n", None, ("line 2", "t x")),
        ("0.0\nnan\n0.2\n", None, ("line 2", "nan")),
        ("-0.04\n0.0\n0.04\n", None, ("line 1", "-0.04", "0 or more")),
        ("0.0\n0.1\n1.5e99999999999", None, ("line 3", "1.5e99999999999")),
        ("+0.0e+00\n4.00004e-02\n\n# pause\n1.e0", None, [0, 40_000, 1_000_000]),
        ("0e0\n4e4\n1e5", "us", [0, 40_000, 100_000]),
        ("0.0e0\n4.0e4\n1.0e5", None, ("line 1", "time_unit")),
        ("0.0\n1e0\n2.0", None, ("line 2", "time_unit")),
        ("0\n100\n200\n", None, ("line 1", "time_unit")),
        ("0.0 im0.png\n0.1 im2.png\n0.2 im1.png\n", None, ("line 2", "im2.png", "im1.png")),
    ],
)
def test_times_of_image_folders(tmp_path: Path, text: str, unit: Any, expected: Any) -> None:
    save_images(tmp_path / "images", 3)
    (tmp_path / "times.txt").write_text(text, encoding="utf-8")
    settings = VideoSettings(timestamps=tmp_path / "times.txt", time_unit=unit)
    if isinstance(expected, tuple):
        with raises(VideoError, expected):
            open_video(tmp_path / "images", settings)
    else:
        times = [frame.t_us for frame in open_video(tmp_path / "images", settings).frames()]
        assert times == (expected or [1_403_636_579_763_556 + 2 * number for number in range(3)])


@pytest.mark.parametrize(("form", "unit"), [("%.18e", None), ("%.7f", None), ("% .9E", None), ("%g", "s")])
def test_times_written_by_numpy_are_read(tmp_path: Path, form: str, unit: str | None) -> None:
    times_us = 40_000 * np.arange(30) + 8
    np.savetxt(tmp_path / "times.txt", times_us / 1e6, fmt=form, header="time")
    expected = [round(Decimal(form % time_s) * 10**6) for time_s in times_us / 1e6]
    assert read_times(tmp_path / "times.txt", unit) == tuple(expected)


def test_image_folder_times_are_used_unless_fps_is_set(tmp_path: Path) -> None:
    save_images(tmp_path, 3)
    (tmp_path / "timestamps.txt").write_text("0.0\n0.25\n0.75\n")
    assert [frame.t_us for frame in open_video(tmp_path).frames()] == [0, 250_000, 750_000]
    assert [frame.t_us for frame in open_video(tmp_path, VideoSettings(fps=10)).frames()] == [0, 100_000, 200_000]
    with raises(FileError, "/dev/zero", "too large"):
        open_video(tmp_path, VideoSettings(timestamps=Path("/dev/zero"), time_unit="s"))


def test_number_of_times_must_match_the_frames_of_a_video(tmp_path: Path) -> None:
    path, times = tmp_path / "clip.webm", tmp_path / "clip.txt"
    write_clip(path, 4)
    for count in (3, 4, 5):
        times.write_text("\n".join(f"{n / 10}" for n in range(count)))
        video = open_video(path, VideoSettings(timestamps=times))
        if count == 4:
            assert [frame.t_us for frame in video.frames()] == [0, 100_000, 200_000, 300_000]
        else:
            with raises(VideoError, count, "4", "clip.webm"):
                list(video.frames())


def test_array_is_read_as_a_video() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
    frames = list(open_video([*array], VideoSettings(fps=1000)).frames())
    assert [frame.t_us for frame in frames] == [0, 1000, 2000, 3000, 4000]
    assert np.array_equal(np.stack([frame.image for frame in frames]), array)
    with raises(VideoError, "fps"):
        open_video(array)
    for wrong in (array[0], array[:0], array.astype(np.int32), [array[0], array[1, 1:]]):
        with raises(VideoError, "[T, H, W]"):
            open_video(wrong, VideoSettings(fps=30))


@pytest.mark.parametrize("white", [np.uint8(255), np.uint16(65535), np.float32(1)])
def test_colour_array_is_rgb(white: Any) -> None:
    colours = np.zeros((3, 7, 12, 3), white.dtype)
    for number in range(3):
        colours[number, :, :, number] = white
    pictures = open_video(colours, VideoSettings(fps=30)).pictures()
    assert [picture[0, 0].tolist() for _, picture in pictures] == (255 * np.eye(3, dtype=int)).tolist()


class FakeCamera:
    """Replacement for cv2.VideoCapture: camera 2 delivers increasing grey values; other cameras do not exist."""

    def __init__(self, index: int) -> None:
        self.there, self.number = index == 2, -1

    def grab(self) -> bool:
        time.sleep(0.001)
        self.number += 1
        return self.there

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((7, 12, 3), self.number % 256, np.uint8)

    def release(self) -> None: ...


def test_camera_frames_are_timed_by_the_clock_until_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    monkeypatch.chdir(tmp_path)
    for source in (2, "2", Path("2")):
        video = open_video(source, VideoSettings(stop_s=0.05, resize="6x4"))
        times = [frame.t_us for frame in video.frames()]
        assert (times[0], video.frame_count, str(video.size), video.name) == (0, 0, "6x4", "camera 2")
        assert 2 <= len(times) <= 50
        assert all(after > before for before, after in pairwise(times))
        assert times[-1] < 50_000
    with raises(VideoError, "camera 3"):
        open_video(3)
    with raises(VideoError, "camera 2", "fps"):
        open_video(2, VideoSettings(fps=30))
    save_images(tmp_path / "2", 3)
    assert open_video("2").frame_count == 3  # a folder with this name is no camera


def test_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 48, 64), np.uint8)
    with limit_files(20_000), raises(FileError, "a.webm", 40):
        write_video(tmp_path / "a.webm", frames_from_arrays(images, fps=30))
    assert list(tmp_path.iterdir()) == []


def test_videos_written_at_the_same_time_leave_stderr_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, second_begins, open_writer = itertools.count(), threading.Event(), cv2.VideoWriter

    class SlowWriter:
        """Replacement for cv2.VideoWriter: the first one waits for the second, and ends before it."""

        fourcc = open_writer.fourcc

        def __new__(cls, *arguments: Any) -> Any:
            if next(numbers) == 0:
                second_begins.wait(0.5)
            else:
                second_begins.set()
                time.sleep(0.3)
            return open_writer(*arguments)

    monkeypatch.setattr(cv2, "VideoWriter", SlowWriter)
    before = os.fstat(2)
    with ThreadPoolExecutor() as pool:
        list(pool.map(write_clip, [tmp_path / "a.webm", tmp_path / "b.webm"]))
    assert os.path.samestat(os.fstat(2), before)


def test_libraries_print_nothing(tmp_path: Path) -> None:
    code = """
from contextlib import suppress
from pathlib import Path
import numpy as np
from dvspipe.base.errors import VideoError
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

write_video(Path("a.webm"), frames_from_arrays(np.zeros((8, 32, 48), np.uint8), fps=50))
Path("b.webm").write_bytes(Path("a.webm").read_bytes()[:-200])
for source in ("a.webm", "b.webm", 99):
    with suppress(VideoError):
        list(open_video(source).frames())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_animated_image_is_read_as_a_video(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((7, 12, 3), 60 * number, np.uint8)) for number in range(4)]
    for name in ("a.png", "a.gif"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=40)
        frames = list(open_video(tmp_path / name).frames())
        assert [frame.t_us for frame in frames] == [0, 40_000, 80_000, 120_000]
        assert [int(frame.image[3, 6]) for frame in frames] == pytest.approx([0, 60, 120, 180], abs=3)


def test_file_names_like_addresses_open_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = Path(f"tcp:127.0.0.1:{server.getsockname()[1]}.mp4")
        path.write_bytes(b"no video")
        server.setblocking(False)
        with suppress(VideoError):
            open_video(path)
        with pytest.raises(BlockingIOError):
            server.accept()
