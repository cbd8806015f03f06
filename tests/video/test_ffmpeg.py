"""Decode videos that OpenCV cannot, with fake ffmpeg and ffprobe programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from facts import raises

from dvspipe.base.errors import VideoError
from dvspipe.recordings.conversion import convert_video
from dvspipe.video.files import decode_frames, find_frame_times, is_installed
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

TIMES_S = (5.0, 5.08, 5.04, 5.12)  # packets are in decoding order
FFPROBE = f"""#!{sys.executable}
for time_s in {TIMES_S}:
    print(f"{{time_s:.6f}},")
print("N/A")
"""
FFMPEG = f"""#!{sys.executable}
import sys
picture = b"P6\\n12 7\\n255\\n" + bytes([200, 0, 0]) * 84  # red
assert sys.argv[sys.argv.index("-i") + 1].endswith("-a.mp4")
sys.stdout.buffer.write(picture * 3 + picture[:LAST])
"""


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File that OpenCV cannot decode, with fake programs that find four frames of 12 x 7 pixels."""
    if os.name == "nt":
        pytest.skip("the fake programs are scripts")
    install(tmp_path / "bin", "ffprobe", FFPROBE)
    install(tmp_path / "bin", "ffmpeg", FFMPEG.replace("LAST", "10**6"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    path = tmp_path / "-a.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisomav01\0\0\0\x08moov")
    return path


def install(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_ffmpeg_decodes_videos_that_opencv_cannot(video: Path) -> None:
    opened = open_video(video)
    assert (opened.size.width, opened.size.height, opened.frame_count) == (12, 7, 4)
    assert opened.duration_s == pytest.approx(0.16)
    frames = list(opened.frames())
    assert [frame.t_us for frame in frames] == [0, 40_000, 80_000, 120_000]
    assert np.unique(frames[0].image).tolist() == [60]  # 0.299 * 200: OpenCV converts red to grey
    (_, picture), *_ = opened.pictures()
    assert picture[0, 0].tolist() == [200, 0, 0]
    assert convert_video(video, video.with_suffix(".csv")).frames == 4


def test_missing_ffmpeg_frames_are_a_truncated_video(video: Path) -> None:
    install(
        video.parent / "bin", "ffmpeg", FFMPEG.replace("picture * 3 + picture[:LAST]", "picture * 2 + picture[:50]")
    )
    with raises(VideoError, "2", "4"):
        list(open_video(video).frames())


def test_frames_without_a_time_are_an_error(video: Path) -> None:
    install(video.parent / "bin", "ffmpeg", FFMPEG.replace("picture * 3", "picture * 4").replace("LAST", "10**6"))
    with raises(VideoError, video.name, "4", "times"):
        list(open_video(video).frames())


def test_undecodable_file_is_an_error_without_ffmpeg(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with raises(VideoError, video.name, "ffmpeg"):
        open_video(video)


@pytest.mark.skipif(not is_installed(), reason="ffmpeg is not installed")
def test_ffmpeg_and_opencv_give_the_same_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.webm"
    write_video(path, frames_from_arrays(rng.integers(0, 256, (5, 64, 96), np.uint8), fps=25))
    expected = list(open_video(path).pictures())
    decoded = [image[:, :, ::-1] for image in decode_frames(path)]
    assert list(find_frame_times(path)) == [t_us for t_us, _ in expected]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(decoded, expected, strict=True))
