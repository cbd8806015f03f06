from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from facts import raises
from PIL import Image

from dvspipe.base.errors import ConfigError, FileError, TruncatedVideoError, VideoError
from dvspipe.video.config import VideoSettings
from dvspipe.video.files import is_video_content
from dvspipe.video.frames import Frame, frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video


def save_images(folder: Path, count: int, width: int = 12, height: int = 7) -> None:
    for number in range(count):
        cv2.imwrite(str(folder / f"im{number}.png"), np.full((height, width), 10 * number, np.uint8))


def test_images_in_a_folder_are_sorted_numerically(tmp_path: Path) -> None:
    save_images(tmp_path, 12)
    (tmp_path / "notes.txt").write_text("no image")
    video = open_video(tmp_path, VideoSettings(fps=10))
    frames = list(video.frames())
    assert [frame.image[0, 0] for frame in frames] == [10 * number for number in range(12)]
    assert [frame.t_us for frame in frames] == [100_000 * number for number in range(12)]
    assert (video.size.width, video.size.height, video.frame_count) == (12, 7, 12)


@pytest.mark.parametrize(("start_s", "stop_s"), [(0, None), (0.28, 0.56), (0.29, None), (0, 0.01), (0.5, 9), (9, 10)])
def test_selected_frames_are_counted_without_decoding(start_s: float, stop_s: float | None, tmp_path: Path) -> None:
    images, path, times = np.zeros((25, 32, 48), np.uint8), tmp_path / "clip.webm", tmp_path / "times.txt"
    write_video(path, frames_from_arrays(list(images), fps=25))
    times.write_text("".join(f"{number / 25:.3f}\n" for number in range(25)), encoding="utf-8")
    expected = sum(start_s <= number / 25 < (stop_s or 99) for number in range(25))
    for source, given in ((path, {}), (path, {"fps": 25}), (images, {"fps": 25}), (images, {"timestamps": str(times)})):
        video = open_video(source, VideoSettings(start_s=start_s, stop_s=stop_s, **given))
        assert video.estimate_selected() == expected


def test_colour_images_are_converted_to_luma(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((7, 12, 3), (10, 200, 60), np.uint8))  # blue, green, red
    cv2.imwrite(str(tmp_path / "b.png"), np.full((7, 12, 4), (10, 200, 60, 255), np.uint8))
    frames = list(open_video(tmp_path).frames())
    assert {int(frame.image[0, 0]) for frame in frames} == {round(0.299 * 60 + 0.587 * 200 + 0.114 * 10)}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_luma_rounded_to_integers(dtype: type) -> None:
    """The formula of docs/concepts/simulator.md, which the simulator's independent implementations need."""
    colours = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 70, 120, 3), endpoint=True).astype(dtype)
    expected = (colours.astype(np.int64) @ [9798, 19235, 3735] + 16384) // 32768
    frames = open_video(colours, VideoSettings(fps=30)).frames()
    np.testing.assert_array_equal([frame.image for frame in frames], expected)


def test_16_bit_images_keep_their_type(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((7, 12), 40_000, np.uint16))
    assert next(open_video(tmp_path).frames()).image.dtype == np.uint16


def test_written_video_round_trips_times_and_images(tmp_path: Path) -> None:
    images = [np.full((32, 48), 20 * number, np.uint8) for number in range(8)]
    path = tmp_path / "clip.webm"
    write_video(path, frames_from_arrays(images, fps=50))
    frames = list(open_video(path).frames())
    assert [frame.t_us for frame in frames] == [20_000 * number for number in range(8)]
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= 6  # VP8 is lossy
    assert list(tmp_path.iterdir()) == [path]


def test_error_names_a_frame_of_different_size(tmp_path: Path) -> None:
    save_images(tmp_path, 2)
    cv2.imwrite(str(tmp_path / "im7.png"), np.zeros((5, 5), np.uint8))
    with raises(VideoError, "frame 2", "5x5", "12x7"):
        list(open_video(tmp_path).frames())


def test_missing_empty_or_undecodable_video_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "fake.mp4"
    text.write_text("this is no video")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, message in (
        (tmp_path / "missing.mp4", "missing.mp4"),
        (text, text.name),
        (empty, "empty.mp4"),
        (tmp_path, tmp_path.name),
    ):
        with raises(VideoError, message):
            open_video(path)
    save_images(tmp_path, 1)
    for transfer in ("rec2020", "gamma=", "gamma=0", "gamma=x"):
        with raises(VideoError, transfer, "srgb", "bt709", "gamma=x", "linear", "log"):
            open_video(tmp_path, VideoSettings(transfer=transfer))


def test_error_names_a_corrupted_image(tmp_path: Path) -> None:
    save_images(tmp_path, 2)
    (tmp_path / "im9.png").write_bytes(b"\x89PNG broken")
    with raises(VideoError, "im9.png"):
        list(open_video(tmp_path).frames())


def test_broken_pictures_and_videos_print_nothing_and_change_no_global_level(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = cv2.utils.logging.getLogLevel(), dict(os.environ)
    save_images(tmp_path, 2)
    (tmp_path / "im9.png").write_bytes(b"\x89PNG broken")
    with raises(VideoError, "im9.png"):
        list(open_video(tmp_path).frames())
    for name, content in (("a.mp4", b"\0\0\0\x20ftypisom broken"), ("a.webm", b"\x1a\x45\xdf\xa3 broken")):
        (tmp_path / name).write_bytes(content)
        with raises(VideoError, name):
            open_video(tmp_path / name)
    assert capfd.readouterr().err == ""
    assert (cv2.utils.logging.getLogLevel(), dict(os.environ)) == before


def test_frame_size_is_width_by_height() -> None:
    assert str(Frame(0, np.zeros((7, 12), np.uint8)).size) == "12x7"


@pytest.mark.parametrize(
    ("name", "count", "second_us", "size"),
    [
        ("bikes.mp4", 250, 40_000, "640x272"),
        ("carphone_pristine.mp4", 120, 33_367, "176x144"),
        ("newtonscradle.gif", 36, 50_000, "200x150"),
        ("walk.mkv", 89, 33_000, "640x480"),
    ],
)
def test_real_videos_have_known_frames_and_times(
    test_data: Path, name: str, count: int, second_us: int, size: str
) -> None:
    times = [frame.t_us for frame in open_video(test_data / "video" / name).frames()]
    assert (len(times), times[1], str(open_video(test_data / "video" / name).size)) == (count, second_us, size)


def test_crop_resize_and_time_range_are_applied(tmp_path: Path) -> None:
    image = np.arange(84, dtype=np.uint8).reshape(7, 12)
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image + np.uint8(number))
    settings = VideoSettings(fps=10, crop="4x6+3+1", resize="2x3", start_s=0.1, stop_s=0.4)
    video = open_video(tmp_path, settings)
    frames = list(video.frames())
    assert [frame.t_us for frame in frames] == [100_000, 200_000, 300_000]
    expected = (image[1:7, 3:7] + 1).reshape(3, 2, 2, 2).mean((1, 3))
    assert str(video.size) == "2x3"
    assert np.abs(frames[0].image - expected).max() <= 0.5
    with raises(VideoError, "4x6+9+1", "12x7"):
        open_video(tmp_path, VideoSettings(crop="4x6+9+1"))


def test_truncated_video_raises_after_its_last_frame(test_data: Path, tmp_path: Path) -> None:
    content = (test_data / "video" / "walk.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    times = []
    with raises(TruncatedVideoError, "cut.mkv", f"{len(content):,}") as caught:
        times += [frame.t_us for frame in open_video(tmp_path / "cut.mkv").frames()]
    assert caught.value.at_us > 1_000_000


def same_frames(ours: list[Frame], theirs: list[Frame]) -> bool:
    return [frame.t_us for frame in ours] == [frame.t_us for frame in theirs] and all(
        np.array_equal(a.image, b.image) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("first", [0, 1, 5, 7, 8, 30])
def test_skipping_frames_does_not_change_the_rest(tmp_path: Path, first: int) -> None:
    images = [np.full((32, 48), 20 * number, np.uint8) for number in range(10)]
    path = tmp_path / "clip.webm"
    write_video(path, frames_from_arrays(images, fps=50))
    folder = tmp_path / "images"
    folder.mkdir()
    save_images(folder, 10)
    array = np.stack(images)
    settings = VideoSettings(fps=50, start_s=0.02, stop_s=0.18, resize="12x8")
    for source in (path, folder, array):
        video = open_video(source, settings)
        frames = list(video.frames())
        assert len(frames) == 8
        assert same_frames(list(video.frames(first)), frames[first:])


@pytest.mark.parametrize("name", ["carphone_pristine.mp4", "newtonscradle.gif", "walk.mkv"])
def test_skipping_frames_of_real_videos_does_not_change_the_rest(test_data: Path, name: str) -> None:
    video = open_video(test_data / "video" / name)
    assert same_frames(list(video.frames(20)), list(video.frames())[20:])


def test_skipped_images_are_not_read(tmp_path: Path) -> None:
    save_images(tmp_path, 4)
    (tmp_path / "im1.png").write_bytes(b"broken")
    assert len(list(open_video(tmp_path).frames(2))) == 2
    (tmp_path / "im3.png").unlink()
    with raises(VideoError, "im1.png"):
        list(open_video(tmp_path).frames(1))


def test_truncated_video_is_an_error_after_skipping(test_data: Path, tmp_path: Path) -> None:
    content = (test_data / "video" / "walk.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    with pytest.raises(TruncatedVideoError):
        list(open_video(tmp_path / "cut.mkv").frames(1000))


def times_of(folder: Path, text: str, **settings: Any) -> list[int]:
    path = folder.parent / "times.txt"
    path.write_text(text, encoding="utf-8")
    video = open_video(folder, VideoSettings(timestamps=str(path), **settings))
    return [frame.t_us for frame in video.frames()]


@pytest.fixture
def three_images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    save_images(folder, 3)
    return folder


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.0\n0.0100004\n0.5\n", None, [0, 10_000, 500_000]),
        ("0\n1e-3\n2e-3", None, [0, 1_000, 2_000]),
        (
            "# ground truth\n1305031102.175304 rgb/im0.png\n1305031102.2 im1.png\n1305031103 im2.png",
            None,
            [1_305_031_102_175_304, 1_305_031_102_200_000, 1_305_031_103_000_000],
        ),
        ("timestamp_ns,filename\n0,im0.png\n1500,im1.png\n3000000,im2.png\n", None, [0, 2, 3_000]),
        (
            "#timestamp [ns],filename\r\n1403636579763555584, a\r\n1403636579813555456, b\r\n"
            "1403636579863555584, c\r\n",
            None,
            [1_403_636_579_763_556, 1_403_636_579_813_555, 1_403_636_579_863_556],
        ),
        ("49599300523\n49599350497\n49599400471\n", "us", [49_599_300_523, 49_599_350_497, 49_599_400_471]),
        ("0\n33.4\n66.7\n", "ms", [0, 33_400, 66_700]),
        ("\ufeff0\n\n10\n20\n", "s", [0, 10_000_000, 20_000_000]),
    ],
)
def test_frame_times_are_read_from_a_file(three_images: Path, text: str, unit: str | None, expected: list[int]) -> None:
    assert times_of(three_images, text, time_unit=unit) == expected


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("0.0\n0.1\n", {}, ("times.txt", "2", "3")),
        ("0.0\n0.1\n0.2\n0.3\n", {}, ("times.txt", "4", "3")),
        ("", {}, ("no times", "3")),
        ("a\nb\n", {}, ("no times", "3")),
        ("0.0\n0.2\n0.1\n", {}, ("line 3", "0.1", "1")),
        ("0\n200\n400\n", {"time_unit": "ns"}, ("line 2", "200", "1")),
        ("0.0\nnan\n0.1\n", {}, ("line 2", "'nan'")),
        ("0.0\n0,1\n0.2\n", {}, ("line 2", "'0,1'")),
        ("0.0\n# pause\nlater\n0.1\n", {}, ("line 3", "'later'")),
        ("0 0.0\n1 0.1\n2 0.2\n", {}, ("line 1", "'0 0.0'")),
        ("-0.1\n0.0\n0.1\n", {}, ("line 1", "-0.1", "0")),
        ("0.0\n1e999\n0.1\n", {"time_unit": "s"}, ("line 2", "1e999", "0")),
        ("0\n100\n200\n", {}, ("times.txt", "time_unit")),
        ("0.0\n33.4\n66.7\n", {}, ("3", "66.7", "time_unit")),
        ("0.0 im0.png\n0.1 im2.png\n0.2 im1.png\n", {}, ("line 2", "im2.png", "im1.png")),
        ("0.0\n0.1\n0.2\n", {"fps": 10}, ("times.txt", "timestamps", "fps", "10")),
    ],
)
def test_invalid_file_of_times_is_an_error(
    three_images: Path, text: str, settings: dict[str, Any], message: object
) -> None:
    with raises(VideoError, message):
        times_of(three_images, text, **settings)


def test_error_names_an_unreadable_file_of_times(three_images: Path, tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("none.txt", "binary.txt", "images"):
        with raises((FileError, VideoError), name):
            open_video(three_images, VideoSettings(timestamps=str(tmp_path / name)))
    with raises(VideoError, "time_unit = ms", "timestamps"):
        open_video(three_images, VideoSettings(fps=3, time_unit="ms"))


@pytest.mark.skipif(sys.platform == "win32", reason="has no /dev/zero")
def test_endless_file_of_times_is_refused(three_images: Path) -> None:
    with raises(FileError, "/dev/zero", "too large"):
        open_video(three_images, VideoSettings(timestamps="/dev/zero"))


@pytest.mark.parametrize("name", ["timestamps.txt", "images.csv"])
def test_image_folder_times_are_used_unless_fps_is_set(three_images: Path, name: str) -> None:
    (three_images / name).write_text("0.0\n0.25\n0.75\n")
    video = open_video(three_images)
    assert [frame.t_us for frame in video.frames()] == [0, 250_000, 750_000]
    assert video.settings.timestamps == str(three_images / name)
    assert [frame.t_us for frame in open_video(three_images, VideoSettings(fps=10)).frames()] == [0, 100_000, 200_000]


def test_number_of_times_must_match_the_frames_of_a_video(tmp_path: Path) -> None:
    path, times = tmp_path / "clip.webm", tmp_path / "clip.txt"
    write_video(path, frames_from_arrays([np.full((32, 48), 20 * n, np.uint8) for n in range(4)], fps=50))
    settings = VideoSettings(timestamps=str(times))
    times.write_text("0.0\n0.1\n0.3\n0.6\n")
    assert [frame.t_us for frame in open_video(path, settings).frames(1)] == [100_000, 300_000, 600_000]
    for count in (3, 5):
        times.write_text("\n".join(f"{n / 10}" for n in range(count)))
        with raises(VideoError, count, "4", "clip.webm"):
            open_video(path, settings)


def test_array_is_read_as_a_video() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
    video = open_video(array, VideoSettings(fps=1000, crop="4x3+2+1"))
    frames = list(video.frames())
    assert [frame.t_us for frame in frames] == [0, 1000, 2000, 3000, 4000]
    assert np.array_equal(np.stack([frame.image for frame in frames]), array[:, 1:4, 2:6])
    assert (str(video.size), video.frame_count) == ("4x3", 5)
    with raises(VideoError, "fps"):
        open_video(array)
    for wrong in (array[0], array[:0], array.astype(np.int32), np.stack([array] * 2, axis=3)):
        with raises(VideoError, "[T, H, W]"):
            open_video(wrong, VideoSettings(fps=30))


def test_float64_array_is_read_as_float32() -> None:
    array = np.random.default_rng(0).random((3, 7, 12))
    images = [
        [frame.image for frame in open_video(each, VideoSettings(fps=30)).frames()]
        for each in (array, array.astype(np.float32))
    ]
    assert np.array_equal(*images)
    assert images[0][0].dtype == np.float32
    with raises(VideoError, "range"):
        open_video(255 * array, VideoSettings(fps=30))


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0), (np.float64, 1.0)]
)
def test_colour_array_is_rgb(dtype: type, white: float) -> None:
    """Grey is BT.601 luma, as in videos."""
    colours = np.zeros((3, 7, 12, 3), dtype)
    for number in range(3):
        colours[number, :, :, number] = white
    video = open_video(colours, VideoSettings(fps=30))
    luma = [frame.image[0, 0] / white for frame in video.frames()]
    assert luma == pytest.approx([0.299, 0.587, 0.114], abs=0.003)
    assert [picture[0, 0].tolist() for _, picture in video.pictures()] == (255 * np.eye(3, dtype=int)).tolist()


class FakeCamera:
    """Replacement for cv2.VideoCapture: camera 2 delivers increasing grey values; other cameras do not exist."""

    opened: list[FakeCamera] = []  # noqa: RUF012
    pictures = 1000

    def __init__(self, index: int) -> None:
        self.there, self.number, self.released = index == 2, -1, False
        self.opened.append(self)

    def grab(self) -> bool:
        time.sleep(0.001)
        self.number += 1
        return self.there and self.number < self.pictures

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((7, 12, 3), self.number % 256, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list[FakeCamera]:
    FakeCamera.opened = []
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    return FakeCamera.opened


@pytest.mark.parametrize("source", [2, "2", Path("2")])
def test_camera_frames_are_timed_by_the_clock_until_stop(cameras: list[FakeCamera], source: int | str | Path) -> None:
    video = open_video(source, VideoSettings(stop_s=0.05, resize="6x4"))
    began = time.monotonic()
    frames = list(video.frames())
    assert time.monotonic() - began >= 0.05
    times = [frame.t_us for frame in frames]
    assert (times[0], video.frame_count, str(video.size), video.name) == (0, 0, "6x4", "camera 2")
    assert 2 <= len(times) <= 50
    assert all(after - before >= 1000 for before, after in pairwise(times))
    assert times[-1] < 50_000
    assert [frame.image[0, 0] for frame in frames] == list(range(len(frames)))
    assert all(camera.released for camera in cameras)


@pytest.mark.usefixtures("cameras")
def test_disconnected_camera_ends_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCamera, "pictures", 3)
    assert len(list(open_video(2).frames())) == 3


@pytest.mark.usefixtures("cameras")
def test_error_names_a_missing_camera() -> None:
    for source in (7, "7", -1):
        with raises(VideoError, f"camera {source}"):
            open_video(source)
    for settings in (VideoSettings(fps=30), VideoSettings(timestamps="times.txt"), VideoSettings(time_unit="s")):
        with raises(VideoError, "camera 2"):
            open_video(2, settings)


@pytest.mark.usefixtures("cameras")
def test_file_with_a_numeric_name_is_not_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2").mkdir()
    save_images(tmp_path / "2", 3)
    assert open_video("2").frame_count == 3
    assert open_video(2).name == "camera 2"


@pytest.mark.usefixtures("cameras")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_camera_normally(number: signal.Signals) -> None:
    outside = signal.signal(number, signal.default_int_handler)
    video = open_video(2)
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
    with video.ended_by_interrupt():
        count = sum(1 for _ in video.frames())
        assert 1 <= count < FakeCamera.pictures
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.signal(number, outside) is signal.default_int_handler


def test_ctrl_c_interrupts_other_sources() -> None:
    video = open_video(np.zeros((2, 7, 12), np.uint8), VideoSettings(fps=30))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # earlier tests may have changed it
    try:
        with pytest.raises(KeyboardInterrupt), video.ended_by_interrupt():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX limits of file sizes")
def test_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, 64), np.uint8) for _ in range(40)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with raises(FileError, "a.webm", 40):
            write_video(tmp_path / "a.webm", frames_from_arrays(images, fps=30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_error_names_the_complete_url() -> None:
    for source in ("http://x.y/z.mp4", Path("http://x.y/z.mp4")):
        with raises(VideoError, "http://x.y/z.mp4"):
            open_video(source)


def test_stop_before_start_and_too_high_fps_are_errors() -> None:
    for wrong, message in (
        ({"start_s": 1, "stop_s": 0.5}, "0.5 s"),
        ({"fps": 1e9}, "1000000"),
    ):
        with raises(ConfigError, message):
            VideoSettings(**wrong)


def test_animated_image_is_read_as_a_video(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((7, 12, 3), 60 * number, np.uint8)) for number in range(4)]
    for name in ("a.webp", "a.png", "a.gif"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=40, lossless=True)
        frames = list(open_video(tmp_path / name).frames())
        assert [frame.t_us for frame in frames] == [0, 40_000, 80_000, 120_000]
        assert [int(frame.image[3, 6]) for frame in frames] == pytest.approx([0, 60, 120, 180], abs=3)


def test_error_names_the_codec_and_a_command_that_converts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Undecodable:
        """AV1 video as opened by the FFmpeg in OpenCV."""

        def __init__(self, *_: object) -> None: ...

        def get(self, key: int) -> float:
            return cv2.VideoWriter.fourcc(*"AV01") if key == cv2.CAP_PROP_FOURCC else 60

        def grab(self) -> bool:
            return False

        def release(self) -> None: ...

    for name in ("a b.mkv", "a.mp4"):
        (tmp_path / name).write_bytes(b"content")
    monkeypatch.setattr(cv2, "VideoCapture", Undecodable)
    with raises(VideoError, "a b.mkv", "AV1", "ffmpeg -i ", "-c:v libx264", "a b.mp4'"):
        open_video(tmp_path / "a b.mkv")
    with raises(VideoError, "ffmpeg -i ", "a.mp4", "-c:v libx264", "a-h264.mp4"):
        open_video(tmp_path / "a.mp4")


def test_gif_without_trailer_is_truncated(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((7, 12), 20 * number, np.uint8)) for number in range(8)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40, loop=0)
    whole = (tmp_path / "a.gif").read_bytes()
    complete = list(open_video(tmp_path / "a.gif").frames())
    assert len(complete) == 8
    (tmp_path / "cut.gif").write_bytes(whole[: len(whole) * 2 // 3])
    with raises(TruncatedVideoError, "cut.gif"):
        list(open_video(tmp_path / "cut.gif").frames())


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode on other systems")
def test_file_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.mp4")
    path.write_bytes(b"x")
    with raises(VideoError, "UTF-8"):
        open_video(path)


def test_float_array_above_white_is_an_error() -> None:
    images = np.full((3, 7, 12), 200, np.float32)
    with raises(VideoError, "200", "0", "1"):
        open_video(images, VideoSettings(fps=30))
    assert open_video(images, VideoSettings(fps=30, transfer="linear")).size.width == 12


@pytest.mark.parametrize("pattern", ["http:/127.0.0.1:{port}/x.mp4", "tcp:127.0.0.1:{port}.mp4"])
def test_file_names_like_addresses_open_no_connection(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = Path(pattern.format(port=server.getsockname()[1]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no video")
        server.setblocking(False)
        for read in (is_video_content, open_video):
            with suppress(VideoError):
                read(path)
            with pytest.raises(BlockingIOError):
                server.accept()
        write_video(tmp_path / "a.webm", frames_from_arrays(np.zeros((3, 32, 48), np.uint8), fps=25))
        path.write_bytes((tmp_path / "a.webm").read_bytes())
        assert len(list(open_video(path).frames())) == 3
        with pytest.raises(BlockingIOError):
            server.accept()


def test_film_without_its_end_is_named_incomplete(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\x08mdat" + bytes(4096))
    with raises(VideoError, "a.mp4", "incomplete", "moov"):
        open_video(tmp_path / "a.mp4")
