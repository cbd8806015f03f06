"""Commands as users type them; most run in this process, a few in new processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import dvspipe
from conftest import SENSOR, random_events, write_bars
from facts import mentions

from dvspipe.base.progress import ignore_progress
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.cli.app import create_app, spell_options
from dvspipe.cli.screen import Display
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read, write
from dvspipe.synthesis import GestureClip, gesture_frames
from dvspipe.video.writing import write_video


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


@pytest.mark.parametrize(("family", "members"), [("data", "convert, stats, verify"), ("synth", "gestures, nmnist")])
def test_help_of_a_family_names_its_commands(family: str, members: str) -> None:
    assert members in dvspipe("--help").stdout
    assert members in dvspipe(family, "--help").stdout


def test_command_is_a_program_with_one_line_per_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dvspipe", "info", "missing.h5"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert dvspipe("--version", cwd=tmp_path).stdout.startswith("dvspipe 0.")


def test_ranks_of_the_environment_hide_no_result(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({"RANK": "1"}, {"RANK": "1", "WORLD_SIZE": "2"}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert mentions(dvspipe("info", recording).stdout, recording.name)


def test_convert_writes_and_counts_events(clip: Path, tmp_path: Path) -> None:
    said = dvspipe("convert", clip, "-o", "a.h5", cwd=tmp_path).stdout
    events = read(tmp_path / "a.h5")
    assert len(events) > 10_000
    assert mentions(said, f"{len(events):,} events", "s of video")
    dvspipe("convert", clip, "-o", "c.h5", "--fps", "50", cwd=tmp_path)
    assert read(tmp_path / "c.h5").duration_us == pytest.approx(2 * events.duration_us, rel=0.01)


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


def test_options_of_every_command_may_stand_anywhere(recording: Path, tmp_path: Path) -> None:
    for words in (["-q", "info", recording], ["info", "-q", recording], ["info", recording, "-q"]):
        assert "hdf5" in dvspipe(*words, cwd=tmp_path).stdout


def test_mixed_folder_accepts_options_of_both_kinds_and_has_a_line_per_file(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.webm").write_bytes(clip.read_bytes())
    write(source / "b.bin", random_events(0, 500))
    (source / "c.bin").write_bytes((source / "b.bin").read_bytes()[:-1])
    options = "--resize", "16x12", "--sensor", "50x40", "--json", "-j", 2
    done = dvspipe("convert", "in", "-o", "out", *options, cwd=tmp_path, code=1)
    assert "skipped: in/c.bin: " in done.stderr
    records = sorted(map(json.loads, done.stdout.splitlines()), key=lambda record: record["file"])
    assert [(record["file"], record["width"], record["height"]) for record in records] == [
        ("out/a.h5", 16, 12),
        ("out/b.h5", 50, 40),
    ]
    assert (records[1]["frames"], records[1]["events"]) == (0, 500)


LARGEST = Events([0, 10], [0, 32766], [0, 32766], [0, 1], SensorSize(width=32767, height=32767))


def test_view_of_largest_sensor_uses_little_memory(tmp_path: Path) -> None:
    write(tmp_path / "largest.h5", LARGEST)
    tracemalloc.start()
    dvspipe("view", "largest.h5", "-o", "a.webm", cwd=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 << 20  # one byte per pixel would take 1 GB
    picture = cv2.VideoCapture(str(tmp_path / "a.webm")).read()[1]
    assert max(picture.shape) < 3000


SHORT = ["steps=5", "step_us=20000", "channels=[4]", "kernel=3", "epochs=6", "jobs=1"]


def test_train_then_infer(tmp_path: Path) -> None:
    write_bars(tmp_path / "data", 8)
    (tmp_path / "mine.yaml").write_text("name: mine\ndata: folder\nbatch: 4\nlearning_rate: 0.02\n")
    said = dvspipe("train", "mine.yaml", "root=data", *SHORT, cwd=tmp_path).stdout
    run = tmp_path / "runs" / "train" / "mine"
    assert json.loads((run / "test.json").read_text())["command"].startswith("dvspipe train mine.yaml root=data")
    assert mentions(said, "test accuracy")
    checkpoint = run / "weights" / "best.safetensors"
    assert mentions(dvspipe("infer", checkpoint, "data/left/00.raw", cwd=tmp_path).stdout, "left")
    done = dvspipe("export", checkpoint, "-o", "a.nir", "--dt", "0.03", cwd=tmp_path)
    assert mentions(done.stdout, "a.nir", "0.03")
    dvspipe("export", checkpoint, "-o", "a.nir", cwd=tmp_path, code=2)
    dvspipe("export", checkpoint, "-o", "a.nir", "--overwrite", cwd=tmp_path)
    dvspipe("train", "mine.yaml", "root=data", *SHORT, "epochs=1", cwd=tmp_path)
    assert (tmp_path / "runs" / "train" / "mine-2").is_dir()
    dvspipe("train", "mine.yaml", "root=data", "--out", run, cwd=tmp_path, code=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("convert CLIP -o there.h5", ("there.h5", "overwrite")),
        ("convert one CLIP -o out.h5", "out.h5"),
        ("convert CLIP -o /dev/full", "/dev/full"),
        ("convert one CLIP -o out --suffix xyz", (".xyz", ".h5")),
        ("convert CLIP -o out.h5 --fps 1e9", "1000000"),
        ("convert CLIP -o out.h5 --pos-tres 1", ("--pos-tres", "--pos-thres")),
        ("convert CLIP -o new/out.h5 --pos-thres 0", ("pos_thres = '0'", "0.001")),
        ("convert CLIP -o out.h5 --jobs", "--jobs"),
        ("convert CLIP", "--out"),
        ("cut CLIP -o out.h5", ("wave.webm", "convert")),
        ("filter there.h5 -o out.h5 --refractory-us -5", ("refractory_us", "-5", "1")),
        ("info missing.h5", "missing.h5"),
        ("frames loop.h5 -o out", ("loop.h5", "no such file")),
        ("info cut.h5", ("cut.h5", "truncated", "found 3000 bytes")),
        ("info there.h5 --sensor 12", ("sensor", "12")),
        ("calibrate there.h5 -o out.yaml", "there.h5"),
        ("view -o out.png", "RECORDING"),
        ("view CLIP -o out.gif", ("is a video", "dvspipe convert")),
        ("view there.h5 -o out.gif --window-us nan", "window_us = 'nan'"),
        ("view there.h5 -o out.gif --chart xyt", ("out.gif", ".gif", ".png")),
        ("view there.h5 -o out.png --chart loud", ("--chart", "xyt", "rate")),
        ("view there.h5 -o out.png --chart rate --scale 2", "scale"),
        ("frames there.h5 -o frames.npy", ("frames.npy", "--format")),
        ("synth gestures -o out --people 0", "people = 0"),
        ("synth nmnist -o out", "--mnist"),
        ("demo --minutes 99", ("minutes", "99", "60")),
        ("train nowhere", "nowhere"),
        ("train nmnist lr=0.1", "lr = 0.1"),
        ("train nmnist --epochs 5", "--epochs"),
        ("train nmnist --resume", ("resume", "--out FOLDER")),
        ("train nmnist --resume -o nosuchrun", "nosuchrun"),
        ("train nmnist group=(", "group = '('"),
        ("infer gesture", "RECORDINGS"),
        ("infer missing.safetensors there.h5", "missing.safetensors"),
        ("infer gesture there.h5 --enter 0.3", ("enter = 0.3", "leave = 0.35")),
        ("live gesture there.h5 --on wave", ("--on", "2")),
        ("filter there.h5 -o out.h5", "--hot-pixels"),
        ("frames there.h5 -o out --every-us 5000 --every-events 10", ("every_us", "every_events")),
        ("frames there.h5 -o out --form voxel", ("voxel", "npy")),
        ("frames there.h5 -o out --every-us x", ("every_us", "x")),
        ("live gesture bar.mp4", ("bar.mp4", "no such file")),
        ("live nmnist-synthetic there.h5 --record there.h5", ("there.h5", "overwrite")),
        ("hlep", ("hlep", "convert")),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(line: str, message: object, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "a.png"), np.zeros((7, 12), np.uint8))
    write(tmp_path / "there.h5", random_events(0, 20))
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "there.h5").read_bytes()[:3000])
    before = sorted(tmp_path.rglob("*"))
    words = line.replace("CLIP", str(clip)).split()
    assert mentions(dvspipe(*words, cwd=tmp_path, code=2).stderr, message)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "message", "typed"),
    [
        ("convert", "a.h5: already exists; use overwrite to replace it", "; use --overwrite to replace it"),
        (
            "convert",
            "a: no times; use fps=30, or time_unit=us to set it",
            "; use --fps 30, or --time-unit us to set it",
        ),
        (
            "train",
            "run: not empty; use overwrite to replace it, or resume to resume",
            "; use --overwrite to replace it, or --resume to resume",
        ),
        ("infer", "a: no film; use joints=false, or roi=full", "; use --joints=false, or --roi full"),
        ("train", "a: no sensor; use sensor=WxH to set it", "; use sensor=WxH to set it"),
        ("view", "a: no sensor; use sensor=WxH to set it", "; use dvspipe convert --sensor WxH to set it"),
        ("data stats", "out: use of a file", ": use of a file"),
    ],
)
def test_advice_names_options_as_they_are_typed(command: str, message: str, typed: str) -> None:
    names = command.split()
    app = create_app(names, progress=ignore_progress)
    assert spell_options(message, app, names).endswith(typed)


@pytest.mark.parametrize(
    ("words", "suggested"),
    [(["inof"], "info"), (["frames", "--bims", "3"], "--bins"), (["plot"], None), (["convert", "--speed", "3"], None)],
)
def test_only_similar_names_are_suggested(words: list[str], suggested: str | None, tmp_path: Path) -> None:
    said = dvspipe(*words, cwd=tmp_path, code=2).stderr
    assert ("Did you mean" in said) == bool(suggested)
    assert (suggested or words[0]) in said


def test_timestamps_need_their_unit_and_one_video(clip: Path, tmp_path: Path) -> None:
    times = tmp_path / "times.txt"
    times.write_text("".join(f"{1_700_000_000_000_000 + 10_000 * number}\n" for number in range(9)))
    failed = dvspipe("convert", clip, "-o", "a.h5", "--timestamps", times, cwd=tmp_path, code=2)
    assert "--time-unit UNIT" in failed.stderr
    write(tmp_path / "a.h5", random_events(0, 20))
    failed = dvspipe("convert", clip, "a.h5", "-o", "many", "--timestamps", times, cwd=tmp_path, code=2)
    assert mentions(failed.stderr, "timestamps", "2 sources")


def test_shipped_configurations_are_listed_shown_and_copied(tmp_path: Path) -> None:
    listed = dvspipe("configs", cwd=tmp_path).stdout
    assert all(name in listed for name in (*shipped_configs(), *shipped_configs("sensors")))
    shown = dvspipe("configs", "nmnist", cwd=tmp_path).stdout
    dvspipe("configs", "nmnist", "-o", "mine.yaml", cwd=tmp_path)
    copied = (tmp_path / "mine.yaml").read_text().strip()
    assert copied == shown.strip().replace("name: nmnist", "name: mine")  # the name is the default run folder
    assert "mine.yaml: " in dvspipe("configs", "nmnist", "-o", "mine.yaml", cwd=tmp_path, code=2).stderr
    assert "nowhere: " in dvspipe("configs", "nowhere", cwd=tmp_path, code=2).stderr


# Recordings


def test_cut_of_quiet_interval_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", Events([0, 5_000_000], [1, 1], [1, 1], [1, 1], SENSOR))
    said = dvspipe("cut", "a.h5", "-o", "b.h5", "--start-s", 1, "--stop-s", 2, cwd=tmp_path)
    assert len(read(tmp_path / "b.h5")) == 0
    assert "b.h5: " in said.stdout + said.stderr


def test_sensor_is_not_guessed_without_events(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# nothing\n", encoding="utf-8")
    assert "--sensor WIDTHxHEIGHT" in dvspipe("info", "a.txt", cwd=tmp_path, code=2).stderr
    assert "12 x 7 (given)" in dvspipe("info", "a.txt", "--sensor", "12x7", cwd=tmp_path).stdout
    (tmp_path / "b.txt").write_text("minutes of a meeting of ours\n", encoding="utf-8")
    said = dvspipe("info", "b.txt", "--columns", "txyp", cwd=tmp_path, code=2).stderr
    assert mentions(said, "b.txt", 6, 4)


@pytest.mark.parametrize("words", ["info", "filter -o b.h5 --hot-pixels"])
def test_sensor_of_a_billion_pixels_is_rejected(words: str, tmp_path: Path) -> None:
    write(tmp_path / "a.h5", LARGEST)
    said = dvspipe(*words.split(), "a.h5", cwd=tmp_path, code=2).stderr
    assert mentions(said, "a.h5", "32767x32767")


@pytest.mark.parametrize("suffix", [".h5", ".raw"])  # the second does not store its number of events
@pytest.mark.parametrize(
    "words",
    [
        "info",
        "compare a.h5",
        "cut -o b.h5",
        "cut -o b.h5 --start-s 1 --stop-s 2",
        "filter -o b.h5 --hot-pixels",
        "merge a.h5 -o b.h5",
        "view -o a.png",
    ],
)
def test_commands_report_done_and_total_and_results_in_json(
    suffix: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"a.h5", f"a{suffix}"}:
        write(tmp_path / name, random_events(1, 3000, span_us=3_000_000))
    calls: list[tuple[float, float]] = []
    monkeypatch.setattr(Display, "__call__", lambda _, done, total: calls.append((done, total)))
    monkeypatch.setattr(Display, "show_step", lambda _, done, total, _step: calls.append((done, total)))
    (line,) = dvspipe(*words.split(), f"a{suffix}", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(line)["events_a" if "compare" in words else "events"] > 0
    done, total = zip(*calls, strict=True)
    assert len(set(total)) == 1
    assert list(done) == sorted(done)
    if suffix == ".h5" and words in ("info", "cut -o b.h5", "filter -o b.h5 --hot-pixels", "merge a.h5 -o b.h5"):
        assert done[-1] == total[-1] > 0
