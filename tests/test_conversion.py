from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvspipe.conversion import _read_ahead, convert_video
from dvspipe.errors import FileError, VideoError
from dvspipe.events import concatenate
from dvspipe.formats import open_recording, read
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.video import frames_from_arrays, open_video, write_video


def save_clip(path: Path, frames: int = 20) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (64, 128), np.uint8).repeat(2, 0).repeat(2, 1)
    write_video(path, frames_from_arrays([texture[:64, k : k + 96].copy() for k in range(frames)], fps=50))


def test_a_converted_video_is_its_simulation(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "out" / "events.h5"
    save_clip(clip)
    config = SimulatorConfig(pos_thres=0.3)
    told: list[tuple[int, int]] = []
    done = convert_video(open_video(clip), out, config, progress=lambda frames, total: told.append((frames, total)))
    expected = concatenate(simulate(open_video(clip).frames(), config), done.sensor)
    assert len(expected) > 1000
    assert read(out) == expected
    assert (done.frames, done.events, done.duration_us) == (20, len(expected), 19 * 20_000)
    assert [frames for frames, _ in told] == list(range(1, 21))
    settings = open_recording(out).attributes["settings"]
    assert settings["simulator"] == config.model_dump()
    assert settings["video"] == {"fps": None, "transfer": "srgb"}
    assert open_recording(out).attributes["source"] == "clip.webm"


def test_a_video_of_one_frame_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    import cv2

    cv2.imwrite(str(folder / "a.png"), np.zeros((7, 12), np.uint8))
    with pytest.raises(VideoError, match=r"images: 1 frame, expected at least 2"):
        convert_video(open_video(folder), tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_an_existing_output_is_kept(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "events.h5"
    save_clip(clip, 3)
    out.write_text("mine")
    with pytest.raises(FileError, match="exists already"):
        convert_video(open_video(clip), out)
    assert out.read_text() == "mine"


def test_reading_ahead_keeps_order_and_raises_the_makers_error() -> None:
    assert list(_read_ahead(range(100))) == list(range(100))

    def breaks() -> object:
        yield 1
        raise VideoError("broken")

    items = _read_ahead(breaks())  # type: ignore[arg-type]
    assert next(items) == 1
    with pytest.raises(VideoError, match="broken"):
        next(items)


def test_reading_ahead_ends_its_thread_when_left_early() -> None:
    import threading

    before = threading.active_count()
    items = _read_ahead(iter(int, 1))  # endless
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
