"""Complete and truncated video files of OpenCV, ffmpeg and browsers.

FILMS were written by ffmpeg 7 and Chromium, because OpenCV writes neither H.264 nor a variable frame rate:

    ffmpeg -f lavfi -i testsrc2=s=96x64:r=25:d=2 -vf "select=lt(mod(n\\,9)\\,5)" -fps_mode vfr OPTIONS vfr-CODEC.SUFFIX
    ffmpeg -f lavfi -i testsrc2=s=96x64:r=25:d=2 OPTIONS fragments.mp4   # also film.gif
    ffmpeg -f lavfi -i testsrc2=s=96x64:r=25:d=2 -f lavfi -i sine=d=3 -c:v libvpx -c:a libvorbis sound.webm
    ffmpeg -display_rotation 90 -i plain.mp4 -c copy -movflags +faststart rotated.mp4
    ffmpeg -ss 0.4 -i plain.mp4 -c copy -movflags +faststart edit-list.mp4

OPTIONS: -c:v libvpx-vp9 -b:v 40k; -c:v libx264 -crf 38 -movflags +faststart, or for fragments
+frag_keyframe+empty_moov+default_base_moof. browser.webm and browser-h264.webm are two seconds of a `MediaRecorder`
with the camera of `chromium --use-fake-device-for-media-stream`, the first with sound and slices of 200 ms.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from facts import raises
from PIL import Image

from dvspipe.base.errors import VideoError
from dvspipe.video.containers import find_complete_bytes
from dvspipe.video.opening import open_video

FILMS = {
    "browser-h264.webm": 40,
    "browser.webm": 40,
    "edit-list.mp4": 40,
    "film.gif": 10,
    "fragments.mp4": 50,
    "rotated.mp4": 50,
    "sound.webm": 50,
    "vfr-h264.mkv": 30,
    "vfr-h264.mp4": 30,
    "vfr-vp9.webm": 30,
}
"""Number of frames of each film."""

FOLDER = Path(__file__).with_name("films")


def cut(path: Path, folder: Path) -> Path:
    """Write the first two thirds of a file to a folder."""
    content = path.read_bytes()
    (folder / f"cut-{path.name}").write_bytes(content[: len(content) * 2 // 3])
    return folder / f"cut-{path.name}"


@pytest.mark.parametrize(("name", "count"), FILMS.items())
def test_complete_film_has_all_its_frames(name: str, count: int) -> None:
    assert sum(1 for _ in open_video(FOLDER / name).frames()) == count


@pytest.mark.parametrize("name", FILMS)
def test_truncated_film_names_its_sizes(tmp_path: Path, name: str) -> None:
    film, frames = cut(FOLDER / name, tmp_path), 0
    with raises(VideoError, film.name, f"{film.stat().st_size:,}"):
        for _ in open_video(film).frames():
            frames += 1
    assert 0 < frames < FILMS[name]


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_film_of_opencv_is_complete_until_it_is_cut(tmp_path: Path, name: str, codec: str) -> None:
    writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*codec), 25, (64, 48))
    for image in np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8):
        writer.write(image)
    writer.release()
    assert sum(1 for _ in open_video(tmp_path / name).frames()) == 12
    film = cut(tmp_path / name, tmp_path)
    with raises(VideoError, film.name, "truncated", f"{film.stat().st_size:,}"):
        list(open_video(film).frames())


def test_unknown_data_after_a_film_is_ignored(tmp_path: Path) -> None:
    for name in FILMS:
        film = tmp_path / name
        film.write_bytes((FOLDER / name).read_bytes() + b"\xff\xff\xff\xff\xff\xff\xff\xff")
        assert find_complete_bytes(film) is None, name


@pytest.mark.parametrize("writer", ["ffmpeg", "PIL"])
def test_gif_may_lack_its_trailer_but_nothing_of_its_last_picture(tmp_path: Path, writer: str) -> None:
    film = tmp_path / "a.gif"
    if writer == "ffmpeg":
        film.write_bytes((FOLDER / "film.gif").read_bytes())
    else:  # colours, comments and extensions of each picture
        noise = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), np.uint8)
        first, *others = map(Image.fromarray, noise)
        first.save(film, save_all=True, append_images=others, transparency=0, comment=b"a;b,c!")

    content = film.read_bytes()
    count = sum(1 for _ in open_video(film).frames())
    for end in (content[:-1], content[:-1] + b"\xff;", content + bytes(99)):
        film.write_bytes(end)
        assert sum(1 for _ in open_video(film).frames()) == count
    for lost in (2, 3, 9):
        film.write_bytes(content[:-lost])
        with raises(VideoError, "a.gif", "truncated", f"{len(content) - lost:,}"):
            list(open_video(film).frames())
    film.write_bytes(content[:-9] + bytes(50))  # the rest of a disk's block
    assert find_complete_bytes(film) is not None


@pytest.mark.parametrize(
    ("name", "source"), [("a.gif", "edit-list.mp4"), ("a.avi", "film.gif"), ("a.png", "vfr-h264.mkv")]
)
def test_content_decides_what_a_film_is(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_bytes((FOLDER / source).read_bytes())
    expected = [(frame.t_us, frame.image.sum()) for frame in open_video(FOLDER / source).frames()]
    assert [(frame.t_us, frame.image.sum()) for frame in open_video(tmp_path / name).frames()] == expected


def test_film_without_its_description_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\x08mdat" + bytes(4096))
    with raises(VideoError, "a.mp4", "truncated"):
        open_video(tmp_path / "a.mp4")
