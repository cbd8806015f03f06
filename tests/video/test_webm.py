"""WebM files of browsers: without a duration, or without a frame interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video
from dvspipe.video.webm import CLUSTER, CUES, INFO, SEGMENT, SIMPLE_BLOCK, write_duration
from dvspipe.video.writing import write_video

HEAD = bytes.fromhex("1a45dfa3 84 4282 81 77".replace(" ", ""))
UNKNOWN_SIZE = (1 << 56) - 1
COUNT, STEP_US = 8, 40_000
FRAME_INTERVAL, DURATION_NAME, SEEK_HEAD_NAME = "23e383", "4489", "114d9b74"


def element(name: int, content: bytes, size: int | None = None) -> bytes:
    """Element with a size in eight bytes."""
    length = len(content) if size is None else size
    return name.to_bytes((name.bit_length() + 7) // 8) + (length | 1 << 56).to_bytes(8) + content


def block(time: int) -> bytes:
    return element(SIMPLE_BLOCK, b"\x81" + time.to_bytes(2, signed=True) + b"\x80x")


def cluster(base: int, *times: int) -> bytes:
    content = element(0xE7, base.to_bytes(2)) + b"".join(map(block, times))
    return element(CLUSTER, content, UNKNOWN_SIZE)


def live_file(*clusters: bytes, more: bytes = b"") -> bytes:
    """File as a browser streams it: sizes of segment and clusters are unknown."""
    info = element(INFO, element(0x2AD7B1, (1_000_000).to_bytes(4)))
    return HEAD + element(SEGMENT, info + more + b"".join(clusters), UNKNOWN_SIZE)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.webm"
    write_video(path, (Frame(STEP_US * n, np.full((48, 64), 20 * n, np.uint8)) for n in range(COUNT)))
    return path


def blank(data: bytes, name: str) -> bytes:
    """Replace an element, of less than 127 bytes, by an empty one of the same size."""
    start = data.index(bytes.fromhex(name))
    at = start + len(name) // 2
    length = at + 1 + (data[at] & 0x7F) - start
    return data[:start] + b"\xec" + (0x80 | length - 2).to_bytes() + bytes(length - 2) + data[start + length :]


def test_duration_is_the_last_time_and_one_interval(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    path.write_bytes(live_file(cluster(0, 0, 40, 80), cluster(120, 0, 40)))
    assert write_duration(path) == pytest.approx(0.2)
    changed = path.read_bytes()
    assert write_duration(path) is None  # it has a duration now
    assert path.read_bytes() == changed


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video" * 20,
        HEAD,
        live_file(),  # no pictures
        live_file(cluster(0, 0), more=element(CUES, b"")),  # positions would be wrong
        live_file(cluster(0, 0))[:30],
        HEAD + element(SEGMENT, element(INFO, b"") + cluster(0, 0)),  # a complete file
    ],
)
def test_other_files_are_not_changed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.webm"
    path.write_bytes(content)
    assert write_duration(path) is None
    assert path.read_bytes() == content


def test_frames_are_not_counted_without_an_interval(film: Path) -> None:
    data = blank(film.read_bytes(), FRAME_INTERVAL)
    for number, late in enumerate((0, 17, 3, 29, 11, 37, 5), 1):  # frame times of a webcam are irregular
        regular = b"\x81" + (40 * number).to_bytes(2)
        assert data.count(regular) == 1
        data = data.replace(regular, b"\x81" + (40 * number + late).to_bytes(2))
    film.write_bytes(data)
    opened = open_video(film)
    assert opened.frame_count == 0
    assert opened.duration_s == pytest.approx(COUNT * STEP_US * 1e-6)
    assert len(list(opened.frames())) == COUNT


def test_streamed_film_gets_its_duration(film: Path) -> None:
    data = film.read_bytes()
    for name in (FRAME_INTERVAL, DURATION_NAME, SEEK_HEAD_NAME):
        data = blank(data, name)
    size = data.index(SEGMENT.to_bytes(4)) + 4
    data = data[:size] + (UNKNOWN_SIZE | 1 << 56).to_bytes(8) + data[size + 8 : data.index(CUES.to_bytes(4))]
    film.write_bytes(data)
    before = open_video(film)
    assert not before.duration_s
    assert write_duration(film) == pytest.approx(COUNT * STEP_US * 1e-6)
    after = open_video(film)
    assert after.duration_s == pytest.approx(COUNT * STEP_US * 1e-6)
    for one, other in zip(before.frames(), after.frames(), strict=True):
        assert one.t_us == other.t_us
        np.testing.assert_array_equal(one.image, other.image)


def test_second_of_two_frames_at_one_time_is_skipped(film: Path) -> None:
    data = film.read_bytes()
    film.write_bytes(data.replace(b"\x81" + (80).to_bytes(2), b"\x81" + (40).to_bytes(2)))
    times_us = [STEP_US * number for number in range(COUNT)]
    assert [frame.t_us for frame in open_video(film).frames()] == [t_us for t_us in times_us if t_us != 80_000]
    assert len(list(open_video(film, VideoSettings(fps=25)).frames())) == COUNT
