from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dvspipe.errors import VideoError
from dvspipe.video import Frame, TruncatedVideoError, VideoSettings, frames_from_arrays, open_video, write_video


def save_images(folder: Path, count: int, width: int = 12, height: int = 7) -> None:
    for number in range(count):
        cv2.imwrite(str(folder / f"im{number}.png"), np.full((height, width), 10 * number, np.uint8))


def test_an_image_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    save_images(tmp_path, 12)
    (tmp_path / "notes.txt").write_text("no image")
    video = open_video(tmp_path, VideoSettings(fps=10))
    frames = list(video.frames())
    assert [frame.image[0, 0] for frame in frames] == [10 * number for number in range(12)]
    assert [frame.t_us for frame in frames] == [100_000 * number for number in range(12)]
    assert (video.size.width, video.size.height, video.frame_count) == (12, 7, 12)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((7, 12, 3), (10, 200, 60), np.uint8))  # blue, green, red
    cv2.imwrite(str(tmp_path / "b.png"), np.full((7, 12, 4), (10, 200, 60, 255), np.uint8))
    frames = list(open_video(tmp_path).frames())
    assert {int(frame.image[0, 0]) for frame in frames} == {round(0.299 * 60 + 0.587 * 200 + 0.114 * 10)}


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((7, 12), 40_000, np.uint16))
    assert next(open_video(tmp_path).frames()).image.dtype == np.uint16


def test_a_written_video_is_read_back_with_its_times(tmp_path: Path) -> None:
    images = [np.full((32, 48), 20 * number, np.uint8) for number in range(8)]
    path = tmp_path / "clip.webm"
    write_video(path, frames_from_arrays(images, fps=50))
    frames = list(open_video(path).frames())
    assert [frame.t_us for frame in frames] == [20_000 * number for number in range(8)]
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= 6  # VP8 is lossy
    assert list(tmp_path.iterdir()) == [path]


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    save_images(tmp_path, 2)
    cv2.imwrite(str(tmp_path / "im7.png"), np.zeros((5, 5), np.uint8))
    with pytest.raises(VideoError, match="frame 2 is 5x5, the frames before it 12x7"):
        list(open_video(tmp_path).frames())


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "fake.mp4"
    text.write_text("this is no video")
    for path, message in (
        (tmp_path / "missing.mp4", "no such video"),
        (text, "not a video that OpenCV can read"),
        (tmp_path, "not a video that OpenCV can read"),
    ):
        with pytest.raises(VideoError, match=message):
            open_video(path)
    save_images(tmp_path, 1)
    for text in ("rec2020", "gamma=", "gamma=0", "gamma=x"):
        with pytest.raises(VideoError, match="expected one of srgb, bt709, gamma=x, linear, log"):
            open_video(tmp_path, VideoSettings(transfer=text))


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    save_images(tmp_path, 2)
    (tmp_path / "im9.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(VideoError, match="im9.png: not an image"):
        list(open_video(tmp_path).frames())


def test_the_size_of_a_frame_is_width_by_height() -> None:
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
def test_real_videos_give_their_frames_and_times(
    test_data: Path, name: str, count: int, second_us: int, size: str
) -> None:
    times = [frame.t_us for frame in open_video(test_data / "video" / name).frames()]
    assert (len(times), times[1], str(open_video(test_data / "video" / name).size)) == (count, second_us, size)


def test_crop_and_resize_and_times_choose_what_is_kept(tmp_path: Path) -> None:
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
    with pytest.raises(VideoError, match=r"a crop of 4x6\+9\+1 does not lie inside the picture of 12x7"):
        open_video(tmp_path, VideoSettings(crop="4x6+9+1"))


def test_a_video_that_breaks_off_says_so_after_its_last_frame(test_data: Path, tmp_path: Path) -> None:
    content = (test_data / "video" / "walk.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    times = []
    with pytest.raises(TruncatedVideoError, match="breaks off after .* of 89 frames") as caught:
        times += [frame.t_us for frame in open_video(tmp_path / "cut.mkv").frames()]
    assert caught.value.at_us > 1_000_000
