from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import (
    ConfigError,
    FileError,
    FormatError,
    PartialError,
    VideoError,
)
from dvspipe.base.pool import Shard
from dvspipe.base.texts import warn_once
from dvspipe.events import concatenate
from dvspipe.formats import Hints, open_recording, read, write
from dvspipe.recordings import conversion, sources
from dvspipe.recordings.config import ConvertConfig, FilmConfig
from dvspipe.recordings.conversion import (
    ConversionTask,
    convert,
    convert_many,
    convert_recording,
    convert_video,
    events_from_video,
    plan_conversions,
)
from dvspipe.recordings.info import info
from dvspipe.results import SplitRow, write_splits
from dvspipe.simulator import SimulatorConfig, simulate
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
        plan_conversions([tmp_path / "empty"], tmp_path / "out.h5")
    write(tmp_path / "done" / "a.h5", random_events(0, 50))
    with raises(FileError, "done", "already .h5", "suffix"):
        plan_conversions([tmp_path / "done"], tmp_path / "out")


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


@pytest.mark.parametrize("wrong", [None, 1.5, [np.zeros((7, 12)), np.zeros((7, 11))], iter(np.zeros((3, 7, 12)))])
def test_invalid_images_and_frames_raise(wrong: Any) -> None:
    with raises(VideoError):
        events_from_video(wrong)
    with raises(VideoError, "Frame"):
        next(simulate([np.zeros((7, 12), np.uint8)] * 2))  # type: ignore[list-item]


def test_failed_conversions_are_one_line_and_done_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "in" / "one").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "in" / "one" / "a.png"), np.zeros((7, 12), np.uint8))
    save_clip(tmp_path / "in" / "cut.webm", 20)
    complete = (tmp_path / "in" / "cut.webm").read_bytes()
    (tmp_path / "in" / "cut.webm").write_bytes(complete[: len(complete) * 2 // 3])
    write(tmp_path / "in" / "good.bin", random_events(1, 500))
    (tmp_path / "in" / "wrong.bin").write_bytes((tmp_path / "in" / "good.bin").read_bytes()[:-1])
    tasks = plan_conversions(tmp_path / "in", tmp_path / "out")
    errors = {outcome.item.source.name: str(outcome.error or "") for outcome in convert_many(tasks, jobs=2)}
    assert sorted(errors) == ["cut.webm", "good.bin", "one", "wrong.bin"]
    assert mentions(errors["cut.webm"], "cut.webm", "truncated")
    assert mentions(errors["one"], "one", 1, 2)
    assert mentions(errors["wrong.bin"], "wrong.bin")
    assert errors["good.bin"] == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.h5"]
    (tmp_path / "in" / "cut.webm").write_bytes(complete)
    again = {outcome.item.source.name: outcome.error is None for outcome in convert_many(tasks)}
    assert again == {"cut.webm": True, "one": False, "wrong.bin": False}


def test_events_from_an_array_and_from_frames_are_the_same() -> None:
    array = np.random.default_rng(3).integers(0, 256, (5, 7, 12), np.uint8)
    config = ConvertConfig(fps=50, pos_thres=0.3)
    events = events_from_video(array, config)
    frames = list(frames_from_arrays(array, fps=50))
    assert events == concatenate(simulate(frames, SimulatorConfig(pos_thres=0.3)), frames[0].size)
    assert events == events_from_video(iter(frames), ConvertConfig(pos_thres=0.3))
    for kind in (list, tuple, torch.from_numpy):
        assert events_from_video(kind(array), config) == events
    for wrong, settings, facts in (
        (array, ConvertConfig(), "fps=30"),
        (frames, config, "fps"),
        (frames[:1], ConvertConfig(), ("1", "2")),
    ):
        with raises(VideoError, facts):
            events_from_video(wrong, settings)


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
    warn_once.cache_clear()
    save_clip(tmp_path / "clip.webm", 5)
    config = ConvertConfig(**settings).with_preset("dvs128")
    done = convert_video(tmp_path / "clip.webm", tmp_path / "a.h5", config)
    assert (open_recording(tmp_path / "a.h5").attributes["settings"]["crop"], str(done.sensor)) == (crop, size)
    assert events_from_video(tmp_path / "clip.webm", config) == read(tmp_path / "a.h5")
    is_noted = crop != settings.get("crop")
    assert [mentions(text, crop, size, "keep") for text in caplog.messages] == [True] * is_noted


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


def test_notes_and_lists_of_a_data_set_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "1" / "7.npz", random_events(0, 50))
    write_splits(tmp_path, [SplitRow.model_validate({"split": 1, "file": "1/7.npz", "class": "1", "part": "train"})])
    (tmp_path / "1" / "7_labels.csv").write_text("class,start_us,end_us\n1,0,500\n")
    (tmp_path / "notes.txt").write_text("Recorded on a sunny day.\n")
    (task,) = plan_conversions(tmp_path, tmp_path / "out")
    assert task.source.name == "7.npz"
    assert "notes.txt: " in caplog.text


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


@pytest.mark.parametrize("suffix", [".h5", ".csv", ".npz", ".aedat4", ".raw", ".bin"])
def test_video_converts_to_any_format_and_an_interrupt_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    clip, out = tmp_path / "clip.webm", tmp_path / f"events{suffix}"
    save_clip(clip, 6)

    def interrupt(done: float, _: float) -> None:
        assert not out.exists()
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_video(clip, out, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.webm"]
    done = convert_video(clip, out)
    expected = events_from_video(clip)
    assert (done.events, done.frames) == (len(expected), 6)
    with raises(FileError, out.name, "overwrite"):
        convert_video(clip, out)
    assert read(out, hints=Hints(sensor=str(expected.sensor))) == expected


def test_several_sources_need_a_folder_and_give_a_result_each(tmp_path: Path) -> None:
    for name, count in (("a", 600), ("b", 100)):
        write(tmp_path / f"{name}.h5", random_events(7, count))
    sources = [tmp_path / "a.h5", str(tmp_path / "b.h5")]
    done = convert(sources, tmp_path / "out", suffix="csv")
    assert sorted((one.path.name, one.events) for one in done) == [("a.csv", 600), ("b.csv", 100)]
    assert convert(sources, tmp_path / "out", suffix="csv") == ()
    with raises(PartialError, "1 of 2"):
        convert([tmp_path / "none.h5", tmp_path / "a.h5"], tmp_path / "more")
    assert (tmp_path / "more" / "a.h5").is_file()
    for name in ("out.h5", "a.h5", "/dev/full"):
        with raises(FileError, name, "folder"):
            plan_conversions(sources, tmp_path / name)
    with raises(FileError, ".xyz", ".h5"):
        plan_conversions(sources, tmp_path / "out", "xyz")


def test_unsorted_recording_is_an_error_or_sorted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x,y,p\n1,3,4,1\n5,3,4,0\n4,3,4,0\n", encoding="utf-8")
    config = ConvertConfig(sensor="12x7")
    with raises(FormatError, "a.csv", "4", "5"):
        convert_recording(tmp_path / "a.csv", tmp_path / "a.h5", config)
    convert_recording(tmp_path / "a.csv", tmp_path / "a.h5", config.model_copy(update={"sort": True}))
    assert read(tmp_path / "a.h5").t.tolist() == [1, 4, 5]


def test_settings_and_cameras_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 50))
    save_clip(tmp_path / "a.webm", 3)
    for name, config in (("a.h5", ConvertConfig(pos_thres=0.3)), ("a.webm", ConvertConfig(sort=True))):
        with raises(ConfigError, name, *config.given):
            convert(tmp_path / name, tmp_path / "b.csv", config)
    for source in (0, "0"):
        with raises(ConfigError, "stop_s"):
            convert_video(source, tmp_path / "b.csv")


def test_kind_of_a_source(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 50))
    (tmp_path / "a.h5").rename(tmp_path / "renamed.mp4")
    (tmp_path / "frames").mkdir()
    for name in ("clip.MP4", "clip", "empty.h5", "empty.raw"):
        (tmp_path / name).touch()
    kinds = {path.name: sources.is_video(path) for path in tmp_path.iterdir()}
    assert kinds == {
        "renamed.mp4": False,
        "frames": True,
        "clip.MP4": True,
        "clip": True,
        "empty.h5": False,
        "empty.raw": False,
    }
    assert sources.is_video(Path("0"))


def test_two_processes_may_convert_one_folder(tmp_path: Path) -> None:
    write(tmp_path / "in" / "0.bin", random_events(0, 20))
    tasks = plan_conversions(tmp_path / "in", tmp_path / "out")
    worker = conversion._ConversionWorker(ConvertConfig(), overwrite=False)
    first = worker(tasks[0], lambda *_: None)
    before = tasks[0].target.stat().st_mtime_ns
    assert worker(tasks[0], lambda *_: None) == first
    assert tasks[0].target.stat().st_mtime_ns == before
