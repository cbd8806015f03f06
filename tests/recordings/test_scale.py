"""Many files on several machines: shards and worker processes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import FileError
from dvspipe.base.pool import Shard
from dvspipe.formats import write
from dvspipe.inference import plan_tasks
from dvspipe.recordings.conversion import plan_conversions
from dvspipe.recordings.info import info
from dvspipe.recordings.sources import find_recordings


def write_recordings(folder: Path, count: int, *, broken: tuple[int, ...] = ()) -> None:
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number}.bin"
        write(path, random_events(number, 20))
        if number in broken:
            path.write_bytes(path.read_bytes()[:-1])


def run(*typed: object) -> tuple[int, str]:
    done = dvspipe(*typed, code=None)
    return done.returncode, done.output


def test_shards_split_folders_but_not_named_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recordings(tmp_path / "in", 9)
    shards = [Shard(1, 2), Shard(2, 2)]
    for plan in (plan_conversions, plan_tasks):
        parts = [{task.source for task in plan(tmp_path / "in", tmp_path / "out", shard=shard)} for shard in shards]
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == set((tmp_path / "in").iterdir())
        assert all(parts)
    one = tmp_path / "in" / "0.bin"
    assert [len(plan_tasks(one, tmp_path / "out", shard=shard)) for shard in shards] == [1, 1]
    assert [len(plan_conversions(one, tmp_path / "one.h5", shard=shard)) for shard in shards] == [1, 1]
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MAX", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for task in ("0", "1"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        code, output = run("convert", tmp_path / "in", "-o", tmp_path / "out")
        assert (code, f"share {int(task) + 1}/2" in output) == (0, True), output
        assert len(list((tmp_path / "out").glob("*.h5"))) == (len(parts[0]) if task == "0" else 9)


def test_info_reads_the_recordings_of_a_folder_and_skips_videos(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 9)
    (tmp_path / "in" / "clip.mp4").write_bytes(b"")
    code, output = run("info", tmp_path / "in")
    assert (code, output.count(".bin\n")) == (0, 9), output
    assert "clip.mp4" not in output
    (tmp_path / "videos").mkdir()
    (tmp_path / "in" / "clip.mp4").rename(tmp_path / "videos" / "clip.mp4")
    with raises(FileError, "videos"):
        find_recordings([tmp_path / "videos"])


def test_failed_input_is_one_line_and_done_by_the_next_run(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 4, broken=(2,))
    code, output = run("convert", tmp_path / "in", "-o", tmp_path / "out", "--jobs", 2)
    assert (code, output.count("skipped: "), "in/2.bin: " in output) == (1, 1, True), output

    write(tmp_path / "in" / "2.bin", random_events(2, 20), overwrite=True)
    code, output = run("convert", tmp_path / "in", "-o", tmp_path / "out")
    assert (code, mentions(output, "3 of 4")) == (0, True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{number}.h5" for number in range(4)]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_non_utf8_file_names_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    write_recordings(tmp_path / "in", 1)
    (tmp_path / "in" / name).mkdir()
    for copy in (f"{name}.bin", f"{name}/1.bin"):
        (tmp_path / "in" / copy).write_bytes((tmp_path / "in" / "0.bin").read_bytes())
    (tmp_path / "in" / f"{name}.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    for _ in range(2):
        code, output = run("convert", tmp_path / "in", "-o", tmp_path / "out")
        assert (code, output.count("skipped: "), r"\udcff\udcfe.aedat4: " in output) == (1, 1, True), output
    assert mentions(output, "3 of 4")
    assert info(tmp_path / "out" / f"{name}.bin.h5").events == 20
    assert [str(task.name) for task in plan_tasks(tmp_path / "in" / f"{name}.bin", tmp_path / "other")] == [
        r"\udcff\udcfe.bin"
    ]


def test_hidden_files_and_recursive_links_of_folders_are_skipped(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 1)
    for copy in (".hidden.bin", ".cache/1.bin"):
        (tmp_path / "in" / copy).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / copy).write_bytes((tmp_path / "in" / "0.bin").read_bytes())
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "self").symlink_to(".")
    assert [path.name for path in find_recordings([tmp_path / "in"])] == ["0.bin"]
    assert [path.name for path in find_recordings([tmp_path / "in" / ".hidden.bin"])] == [".hidden.bin"]


def test_output_folder_is_usable_as_data_set_and_source(tmp_path: Path) -> None:
    for name in ("left", "right"):
        write_recordings(tmp_path / name, 3)
    run("convert", tmp_path / "left", tmp_path / "right", "-o", tmp_path / "out")
    (tmp_path / "in").mkdir()
    for name in ("left", "right"):
        (tmp_path / name).rename(tmp_path / "in" / name)
    assert run("convert", tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    assert {task.source.suffix for task in plan_conversions(tmp_path / "out", tmp_path / "csv", ".csv")} == {".h5"}
    code, output = run("data", "stats", tmp_path / "out", "sensor=34x34")
    assert (code, "same" in output) == (1, True), output  # all have the same content


@pytest.mark.parametrize("jobs", [1, 2])
def test_info_keeps_order_with_any_number_of_workers(tmp_path: Path, jobs: int) -> None:
    write_recordings(tmp_path / "in", 3, broken=(1,))
    files = sorted((tmp_path / "in").iterdir())
    done = dvspipe("info", *files, "--sensor", "12x7", "--json", "--jobs", jobs, code=1)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(Path(report["file"]).name, "1.bin" in report["problem"]) for report in reports] == [
        ("0.bin", False),
        ("1.bin", True),
        ("2.bin", False),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--jobs", 0), "jobs = 0"),
        (("--jobs", "rays"), "ray://HOST:PORT"),
        (("--share", "3/2"), "3/2"),
    ],
)
def test_wrong_options_are_errors(tmp_path: Path, options: tuple[object, ...], said: str) -> None:
    write_recordings(tmp_path / "in", 2)
    done = dvspipe("convert", tmp_path / "in", "-o", tmp_path / "out", *options, code=2)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
