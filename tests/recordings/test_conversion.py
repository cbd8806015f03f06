from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import (
    ConfigError,
    FileError,
    FormatError,
    PartialError,
    TruncatedVideoError,
    VideoError,
)
from dvspipe.base.pool import Shard
from dvspipe.events import Region, SensorSize, concatenate
from dvspipe.formats import Hints, info, open_recording, read, recognise, write
from dvspipe.formats.source import Format
from dvspipe.recordings import conversion, sources
from dvspipe.recordings.config import ConvertConfig, FilmConfig
from dvspipe.recordings.conversion import (
    ConversionTask,
    convert,
    convert_many,
    convert_recording,
    convert_task,
    convert_video,
    events_from_video,
    plan_conversions,
)
from dvspipe.recordings.sources import SourceKind
from dvspipe.results import SplitRow, write_splits
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video


def save_clip(path: Path, frames: int = 20) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (64, 128), np.uint8).repeat(2, 0).repeat(2, 1)
    write_video(path, frames_from_arrays([texture[:64, k : k + 96].copy() for k in range(frames)], fps=50))


def test_converted_video_equals_its_simulation(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "out" / "events.h5"
    save_clip(clip)
    config = SimulatorConfig(pos_thres=0.3)
    told: list[tuple[int, int]] = []
    done = convert_video(
        clip, out, ConvertConfig(pos_thres=0.3), progress=lambda frames, total: told.append((frames, total))
    )
    expected = concatenate(simulate(open_video(clip).frames(), config), done.sensor)
    assert len(expected) > 1000
    assert read(out) == expected
    assert (done.frames, done.events, done.duration_us) == (20, len(expected), 19 * 20_000)
    assert told == [(frames, 20) for frames in range(1, 21)]
    settings = open_recording(out).attributes["settings"]
    assert settings == FilmConfig(pos_thres=0.3).to_record()
    assert open_recording(out).attributes["source"] == "clip.webm"


def test_video_of_one_frame_is_rejected_and_leaves_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((7, 12), np.uint8))
    with raises(VideoError, "1", "2"):
        convert_video(folder, tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_truncated_video_is_an_error_and_leaves_no_files(test_data: Path, tmp_path: Path) -> None:
    content = (test_data / "video" / "walk.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 4])
    with raises(TruncatedVideoError, "cut.mkv", "truncated"):
        convert_video(tmp_path / "cut.mkv", tmp_path / "out.h5", ConvertConfig(resize="32x24"))
    assert [path.name for path in tmp_path.iterdir()] == ["cut.mkv"]


def test_folder_tree_of_videos_is_mirrored(tmp_path: Path) -> None:
    for name in ("a.mp4", "sub/b.GIF", "sub/notes.txt", "sub/images/0.png", "sub/images/1.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    plan = {
        str(task.target.relative_to(tmp_path)): str(task.source.relative_to(tmp_path))
        for task in plan_conversions([tmp_path / "in"], tmp_path / "out")
    }
    assert plan == {"out/a.h5": "in/a.mp4", "out/sub/b.h5": "in/sub/b.GIF", "out/sub/images.h5": "in/sub/images"}
    assert plan_conversions([tmp_path / "in/a.mp4"], tmp_path / "x.h5") == [
        ConversionTask(tmp_path / "in/a.mp4", tmp_path / "x.h5")
    ]
    (tmp_path / "empty").mkdir()
    with raises(FileError, "empty"):
        plan_conversions([tmp_path / "empty"], tmp_path / "out")
    write(tmp_path / "done" / "a.h5", random_events(0, 50))
    with raises(FileError, "done", "already .h5", "suffix="):
        plan_conversions([tmp_path / "done"], tmp_path / "out")


def test_single_image_among_videos_does_not_make_an_image_folder(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.png", "b.h5", "frames/0.png", "frames/1.png", "frames/preview.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    tasks = plan_conversions(tmp_path, tmp_path / "out", ".csv")
    assert {task.source.name for task in tasks} == {"a.mp4", "b.h5", "frames"} | {"preview.gif"}


def test_sources_with_equal_names_keep_their_suffix(tmp_path: Path) -> None:
    for name in ("in/a.mp4", "in/a.webm", "in/b.webm", "other/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    tasks = plan_conversions(str(tmp_path / "in"), str(tmp_path / "out"))
    assert [(task.source.name, task.target.name) for task in tasks] == [
        ("a.mp4", "a.mp4.h5"),
        ("a.webm", "a.webm.h5"),
        ("b.webm", "b.h5"),
    ]
    with raises(FileError, "a.mp4.h5", "in/a.mp4", "other/a.mp4"):
        plan_conversions([tmp_path / "in" / "a.mp4", tmp_path / "other" / "a.mp4"], tmp_path / "out")


def test_output_folder_must_not_be_a_file_or_have_an_event_suffix(tmp_path: Path) -> None:
    sources = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    (tmp_path / "file").touch()
    for name in ("out.h5", "file", "/dev/full"):
        with raises(FileError, name, "2 sources"):
            plan_conversions(sources, tmp_path / name)
    with raises(FileError, "a.mp4"):
        plan_conversions(sources[:1], tmp_path / "file")


def test_corrupted_recording_and_truncated_video_do_not_stop_other_conversions(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    save_clip(tmp_path / "in" / "cut.webm", 20)
    complete = (tmp_path / "in" / "cut.webm").read_bytes()
    (tmp_path / "in" / "cut.webm").write_bytes(complete[: len(complete) * 2 // 3])
    write(tmp_path / "in" / "good.bin", random_events(1, 500))
    (tmp_path / "in" / "wrong.bin").write_bytes((tmp_path / "in" / "good.bin").read_bytes()[:-1])
    tasks = plan_conversions(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "text.webm").write_text("not a video")
    tasks.append(ConversionTask(tmp_path / "in" / "text.webm", tmp_path / "text.h5"))
    progress: list[tuple[float, float]] = []
    outcomes = convert_many(tasks, jobs=2, progress=lambda *done: progress.append(done))
    errors = {outcome.item.source.name: outcome.error for outcome in outcomes}
    assert progress[-1] == (4, 4)
    assert errors["good.bin"] is None
    assert isinstance(errors["text.webm"], VideoError)
    assert not (tmp_path / "text.h5").exists()
    assert isinstance(errors["wrong.bin"], FormatError)
    assert str(errors["wrong.bin"]).startswith(f"{tmp_path}/in/wrong.bin: ")
    assert isinstance(errors["cut.webm"], TruncatedVideoError)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.h5"]


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".aedat4", ".raw", ".dat", ".es", ".bin"])
def test_video_converts_to_any_format(tmp_path: Path, suffix: str) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / f"events{suffix}"
    save_clip(clip, 6)
    done = convert_video(clip, out)
    expected = events_from_video(clip)
    assert (done.events, done.frames) == (len(expected), 6)
    assert read(out, hints=Hints(sensor=str(expected.sensor))) == expected
    with raises(FileError, out.name, "overwrite"):
        convert_video(clip, out)
    with pytest.raises(KeyboardInterrupt):
        convert_video(clip, out, overwrite=True, progress=stop_at(4, interrupt))
    assert read(out, hints=Hints(sensor=str(expected.sensor))) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"clip.webm", out.name}


def test_missing_source_is_reported_before_existing_output(tmp_path: Path) -> None:
    (tmp_path / "there.h5").touch()
    with raises(VideoError, "none.mp4"):
        convert_video(tmp_path / "none.mp4", tmp_path / "there.h5")
    with raises(FileError, "none.raw"):
        convert_recording(tmp_path / "none.raw", tmp_path / "there.h5")


def test_file_that_opencv_opens_is_a_video_for_any_suffix(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.webm", 4)
    expected = events_from_video(tmp_path / "clip.webm")
    for name in ("clip", "clip.webm.bak"):
        shutil.copy(tmp_path / "clip.webm", tmp_path / name)
        (task,) = plan_conversions(tmp_path / name, tmp_path / f"{name}.h5")
        assert convert_task(task).frames == 4
        assert read(task.target) == expected
    (tmp_path / "notes.odt").write_text("neither")
    with raises(FormatError, "notes.odt", ".mp4", ".h5"):
        convert_task(ConversionTask(tmp_path / "notes.odt", tmp_path / "notes.h5"))


def test_span_without_frames_reports_video_length(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / "out.h5"
    save_clip(clip, 20)
    for start_s, stop_s, message in (
        (100, None, ("clip.webm", "0.38 s", "100 s")),
        (0.3, 0.31, ("clip.webm", "0.3 s", "0.31 s", 1, 2)),
    ):
        with raises(VideoError, message):
            convert_video(clip, out, ConvertConfig(start_s=start_s, stop_s=stop_s))
    assert not out.exists()


@pytest.mark.parametrize("kind", [list, tuple, "tensor"])
def test_events_from_images_in_memory(kind: Any) -> None:
    array = np.random.default_rng(3).random((5, 7, 12), np.float32)
    if kind == "tensor":
        kind = pytest.importorskip("torch").from_numpy
    config = ConvertConfig(fps=50)
    assert events_from_video(kind(array), config) == events_from_video(array, config)
    with raises(VideoError, "fps=30"):
        events_from_video(kind(array))


def test_images_of_nan_raise_without_a_warning() -> None:
    with raises(VideoError, "nan"):
        events_from_video(np.full((5, 7, 12), np.nan), FilmConfig(fps=30))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        1.5,
        [[[1, 2], [3, 4]]],
        [np.zeros((7, 12)), np.zeros((7, 11))],
        iter(np.zeros((3, 7, 12))),
        [[1, 2], [3, 4]],
    ],
)
def test_invalid_images_and_frames_raise(wrong: Any) -> None:
    with raises(VideoError):
        events_from_video(wrong)
    with raises(VideoError, "Frame"):
        next(simulate([np.zeros((7, 12), np.uint8)] * 2))  # type: ignore[list-item]


def test_unsorted_recording_is_converted_with_sort(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x,y,p\n1,3,4,1\n5,3,4,0\n4,3,4,0\n", encoding="utf-8")
    config = ConvertConfig(sensor=SensorSize(width=12, height=7))
    with raises(FormatError, "a.csv", "event 2", "sort"):
        convert_recording(tmp_path / "a.csv", tmp_path / "a.h5", config)
    assert not (tmp_path / "a.h5").exists()
    assert (
        convert_recording(tmp_path / "a.csv", tmp_path / "a.h5", config.model_copy(update={"sort": True})).events == 3
    )


def test_upsampling_adds_steps_and_keeps_the_count_of_frames(tmp_path: Path) -> None:
    clip = tmp_path / "clip.webm"
    save_clip(clip, 5)
    plain = convert_video(clip, tmp_path / "a.h5")
    finer = convert_video(clip, tmp_path / "b.h5", ConvertConfig(upsample=4))
    config = SimulatorConfig()
    expected = concatenate(simulate(open_video(clip).frames(), config, upsample=4), plain.sensor)
    assert (plain.frames, finer.frames, plain.duration_us) == (5, 5, finer.duration_us)
    assert read(tmp_path / "b.h5") == expected != read(tmp_path / "a.h5")
    assert open_recording(tmp_path / "b.h5").attributes["settings"]["upsample"] == 4


@pytest.mark.parametrize("upsampling", ["off", 3])
def test_events_from_video_equal_converted_file(tmp_path: Path, upsampling: int | str) -> None:
    clip = tmp_path / "clip.webm"
    save_clip(clip)
    config = ConvertConfig(start_s=0.05, resize="24x16", sigma_thres=0.03, sensor_seed=5, upsample=upsampling)
    convert_video(clip, tmp_path / "events.h5", config)
    events = events_from_video(clip, config)
    assert len(events) > 0
    assert events == read(tmp_path / "events.h5") == events_from_video(str(clip), config)


def test_events_from_an_array_and_from_frames_are_the_same() -> None:
    array = np.random.default_rng(3).integers(0, 256, (5, 7, 12), np.uint8)
    simulator = SimulatorConfig(pos_thres=0.3)
    config = ConvertConfig(fps=50, pos_thres=0.3)
    events = events_from_video(array, config)
    frames = list(frames_from_arrays(array, fps=50))
    assert len(events) > 0
    assert events == events_from_video(iter(frames), ConvertConfig(pos_thres=0.3))
    assert events == concatenate(simulate(frames, simulator), frames[0].size)
    with raises(VideoError, "fps"):
        events_from_video(frames, config)
    with raises(VideoError, "1", "2"):
        events_from_video(frames[:1])


def test_ctrl_c_on_a_camera_leaves_a_complete_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        def __init__(self, index: int) -> None:
            assert index == 0
            self.number = 0

        def grab(self) -> bool:
            time.sleep(0.002)
            self.number += 1
            if self.number == 30:
                os.kill(os.getpid(), signal.SIGINT)
            return True

        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, np.full((7, 12), 8 * self.number % 256, np.uint8)

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    done = convert_video(Path("0"), tmp_path / "events.h5")
    assert 30 <= done.frames <= 100
    assert len(read(tmp_path / "events.h5")) == done.events > 0
    assert info(tmp_path / "events.h5").attributes["source"] == "camera 0"
    assert len(events_from_video(0)) > 0


NOISY = ConvertConfig(shot_noise_rate_hz=20, leak_rate_hz=2, hot_pixel_fraction=0.01)


def noise_seed_of(path: Path) -> int | None:
    """Return the noise seed that an event file stores."""
    seed: int | None = open_recording(path).attributes["settings"]["noise_seed"]
    return seed


def test_noise_of_a_folder_depends_on_relative_paths_alone(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for name in ("a/1.webm", "a/2.webm", "b/1.webm"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        save_clip(videos / name, 5)
    tasks = plan_conversions(videos, tmp_path / "all")
    assert all(done.error is None for done in convert_many(tasks, NOISY, jobs=2))
    recordings = {
        path.relative_to(tmp_path / "all").as_posix(): read(path) for path in (tmp_path / "all").rglob("*.h5")
    }
    assert len(recordings) == len({events.t.tobytes() for events in recordings.values()}) == 3

    # the same events in shards, with one process, and with the stored seed alone
    for shard in (Shard(1, 2), Shard(2, 2)):
        tasks = plan_conversions(videos, tmp_path / "shards", shard=shard)
        assert all(done.error is None for done in convert_many(tasks, NOISY))
    for name, events in recordings.items():
        assert read(tmp_path / "shards" / name) == events
        noise_seed = noise_seed_of(tmp_path / "all" / name)
        assert events_from_video(videos / "a/1.webm", ConvertConfig(**NOISY.given, noise_seed=noise_seed)) == events


def test_single_video_has_the_noise_of_its_file_name(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    save_clip(tmp_path / "clip.webm", 5)
    shutil.copy(tmp_path / "clip.webm", tmp_path / "elsewhere")
    shutil.copy(tmp_path / "clip.webm", tmp_path / "renamed.webm")
    for name in ("clip.webm", "elsewhere/clip.webm", "renamed.webm"):
        convert_video(tmp_path / name, tmp_path / f"{name}.h5", NOISY)
        assert events_from_video(tmp_path / name, NOISY) == read(tmp_path / f"{name}.h5")
    assert read(tmp_path / "clip.webm.h5") == read(tmp_path / "elsewhere/clip.webm.h5")
    assert read(tmp_path / "clip.webm.h5") != read(tmp_path / "renamed.webm.h5")
    chosen = [
        events_from_video(tmp_path / name, ConvertConfig(**NOISY.given, noise_seed=5))
        for name in ("clip.webm", "renamed.webm")
    ]
    assert chosen[0] == chosen[1]


def test_sensor_without_noise_stores_no_noise_seed(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip.webm", 5)
    convert_video(tmp_path / "clip.webm", tmp_path / "clip.h5", ConvertConfig(sigma_thres=0.02))
    assert noise_seed_of(tmp_path / "clip.h5") is None


@given(*[st.integers(1, 90)] * 4)
def test_sensor_shows_the_largest_middle_of_its_shape(width: int, height: int, columns: int, rows: int) -> None:
    video = open_video(np.zeros((1, height, width), np.uint8), VideoSettings(fps=30, crop=f"{width}x{height}+0+0"))
    seen = video.shown_on(SensorSize(width=columns, height=rows))
    assert seen.size == SensorSize(width=columns, height=rows)
    region = Region.parse(seen.settings.crop or "")
    assert region.is_inside(SensorSize(width=width, height=height))
    assert region.size.width == width or region.size.height == height
    assert abs(2 * region.left + region.size.width - width) <= 1
    assert abs(2 * region.top + region.size.height - height) <= 1
    scale = min(width / columns, height / rows)
    assert abs(region.size.width - scale * columns) <= max(0.5, 1 - scale * columns)
    assert abs(region.size.height - scale * rows) <= max(0.5, 1 - scale * rows)


@pytest.mark.parametrize(
    ("settings", "crop", "size"),
    [
        ({}, "64x64+16+0", "128x128"),
        ({"sensor_size": "keep"}, None, "96x64"),
        ({"resize": "24x12"}, "96x48+0+8", "24x12"),
        ({"crop": "90x60+2+3"}, "60x60+17+3", "128x128"),
        ({"crop": "20x20+2+3"}, "20x20+2+3", "128x128"),
    ],
)
def test_sensor_of_a_preset_has_its_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], crop: str | None, size: str
) -> None:
    conversion._note_crop.cache_clear()
    save_clip(tmp_path / "clip.webm", 5)
    config = ConvertConfig(**settings).with_preset("dvs128")
    done = convert_video(tmp_path / "clip.webm", tmp_path / "a.h5", config)
    video = open_recording(tmp_path / "a.h5").attributes["settings"]
    assert (video["crop"], str(done.sensor)) == (crop, size)
    assert (len(caplog.records) == 1) is (crop != settings.get("crop"))
    assert crop is None or crop == settings.get("crop") or mentions(caplog.text, crop, size, "keep")

    again = events_from_video(tmp_path / "clip.webm", config)
    assert again == read(tmp_path / "a.h5")
    assert len(caplog.records) <= 1


def stop_at(frame: int, stop: Callable[[], None]) -> Callable[[int, int], None]:
    """Return a progress callback that stops the conversion at a frame."""
    return lambda done, _: stop() if done == frame else None


def interrupt() -> None:
    raise KeyboardInterrupt


def test_invalid_video_leaves_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        picture = np.random.default_rng(number).integers(0, 256, (70, 120), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    (folder / "5.png").write_bytes(b"no picture")
    with raises(VideoError, "5.png"):
        convert_video(folder, tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_interrupt_leaves_no_files(tmp_path: Path) -> None:
    clip = tmp_path / "clip.webm"
    save_clip(clip, 5)
    with pytest.raises(KeyboardInterrupt):
        convert_video(clip, tmp_path / "out.h5", progress=stop_at(4, interrupt))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.webm"]


def test_leftovers_and_unreadable_files_do_not_stop_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.raw", "b.raw", ".dvspipe-12345678.raw", "c.h5.part/00000.raw"):
        write(tmp_path / "in" / name, random_events(0, 50))
    opened = Path.open

    def refuse(path: Path, *arguments: object, **options: Any) -> object:
        if path.name == "b.raw":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    outcomes = list(convert_many(plan_conversions([tmp_path / "in"], tmp_path / "out")))
    assert [outcome.item.source.name for outcome in outcomes] == ["a.raw", "b.raw"]
    assert outcomes[0].error is None
    assert mentions(str(outcomes[1].error), "b.raw", "Permission denied")


def test_file_is_converted_by_content_not_suffix(tmp_path: Path) -> None:
    events = random_events(0, 50)
    write(tmp_path / "a.h5", events)
    (tmp_path / "a.h5").rename(tmp_path / "a.mp4")
    assert not sources.is_video(tmp_path / "a.mp4")
    done = convert_task(ConversionTask(tmp_path / "a.mp4", tmp_path / "b.h5"))
    assert (done.frames, done.events) == (0, 50)


def test_empty_folder_does_not_stop_other_conversions(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", random_events(0, 50))
    (tmp_path / "empty").mkdir()
    tasks = plan_conversions([tmp_path / "a.npz", tmp_path / "empty"], tmp_path / "out")
    done, failed = convert_many(tasks)
    assert done.result().events == 50
    assert mentions(str(failed.error), "empty")
    for out in ("out", "x.h5"):
        with raises(FileError, "empty"):
            plan_conversions(tmp_path / "empty", tmp_path / out)


def test_text_notes_in_a_folder_are_skipped_with_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.npz", random_events(0, 50))
    (tmp_path / "notes.txt").write_text("Recorded on a sunny day.\n")
    (task,) = plan_conversions(tmp_path, tmp_path / "out")
    assert task.source.name == "a.npz"
    assert "notes.txt: " in caplog.text


def test_lists_of_a_data_set_are_not_converted(tmp_path: Path) -> None:
    write(tmp_path / "1" / "7.npz", random_events(0, 50))
    write_splits(tmp_path, [SplitRow.model_validate({"split": 1, "file": "1/7.npz", "class": "1", "part": "train"})])
    (tmp_path / "1" / "7_labels.csv").write_text("class,start_us,end_us\n1,0,500\n")
    tasks = plan_conversions(tmp_path, tmp_path / "out")
    assert [task.source.name for task in tasks] == ["7.npz"]


def test_kind_of_source_is_detected_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.npz", random_events(0, 20, SensorSize(width=12, height=7)))
    calls: list[Path] = []
    find = recognise

    def spy(path: Path) -> Format | None:
        calls.append(path)
        return find(path)

    monkeypatch.setattr("dvspipe.recordings.sources.recognise", spy)
    (task,) = plan_conversions(tmp_path / "a.npz", tmp_path / "b.h5")
    assert task.kind == SourceKind(is_video=False, format_name="numpy")
    assert pickle.loads(pickle.dumps(task)).kind == task.kind
    assert convert_task(task).events == 20
    assert calls == [tmp_path / "a.npz"]


def test_several_files_give_a_result_each(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(7, 600))
    write(tmp_path / "b.h5", random_events(8, 100))
    sources = [tmp_path / "a.h5", str(tmp_path / "b.h5")]
    done = convert(sources, tmp_path / "out", suffix="csv")
    assert sorted((one.path.name, one.events) for one in done) == [("a.csv", 600), ("b.csv", 100)]
    assert convert(sources, tmp_path / "out", suffix="csv") == ()
    with raises(PartialError, "1 of 2"):
        convert([tmp_path / "none.h5", tmp_path / "a.h5"], tmp_path / "more")
    assert (tmp_path / "more" / "a.h5").is_file()


def test_given_settings_take_precedence_over_a_preset_in_every_function(tmp_path: Path) -> None:
    source = tmp_path / "a.webm"
    save_clip(source, frames=3)
    given = FilmConfig(pos_thres=0.4)
    convert(source, tmp_path / "a.h5", ConvertConfig(pos_thres=0.4), preset="noisy")
    stored = info(tmp_path / "a.h5").attributes["settings"]
    assert (stored["pos_thres"], stored["shot_noise_rate_hz"] > 0) == (0.4, True)
    expected = read(tmp_path / "a.h5")
    assert events_from_video(source, given.with_preset("noisy")) == expected
    assert events_from_video(source, given) != expected
    with raises(ConfigError, "no_such_sensor"):
        convert(source, tmp_path / "b.h5", preset="no_such_sensor")
    with raises(ConfigError, "pos_thress"):
        ConvertConfig(pos_thress=1)
