"""Commands as users type them; most run in this process, a few in new processes."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import typing
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions

from dvspipe.base.progress import ignore_progress
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.cli.app import create_app, spell_options
from dvspipe.datasets.config import DataKind
from dvspipe.events import Events, SensorSize
from dvspipe.formats import Hints, read, write
from dvspipe.recordings.config import ConvertConfig
from dvspipe.synthesis import GestureClip, gesture_frames
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video


def run_in_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvspipe", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "wave.webm"
    write_video(path, gesture_frames(GestureClip(1, person=0, clip=0, seed=0)))
    return path


@pytest.fixture(scope="module")
def recording(clip: Path) -> Path:
    path = clip.with_suffix(".h5")
    dvspipe("convert", clip, "-o", path, cwd=clip.parent)
    return path


@pytest.mark.parametrize("words", [[], ["convert"], ["data"], ["data", "stats"]])
def test_help_shows_no_type_after_switches(words: list[str], tmp_path: Path) -> None:
    assert "bool" not in dvspipe(*words, "--help", cwd=tmp_path).stdout
    assert dvspipe("--version", cwd=tmp_path).stdout.startswith("dvspipe 0.")
    assert run_in_process("--version", cwd=tmp_path).stdout.startswith("dvspipe 0.")
    failed = run_in_process("info", "missing.h5", cwd=tmp_path)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)


QUICK = """
import sys
from dvspipe.cli.app import main
for typed in {typed}:
    sys.argv[1:] = typed
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
    assert not {{'torch', 'tonic', 'norse'}} & set(sys.modules), typed
"""


def test_light_commands_do_not_import_torch_or_tonic(clip: Path, recording: Path, tmp_path: Path) -> None:
    typed = [
        ["--help"],
        ["convert", str(clip), "-o", "out.h5"],
        ["info", str(recording)],
        ["view", str(recording), "-o", "out.png"],
    ]
    command = [sys.executable, "-c", QUICK.format(typed=typed)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_convert_writes_and_counts_events(clip: Path, tmp_path: Path) -> None:
    said = dvspipe("convert", clip, "-o", "a.h5", cwd=tmp_path).stdout
    events = read(tmp_path / "a.h5")
    assert len(events) > 10_000
    assert f"{len(events):,} events" in said
    dvspipe("convert", clip, "-o", "b.h5", "--pos-thres", "0.4", "--neg-thres", "0.4", cwd=tmp_path)
    assert len(read(tmp_path / "b.h5")) < 0.7 * len(events)
    dvspipe("convert", clip, "-o", "c.h5", "--fps", "50", cwd=tmp_path)
    assert read(tmp_path / "c.h5").duration_us == pytest.approx(2 * events.duration_us, rel=0.01)


def test_markup_in_file_names_is_printed_verbatim(clip: Path, tmp_path: Path) -> None:
    said = dvspipe("convert", clip, "-o", "clip [red] [x].h5", cwd=tmp_path).stdout
    assert said.startswith("clip [red] [x].h5: ")
    assert "clip [red] [x].h5" in dvspipe("info", "clip [red] [x].h5", cwd=tmp_path).stdout


def test_transfer_setting_reaches_simulator(clip: Path, tmp_path: Path) -> None:
    dvspipe("convert", clip, "-o", "srgb.h5", cwd=tmp_path)
    dvspipe("convert", clip, "-o", "linear.h5", "--transfer", "linear", cwd=tmp_path)
    assert len(read(tmp_path / "srgb.h5")) > 1.5 * len(read(tmp_path / "linear.h5"))


def test_compare_prints_similarity_of_recordings(recording: Path, tmp_path: Path) -> None:
    said = dvspipe("compare", recording, recording, cwd=tmp_path).stdout
    assert "map correlation" in said
    figures = json.loads(dvspipe("compare", recording, recording, "--json", cwd=tmp_path).stdout)
    assert (figures["nearest_to_a_us"], figures["alone_b"]) == (0, 0)
    write(tmp_path / "other.h5", random_events(0, 20))
    assert "12x7" in dvspipe("compare", recording, "other.h5", cwd=tmp_path, code=2).stderr


def test_calibration_output_works_as_preset(test_data: Path, clip: Path, tmp_path: Path) -> None:
    dvspipe("calibrate", test_data / "davis" / "faery_davis346.aedat4", "-o", "davis.yaml", cwd=tmp_path)
    dvspipe("convert", clip, "-o", "a.h5", "--preset", "davis.yaml", "--upsample", "auto", cwd=tmp_path)
    settings = json.loads(dvspipe("info", "a.h5", "--json", cwd=tmp_path).stdout)["attributes"]["settings"]
    assert 0.1 < settings["pos_thres"] < 0.2
    assert settings["upsample"] == "auto"


def test_info_prints_contents(recording: Path, tmp_path: Path) -> None:
    one = json.loads(dvspipe("info", recording, "--json", cwd=tmp_path).stdout)
    events = read(recording)
    assert {key: one[key] for key in ("file", "format", "width", "height", "sensor_source", "events")} == {
        "file": str(recording),
        "format": "hdf5",
        "width": 128,
        "height": 128,
        "sensor_source": "file",
        "events": len(events),
    }
    assert (one["t_first_us"], one["t_last_us"], one["duration_us"]) == (events.t[0], events.t[-1], events.duration_us)
    assert one["on_fraction"] == pytest.approx(events.p.mean())
    assert "128 x 128 (file)" in dvspipe("info", recording, cwd=tmp_path).stdout
    (tmp_path / "a.bin").write_bytes(bytes([3, 4, 0x80, 0, 9]))
    one = json.loads(dvspipe("info", "a.bin", "--sensor", "50x40", "--json", cwd=tmp_path).stdout)
    assert (one["width"], one["sensor_source"]) == (50, "given")


def test_convert_cut_merge_and_filter_recordings(tmp_path: Path) -> None:
    events = random_events(1, 2000, SensorSize(width=240, height=180))
    write(tmp_path / "a.h5", events)
    dvspipe("convert", "a.h5", "-o", "a.csv", cwd=tmp_path)
    assert read(tmp_path / "a.csv", hints=Hints(sensor="240x180")) == events
    dvspipe(
        "cut", "a.h5", "-o", "cut.npz", "--start-s", 0.02, "--stop-s", 0.05, "--region", "100x90+20+10", cwd=tmp_path
    )
    first = int(events.t[0])
    kept = events.between(first + 20_000, first + 50_000).crop(20, 10, SensorSize(width=100, height=90))
    assert read(tmp_path / "cut.npz") == kept
    outside = dvspipe("cut", "a.h5", "-o", "cut2.h5", "--region", "100x90+200+10", cwd=tmp_path, code=2).stderr
    assert "a.h5: region 100x90+200+10" in outside
    assert not (tmp_path / "cut2.h5").exists()
    dvspipe("merge", "a.h5", "a.csv", "-o", "both.h5", "--sensor", "240x180", cwd=tmp_path)
    assert np.array_equal(read(tmp_path / "both.h5").t, np.repeat(events.t, 2))
    dvspipe("merge", "a.h5", "a.h5", "-o", "long.h5", "--gap-us", 5000, cwd=tmp_path)
    assert read(tmp_path / "long.h5").duration_us == 2 * events.duration_us + 5000
    wrong = dvspipe("merge", "a.h5", "cut.npz", "-o", "both2.h5", cwd=tmp_path, code=2).stderr
    assert mentions(wrong, "cut.npz", "100x90", "240x180", "a.h5")
    said = dvspipe("filter", "both.h5", "-o", "once.h5", "--refractory-us", 1, cwd=tmp_path).stdout
    assert mentions(said, "2,000")
    assert len(read(tmp_path / "once.h5")) == 2000


def test_unsorted_recordings_are_named_or_sorted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t,x,y,p\n1,3,4,1\n5,3,4,0\n4,3,4,0\n", encoding="utf-8")
    report = dvspipe("info", "a.csv", "--json", cwd=tmp_path, code=1)
    assert mentions(json.loads(report.stdout)["problem"], "a.csv", "event 2", "t = 4 us")
    failed = dvspipe("convert", "a.csv", "-o", "a.h5", cwd=tmp_path, code=2).stderr
    assert mentions(failed, "event 2", "t = 4 us")
    dvspipe("convert", "a.csv", "-o", "sorted.h5", "--sort", cwd=tmp_path)
    assert read(tmp_path / "sorted.h5").t.tolist() == [1, 4, 5]
    (tmp_path / "b.csv").write_text("1.5 3 4 1\n", encoding="utf-8")
    assert "--colums" in dvspipe("info", "b.csv", "--colums", "txyp", cwd=tmp_path, code=2).stderr


def test_videos_are_converted_once(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.webm").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "sub" / "b.webm").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    typed = ["convert", "in", "-o", "out", "--stop-s", "0.3"]
    done = dvspipe(*typed, "--jobs", "2", "--preset", "noisy", cwd=tmp_path, code=None)
    assert done.returncode == 1
    assert "bad.mp4: " in done.stderr
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.h5")} == {
        "a.h5",
        "sub/b.h5",
    }
    assert read(tmp_path / "out" / "a.h5") != read(tmp_path / "out" / "sub" / "b.h5")  # each has its own noise
    (tmp_path / "in" / "bad.mp4").unlink()
    again = dvspipe(*typed, "--preset", "noisy", "--json", cwd=tmp_path)
    assert (mentions(again.stderr, "2 of 2", "overwrite"), again.stdout) == (True, "")


def test_exit_code_is_2_if_all_inputs_failed_and_1_if_some(tmp_path: Path) -> None:
    write(tmp_path / "good.h5", random_events(0, 500))
    for name in ("a", "b"):
        (tmp_path / f"{name}.h5").write_bytes(b"no events")
    for words, count in (
        (["info", "a.h5", "b.h5"], 2),
        (["convert", "a.h5", "b.h5", "-o", "out", "--suffix", ".npz"], 2),
        (["info", "a.h5", "good.h5"], 1),
        (["convert", "a.h5", "good.h5", "-o", "out", "--suffix", ".npz"], 1),
    ):
        done = dvspipe(*words, cwd=tmp_path, code=None)
        assert (done.returncode, mentions(done.stderr, f"{count} of 2")) == (count, True), done.stderr


def test_usage_errors_say_what_to_write(clip: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 500))
    write(tmp_path / "b.h5", Events.empty((34, 34)))
    content = (tmp_path / "a.h5").read_bytes()
    for words, facts in (
        (["convert", clip, "-o", "c.h5", "--start-s", "-1"], ("start_s", "-1")),
        (["view", "a.h5", "-o", "a.png", "--speed", "nan"], ("speed", "nan", "finite")),
        (["view", "a.h5", "-o", "a.jpg"], ("a.jpg", ".png", ".webm")),
        (["compare", "a.h5", "b.h5"], ("b.h5", "34x34", "12x7", "a.h5")),
        (["hlep"], ("hlep", "convert")),
        (["convert", clip, "-o", "a.h5/c.h5"], ("a.h5: ", "folder")),
    ):
        assert mentions(dvspipe(*words, cwd=tmp_path, code=2).stderr, *facts)
    assert (tmp_path / "a.h5").read_bytes() == content


def test_options_of_every_command_may_stand_anywhere(recording: Path, tmp_path: Path) -> None:
    for words in (["-q", "info", recording], ["info", "-q", recording], ["info", recording, "-q"]):
        assert "hdf5" in dvspipe(*words, cwd=tmp_path).stdout


def test_view_of_video_suggests_convert(clip: Path, tmp_path: Path) -> None:
    failed = dvspipe("view", clip, "-o", "a.gif", cwd=tmp_path, code=2).stderr
    assert failed.endswith(f"dvspipe convert {clip} -o {clip.with_suffix('.h5')}\n")


def test_info_prints_facts_and_settings(tmp_path: Path) -> None:
    write(
        tmp_path / "a.h5", random_events(0, 500), settings=ConvertConfig(pos_thres=0.3).to_record(), source="film.mp4"
    )
    lines = [line.split() for line in dvspipe("info", "a.h5", cwd=tmp_path).stdout.splitlines()]
    assert ["pos_thres", "0.3"] in lines
    assert [line[0] for line in lines[1:6]] == ["format", "sensor", "events", "time", "polarity"]


def test_json_output_has_one_object_per_file_and_failures_are_lines(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    events = random_events(1, 500)
    write(tmp_path / "in" / "a.bin", events)
    (tmp_path / "in" / "b.bin").write_bytes((tmp_path / "in" / "a.bin").read_bytes()[:-1])
    for jobs in (2, 1):  # failures are retried, and skipped again
        done = dvspipe("convert", "in", "-o", "out", "--sensor", "12x7", "--json", "-j", jobs, cwd=tmp_path, code=None)
        assert done.returncode == 1
        assert "skipped: in/b.bin: " in done.stderr
        (tmp_path / "out" / "a.h5").unlink()
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            {
                "file": "out/a.h5",
                "width": 12,
                "height": 7,
                "frames": 0,
                "events": 500,
                "duration_us": events.duration_us,
            }
        ]


def test_truncated_video_is_one_line(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    (tmp_path / "cut.webm").write_bytes(content[: len(content) // 2])
    said = dvspipe("convert", "cut.webm", "-o", "cut.csv", cwd=tmp_path, code=2).stderr
    assert mentions(said, "cut.webm", "truncated")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.webm"]


@pytest.mark.parametrize(
    ("source", "options", "named"),
    [
        (
            "CLIP",
            ["--sensor", "10x10", "--time-unit", "us", "--sort"],
            ("sensor", "sort"),
        ),
        (
            "a.h5",
            ["--start-s", "1", "--crop", "3x3+1+1", "--pos-thres", "1", "--preset", "noisy"],
            ("a.h5", "start_s", "crop", "pos_thres"),
        ),
    ],
)
def test_options_for_other_kind_of_source_are_rejected(
    clip: Path, tmp_path: Path, source: str, options: list[str], named: object
) -> None:
    write(tmp_path / "a.h5", random_events(0, 20))
    source = str(clip) if source == "CLIP" else source
    assert mentions(dvspipe("convert", source, "-o", "b.h5", *options, cwd=tmp_path, code=2).stderr, named)
    assert not (tmp_path / "b.h5").exists()


def test_mixed_folder_accepts_options_of_both_kinds(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.webm").write_bytes(clip.read_bytes())
    write(tmp_path / "in" / "b.bin", random_events(0, 20))
    dvspipe("convert", "in", "-o", "out", "--resize", "16x12", "--sensor", "50x40", cwd=tmp_path)
    sensors = [str(read(tmp_path / "out" / name).sensor) for name in ("a.h5", "b.h5")]
    assert sensors == ["16x12", "50x40"]


@pytest.mark.parametrize("suffix", [".webm", ".gif", ".png"])
def test_view_shows_events(recording: Path, tmp_path: Path, suffix: str) -> None:
    dvspipe("view", recording, "-o", f"a{suffix}", "--colours", "dark", cwd=tmp_path)
    if suffix == ".png":
        assert cv2.imread(str(tmp_path / "a.png")).std() > 5
    else:
        capture = cv2.VideoCapture(str(tmp_path / f"a{suffix}"))
        assert capture.read()[0]
        capture.release()
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def one_corner(side: int) -> Events:
    return Events([0, 10], [0, side - 1], [0, side - 1], [0, 1], SensorSize(width=side, height=side))


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "a.png"])
def test_view_of_largest_sensor_uses_little_memory(name: str, tmp_path: Path) -> None:
    write(tmp_path / "largest.h5", one_corner(32767))
    tracemalloc.start()
    dvspipe("view", "largest.h5", "-o", name, cwd=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 << 20  # one byte per pixel would take 1 GB
    picture = cv2.VideoCapture(str(tmp_path / name)).read()[1]
    assert max(picture.shape) < 3000


@pytest.mark.parametrize("beside", [[], ["--beside", "CLIP"]])
def test_view_crops_and_scales(beside: list[str], clip: Path, recording: Path, tmp_path: Path) -> None:
    typed = [str(clip) if word == "CLIP" else word for word in beside]
    part = ["--start-s", 0.2, "--stop-s", 0.5, "--side-px", 384 if beside else 180, "--window-us", 50_000]
    region = [] if beside else ["--region", "60x40+20+30"]
    said = dvspipe("view", recording, "-o", "part.gif", *part, *region, *typed, cwd=tmp_path).stdout
    assert ("128x128" if beside else "60x40") in said
    capture = cv2.VideoCapture(str(tmp_path / "part.gif"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 6  # 300 ms in pictures of 50 ms
    size = open_video(clip).size
    events_px = 3 * (128 if beside else 60)
    video_px = round(3 * 128 * size.width / size.height) if beside else 0
    assert abs(capture.get(cv2.CAP_PROP_FRAME_WIDTH) - video_px - events_px) <= 1  # widths are even
    capture.release()


def write_two_classes(root: Path) -> None:
    rng = np.random.default_rng(0)
    sensor = SensorSize(width=16, height=12)
    for name, left in (("left", 0), ("right", 8)):
        for number in range(12):
            t = np.sort(rng.integers(0, 60_000, 200))
            events = Events(
                t, left + rng.integers(0, 8, 200), rng.integers(0, 12, 200), rng.integers(0, 2, 200), sensor
            )
            write(root / name / f"{number}.h5", events)


SHORT = ["steps=4", "step_us=15000", "channels=[4]", "kernel=3", "epochs=6"]


def test_train_then_infer(tmp_path: Path) -> None:
    write_two_classes(tmp_path / "data")
    (tmp_path / "mine.yaml").write_text("name: mine\ndata: folder\nbatch: 4\nlearning_rate: 0.02\n")
    said = dvspipe("train", "mine.yaml", "root=data", *SHORT, cwd=tmp_path).stdout
    run = tmp_path / "runs" / "train" / "mine"
    assert {path.name for path in run.iterdir()} == {
        "args.yaml",
        "split.json",
        "results.csv",
        "metrics.jsonl",
        "test.json",
        "activity.json",
        "report.html",
        "weights",
    }
    assert mentions(said, "100.0%")
    assert "synthetic" not in said
    assert "synthetic" not in (run / "report.html").read_text().lower()
    checkpoint = run / "weights" / "best.safetensors"
    said = dvspipe("infer", checkpoint, "data/left/0.h5", "data/right/1.h5", "--out", "said", cwd=tmp_path).stdout
    assert "left" in said
    rows = list(csv.DictReader((tmp_path / "said" / "predictions.csv").read_text().splitlines()))
    assert [(row["file"], row["label"], row["class"]) for row in rows] == [
        ("data/left/0.h5", "0", "left"),
        ("data/right/1.h5", "1", "right"),
    ]
    done = dvspipe("export", checkpoint, "-o", "a.nir", cwd=tmp_path)
    assert mentions(done.stdout, "a.nir", "nir")
    done = dvspipe("export", checkpoint, "-o", "b.nir", "--dt", "0.03", cwd=tmp_path)
    assert mentions(done.stdout, "b.nir", "0.03")
    dvspipe("export", checkpoint, "-o", "a.nir", cwd=tmp_path, code=2)
    dvspipe("train", "mine.yaml", "root=data", *SHORT, "epochs=1", cwd=tmp_path)
    assert (tmp_path / "runs" / "train" / "mine-2").is_dir()
    dvspipe("train", "mine.yaml", "root=data", "--out", run, cwd=tmp_path, code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "missing.mp4", "-o", "out.h5"], "missing.mp4"),
        (["convert", "text.mp4", "-o", "out.h5"], ("text.mp4", "OpenCV")),
        (["convert", "one", "-o", "out.h5"], ("one", "1", "2")),
        (["convert", "CLIP", "-o", "there.h5"], ("there.h5", "overwrite")),
        (["convert", "CLIP", "-o", "out.avi"], ("out.avi", ".h5")),
        (["convert", "one", "CLIP", "-o", "out.h5"], "out.h5"),
        (["convert", "CLIP", "-o", "/dev/full"], "/dev/full"),
        (["convert", "one", "CLIP", "-o", "out", "--suffix", "xyz"], (".xyz", ".h5")),
        (["convert", "missing.mp4", "-o", "there.h5"], "missing.mp4"),
        (["convert", "missing.h5", "-o", "there.h5", "--fps", "3"], "missing.h5"),
        (["convert", "text.odt", "-o", "out.h5"], ("text.odt", "OpenCV")),
        (["convert", "CLIP", "-o", "out.h5", "--start-s", "100"], "start"),
        (["convert", "CLIP", "-o", "out.h5", "--start-s", "1", "--stop-s", "0.5"], "0.5"),
        (["convert", "CLIP", "-o", "out.h5", "--fps", "1e9"], "1000000"),
        (
            ["convert", "CLIP", "-o", "out.h5", "--pos-tres", "1"],
            ("--pos-tres", "--pos-thres"),
        ),
        (["convert", "CLIP", "-o", "new/out.h5", "--pos-thres", "0"], ("pos_thres = '0'", "0.001")),
        (["convert", "CLIP", "-o", "out.h5", "--pos-thres", "true"], ("pos_thres", "true")),
        (
            ["convert", "CLIP", "-o", "out.h5", "--crop", "99x99+99+99"],
            ("99x99+99+99", "128x128"),
        ),
        (["train", "nmnist", "channels=[0]"], ("channels", "1")),
        (["train", "nmnist", "lr=0.1"], "lr = 0.1"),
        (["train", "nmnist", "name=!!timestamp x"], "YAML"),
        (["train", "nmnist", "--epochs", "5"], "--epochs"),
        (["train", "nmnist", "--resume", "-o", "nosuchrun"], "nosuchrun"),
        (["infer", "there.h5"], "RECORDINGS"),
        (["infer", "gesture"], "RECORDINGS"),
        (["infer", "gesture", "there.h5", "--thresold", "0.1"], "--thresold"),
        (["infer", "gesture", "there.h5", "--enter", "0.3"], ("enter = 0.3", "leave = 0.35")),
        (["convert", "CLIP", "-o", "out.h5", "--threshold", "1"], "--threshold"),
        (["live", "there.h5", "--on", "wave"], ("--on", "2")),
        (["convert", "CLIP", "-o", "out.h5", "--jobs"], "--jobs"),
        (["train", "nmnist", "group=("], "group = '('"),
        (["view", "there.h5", "-o", "out.gif", "--window-us", "nan"], "window_us = 'nan'"),
        (["merge", "there.h5", "there.h5", "-o", "out.h5", "--gap", "5"], ("--gap", "--gap-us")),
        (["merge", "there.h5", "there.h5", "-o", "out.h5", "--gap-us", "-5"], "gap_us = -5"),
        (["view", "there.h5", "-o", "out.gif", "--region", "2x2+0+0", "--beside", "a.mp4"], "region"),
        (
            ["view", "there.h5", "-o", "out.gif", "--chart", "xyt"],
            ("out.gif", ".gif", ".png"),
        ),
        (["view", "there.h5", "-o", "out.gif", "--mode", "spiral"], ("spiral", "count", "surface")),
        (["view", "there.h5", "-o", "out.gif", "--colours", "spiral"], ("spiral", "light", "dark")),
        (["view", "CLIP", "-o", "out.gif"], ("is a video", "dvspipe convert")),
        (["view", "there.h5", "-o", "out.gif", "--beside", "text.mp4"], ("text.mp4", "OpenCV")),
        (
            ["view", "there.h5", "-o", "out.png", "--chart", "rate", "--beside", "CLIP"],
            ("beside", "chart"),
        ),
        (
            ["convert", "CLIP", "-o", "out.h5", "--transfer", "rec2020"],
            ("rec2020", "srgb", "bt709", "gamma=x", "linear"),
        ),
        (["convert", "CLIP"], "--out"),
        (["info", "missing.h5"], "missing.h5"),
        (["info", "empty.bin"], "empty.bin"),
        (["info", "cut.bin"], ("cut.bin", "7 bytes")),
        (["info", "cut.h5"], ("cut.h5", "truncated")),
        (["convert", "cut.bin", "-o", "out.csv"], ("cut.bin", "7 bytes")),
        (["info", "there.h5", "--sensor", "12"], ("sensor", "12")),
        (["view", "there.h5", "-o", "out.mp3"], ("out.mp3", ".mp3")),
        (["view", "there.h5", "-o", "out.png", "--chart", "loud"], ("--chart", "xyt", "rate")),
        (
            ["view", "there.h5", "-o", "out.gif", "--start-s", "5"],
            ("there.h5", "5 s"),
        ),
        (
            ["view", "there.h5", "-o", "out.gif", "--start-s", "2", "--stop-s", "1"],
            ("there.h5", "1 s", "2 s"),
        ),
        (["view", "there.h5", "-o", "out.gif", "--region", "6x6"], ("6x6", "WIDTHxHEIGHT+LEFT+TOP")),
        (["view", "there.h5", "-o", "out.gif", "--region", "6x6+9+0"], ("there.h5", "6x6+9+0")),
        (["compare", "largest.h5", "largest.h5"], "32767x32767"),
        (["view", "there.h5", "-o", "out.gif", "--colours", "pink"], ("pink", "light", "dark")),
        (["train", "nowhere"], "nowhere"),
        (["train", "nmnist", "rot=x"], "rot = 'x'"),
        (["train", "nmnist", "root=one"], "Train"),
        (["infer", "missing.safetensors", "there.h5"], "missing.safetensors"),
        (["infer", "text.mp4", "there.h5"], "text.mp4"),
        (["calibrate", "there.h5", "-o", "out.yaml"], "there.h5"),
        (["convert", "CLIP", "-o", "out.h5", "--upsample", "much"], "upsample"),
        (
            ["convert", "CLIP", "-o", "out.h5", "--preset", "eyeball"],
            "eyeball",
        ),
        (["synth", "nmnist", "-o", "out"], "--mnist"),
        (["synth", "nmnist", "-o", "out", "--mnist", "one"], ("one", "train-images-idx3-ubyte")),
        (
            ["synth", "nmnist", "-o", "out", "--mnist", "one", "--exclude", "one"],
            ("one", "Train", "Test"),
        ),
        (["view", "-o", "out.png"], "RECORDING"),
        (["export", "there.h5", "-o", "out.nir"], "there.h5"),
        (["export", "there.h5", "-o", "out.pdf"], ("out.pdf", ".nir", ".onnx")),
        (["fly"], "fly"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: object, clip: Path, tmp_path: Path
) -> None:
    for name in ("text.mp4", "text.odt"):
        (tmp_path / name).write_text("no video")
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "a.png"), np.zeros((7, 12), np.uint8))
    write(tmp_path / "there.h5", random_events(0, 20))
    for name, side in (("large", 2000), ("largest", 32767)):
        write(tmp_path / f"{name}.h5", one_corner(side))
    (tmp_path / "empty.bin").touch()
    (tmp_path / "cut.bin").write_bytes(b"1234567")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "there.h5").read_bytes()[:3000])
    before = sorted(tmp_path.rglob("*"))
    typed = [str(clip) if word == "CLIP" else word for word in arguments]
    assert mentions(dvspipe(*typed, cwd=tmp_path, code=2).stderr, message)
    assert sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_stops_conversion_without_output(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(600):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.bmp"), rng.integers(0, 255, (120, 160), np.uint8))
    command = [sys.executable, "-m", "dvspipe", "convert", "images", "-o", "out/a.h5", "--pos-thres", "0.02"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        while not (tmp_path / "out").exists():
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, said.strip().splitlines()) == (-signal.SIGINT, ["dvspipe: interrupted"])
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message", "typed"),
    [
        ("convert", "a.h5: already exists; use overwrite to replace it", "; use --overwrite to replace it"),
        (
            "convert",
            "a: no times; use fps=30, or time_unit=us to set it",
            "; use --fps 30, or --time-unit us to set it",
        ),
        ("train", "a: no sensor; use sensor=WxH to set it", "; use sensor=WxH to set it"),
        ("data stats", "out: use of a file", ": use of a file"),
    ],
)
def test_advice_names_options_as_they_are_typed(command: str, message: str, typed: str) -> None:
    names = command.split()
    app = create_app(names, progress=ignore_progress)
    assert spell_options(message, app, names).endswith(typed)


def test_every_kind_of_data_set_is_listed(tmp_path: Path) -> None:
    assert set(json.loads(dvspipe("data", "list", "--json", cwd=tmp_path).stdout)) == set(typing.get_args(DataKind))
    listed = dvspipe("data", "list", cwd=tmp_path).stdout.splitlines()
    assert {line.split()[0] for line in listed[1:] if line} >= set(typing.get_args(DataKind))


def test_tables_of_statistics_never_wrap_names(tmp_path: Path) -> None:
    name = "a_class_with_a_name_that_is_longer_than_a_column"
    for kind in (name, "b"):
        for number in range(4):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            write(tmp_path / "data" / kind / f"{number}.h5", random_events(number + 10 * (kind == "b"), 2_000))
    (tmp_path / "mine.yaml").write_text("data: folder")
    for columns in (None, 80):
        shown = dvspipe("data", "stats", "mine.yaml", "root=data", cwd=tmp_path, columns=columns).stdout
        row = next(line for line in shown.splitlines() if line.startswith(name))
        assert "4,000" in row
        assert "…" not in shown


def test_timestamps_file_requires_single_video(clip: Path, tmp_path: Path) -> None:
    frames = len(list(open_video(clip).frames()))
    start_us = 1_700_000_000_000_000
    times = tmp_path / "times.txt"
    times.write_text("".join(f"{start_us + 10_000 * number}\n" for number in range(frames)))
    failed = dvspipe("convert", clip, "-o", "a.h5", "--timestamps", times, cwd=tmp_path, code=2)
    assert "--time-unit UNIT" in failed.stderr
    options = ("--timestamps", times, "--time-unit", "us")
    dvspipe("convert", clip, "-o", "a.h5", *options, cwd=tmp_path)
    t = read(tmp_path / "a.h5").t
    assert start_us <= t[0] < t[-1] <= start_us + 10_000 * (frames - 1)
    other = tmp_path / "other.webm"
    other.write_bytes(clip.read_bytes())
    failed = dvspipe("convert", clip, other, "-o", "many", *options, cwd=tmp_path, code=2)
    assert mentions(failed.stderr, "timestamps", "2 sources")
    failed = dvspipe("convert", "7", "-o", "b.h5", cwd=tmp_path, code=None)
    assert failed.stderr.count("camera 7") == 1
    assert not (tmp_path / "b.h5").exists()


def test_synth_gestures_marks_output_as_synthetic(tmp_path: Path) -> None:
    few = ["synth", "gestures", "-o", "made", "--people", 1, "--clips", 1, "--duration-us", 100_000, "--jobs", 1]
    assert mentions(dvspipe(*few, cwd=tmp_path).stdout, "synthetic recordings: 13", "new: 13")
    assert ", new: 0" in dvspipe(*few, cwd=tmp_path).stdout
    assert len(list((tmp_path / "made" / "other_gestures").iterdir())) == 3
    recording = next((tmp_path / "made" / "arm_roll").iterdir())
    assert "synthetic" in dvspipe("info", recording, cwd=tmp_path).stdout
    assert mentions(dvspipe(*few, "--seed", 1, cwd=tmp_path, code=2).stderr, "seed", "synthesis.json", 0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gestures", "-o", "x", "--people", "0"], "people = 0"),
        (["gestures", "-o", "x", "--duration-us", "0"], "duration_us = 0"),
        (["gestures", "-o", "full"], "full"),
        (["gestures", "-o", "full/file"], "full/file"),
        (["dances", "-o", "x"], "dances"),
    ],
)
def test_synth_errors_are_explained(tmp_path: Path, arguments: list[str], said: object) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert mentions(dvspipe("synth", *arguments, cwd=tmp_path, code=2).stderr, said)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_only_complete_synthetic_recordings(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "dvspipe",
        "synth",
        "gestures",
        "-o",
        "made",
        "--jobs",
        "2",
        "--duration-us",
        "200000",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        while not any((tmp_path / "made").glob("*/[!.]*.h5")):
            assert running.poll() is None
            time.sleep(0.02)
        os.killpg(running.pid, number)  # like a terminal, or a service manager
        _, said = running.communicate(timeout=60)
    slow = ("synth: ",)  # progress lines start after 10 s
    lines = [line for line in said.splitlines() if not any(text in line for text in slow)]
    assert (running.returncode, lines) == (-signal.SIGINT, ["dvspipe: interrupted"])
    # Files that are being written may remain on a busy machine; the next run removes them.
    files = [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert {path.suffix for path in files if not path.name.startswith(".")} == {".h5", ".json"}
    assert all(len(read(path)) for path in files if path.suffix == ".h5" and not path.name.startswith("."))
    hidden = {path.name for path in files if path.name.startswith(".")}
    assert all(name == ".lock" or name.startswith(".dvspipe-") for name in hidden)


def test_shipped_configurations_are_listed_shown_and_copied(tmp_path: Path) -> None:
    listed = dvspipe("configs", "list", cwd=tmp_path).stdout
    assert all(name in listed for name in (*shipped_configs(), *shipped_configs("sensors")))
    described = [line for line in listed.splitlines() if line.startswith("  ")]
    assert [line for line in described if not line.rstrip().endswith(".")] == []  # each first line is a sentence
    shown = dvspipe("configs", "show", "nmnist", cwd=tmp_path).stdout
    dvspipe("configs", "copy", "nmnist", "mine.yaml", cwd=tmp_path)
    copied = (tmp_path / "mine.yaml").read_text().strip()
    assert copied == shown.strip().replace("name: nmnist", "name: mine")  # the name is the default run folder
    assert "root" in dvspipe("train", "mine.yaml", cwd=tmp_path, code=2).stderr
    assert "mine.yaml: " in dvspipe("configs", "copy", "nmnist", "mine.yaml", cwd=tmp_path, code=2).stderr
    assert "cutoff_hz" in dvspipe("configs", "show", "gen4", cwd=tmp_path).stdout
    assert "nowhere: " in dvspipe("configs", "show", "nowhere", cwd=tmp_path, code=2).stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("what", ["convert", "synth"])
def test_killed_worker_is_one_line_and_finished_files_remain(what: str, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number:02}.webm").write_bytes(clip.read_bytes())
    arguments = {
        "convert": ["convert", "in", "-o", "out", "--preset", "noisy", "--pos-thres", "0.02"],
        "synth": ["synth", "gestures", "-o", "out", "--people", "4"],
    }[what]
    command = [sys.executable, "-m", "dvspipe", "--quiet", *arguments, "--jobs", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        while not finished_files(tmp_path / "out"):
            assert running.poll() is None
            time.sleep(0.02)
        os.kill(workers_of(running.pid)[0], signal.SIGKILL)
        _, said = running.communicate(timeout=60)
    assert running.returncode == (1 if what == "convert" else 2)  # the other videos are converted
    assert said.count("its worker process died") == 1
    assert "Traceback" not in said
    files = finished_files(tmp_path / "out")
    assert files
    assert all(len(read(path)) for path in files)


def finished_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.h5") if not path.name.startswith(".")]


def workers_of(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            own = status.read_text().rpartition(")")[2].split()
            if int(own[1]) == parent and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize(
    ("argv", "facts"),
    [
        (["filter", "a.h5", "-o", "b.h5", "--refractory-us", "-5000"], ["refractory_us", "-5000", "1"]),
        (["filter", "a.h5", "-o", "b.h5", "--refractory-us", "x"], ["refractory_us", "x"]),
        (["demo", "--minutes", "99"], ["minutes", "99", "60"]),
        (["view", "a.h5", "-o", "a.gif", "--fps", "999"], ["fps", "999", "120"]),
    ],
)
def test_invalid_option_value_is_explained(argv: list[str], facts: list[str], tmp_path: Path) -> None:
    said = dvspipe(*argv, cwd=tmp_path, code=2).stderr
    assert mentions(said, *facts)
    assert "Value error" not in said


def test_resuming_needs_the_run_folder_and_may_change_the_folder_of_recordings(tmp_path: Path) -> None:
    assert mentions(dvspipe("train", "nmnist", "--resume", cwd=tmp_path, code=2).stderr, "resume", "--out FOLDER")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "args.yaml").write_text("data: nmnist\nroot: nowhere\n")
    said = dvspipe("train", ".", "--resume", "-o", "run", "root=gone", cwd=tmp_path, code=2).stderr
    assert mentions(said, "root = gone")


@pytest.mark.parametrize("config", ["nmnist", "."])
def test_missing_run_to_resume_is_named(config: str, tmp_path: Path) -> None:
    said = dvspipe("train", config, "--resume", "-o", "nothere", cwd=tmp_path, code=2).stderr
    assert "nothere: " in said
    assert "mnist-stdp" not in said


def test_frames_with_the_suffix_of_a_file_names_the_format(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", random_events(0, 50))
    failed = dvspipe("frames", "a.h5", "-o", "frames.npy", cwd=tmp_path, code=2)
    assert mentions(failed.stderr, "frames.npy", "--format")
    assert not (tmp_path / "frames.npy").exists()
