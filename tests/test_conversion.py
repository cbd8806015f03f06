from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from dvspipe.conversion import ConvertConfig, _read_ahead, convert_video, plan_conversions
from dvspipe.errors import FileError, VideoError
from dvspipe.events import concatenate
from dvspipe.formats import open_recording, read
from dvspipe.simulator import SimulatorConfig, simulate, upsample
from dvspipe.video import TruncatedVideoError, VideoSettings, frames_from_arrays, open_video, write_video


def save_clip(path: Path, frames: int = 20) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (64, 128), np.uint8).repeat(2, 0).repeat(2, 1)
    write_video(path, frames_from_arrays([texture[:64, k : k + 96].copy() for k in range(frames)], fps=50))


def test_a_converted_video_is_its_simulation(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "out" / "events.h5"
    save_clip(clip)
    config = SimulatorConfig(pos_thres=0.3)
    told: list[tuple[int, int]] = []
    done = convert_video(
        clip, out, ConvertConfig(simulator=config), progress=lambda frames, total: told.append((frames, total))
    )
    expected = concatenate(simulate(open_video(clip).frames(), config), done.sensor)
    assert len(expected) > 1000
    assert read(out) == expected
    assert (done.frames, done.events, done.duration_us) == (20, len(expected), 19 * 20_000)
    assert [frames for frames, _ in told] == list(range(1, 21))
    settings = open_recording(out).attributes["settings"]
    assert settings["simulator"] == config.model_dump()
    assert settings["video"] == VideoSettings().model_dump()
    assert open_recording(out).attributes["source"] == "clip.webm"


def test_a_video_of_one_frame_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((7, 12), np.uint8))
    with pytest.raises(VideoError, match=r"images: 1 frame, expected at least 2"):
        convert_video(folder, tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_an_existing_output_is_kept(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "events.h5"
    save_clip(clip, 3)
    out.write_text("mine")
    with pytest.raises(FileError, match="exists already"):
        convert_video(clip, out)
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


def test_noise_labels_stand_beside_the_events(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "events.h5"
    save_clip(clip)
    noisy = SimulatorConfig(shot_noise_rate_hz=50)
    convert_video(clip, out, ConvertConfig(simulator=noisy, label_noise=True))
    with h5py.File(out) as file:
        noise = file["events/noise"][:].astype(bool)
    assert len(noise) == len(read(out))
    signal = concatenate(simulate(open_video(clip).frames()), read(out).sensor)
    assert (~noise).sum() == len(signal)
    assert np.array_equal(read(out).t[~noise], signal.t)


def test_a_video_that_breaks_off_leaves_a_whole_file_of_what_was_read(test_data: Path, tmp_path: Path) -> None:
    content = (test_data / "video" / "walk.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    with pytest.raises(TruncatedVideoError, match="breaks off"):
        convert_video(tmp_path / "cut.mkv", tmp_path / "out.h5")
    at_us = open_recording(tmp_path / "out.h5").attributes["truncated_at_us"]
    assert at_us - 40_000 < read(tmp_path / "out.h5").t[-1] <= at_us


def test_a_tree_of_videos_is_mirrored(tmp_path: Path) -> None:
    for name in ("a.mp4", "sub/b.GIF", "sub/notes.txt", "sub/images/0.png", "sub/images/1.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    plan = {
        str(b.relative_to(tmp_path)): str(a.relative_to(tmp_path))
        for a, b in plan_conversions([tmp_path / "in"], tmp_path / "out")
    }
    assert plan == {"out/a.h5": "in/a.mp4", "out/sub/b.h5": "in/sub/b.GIF", "out/sub/images.h5": "in/sub/images"}
    assert plan_conversions([tmp_path / "in/a.mp4"], tmp_path / "x.h5") == [(tmp_path / "in/a.mp4", tmp_path / "x.h5")]
    (tmp_path / "in" / "a.avi").touch()
    with pytest.raises(FileError, match="would go there"):
        plan_conversions([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no videos"):
        plan_conversions([tmp_path / "empty"], tmp_path / "out")


def test_upsampling_adds_steps_and_keeps_the_count_of_frames(tmp_path: Path) -> None:
    clip = tmp_path / "clip.webm"
    save_clip(clip, 5)
    plain = convert_video(clip, tmp_path / "a.h5")
    finer = convert_video(clip, tmp_path / "b.h5", ConvertConfig(upsample=4))
    config = SimulatorConfig()
    expected = concatenate(simulate(upsample(open_video(clip).frames(), 4, config=config), config), plain.sensor)
    assert (plain.frames, finer.frames, plain.duration_us) == (5, 5, finer.duration_us)
    assert read(tmp_path / "b.h5") == expected != read(tmp_path / "a.h5")
    assert open_recording(tmp_path / "b.h5").attributes["settings"]["upsample"] == 4
