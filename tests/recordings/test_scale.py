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


def test_shards_split_folders_and_have_a_named_file_once(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 9)
    shards = [Shard(1, 2), Shard(2, 2)]
    one = tmp_path / "in" / "0.bin"
    for plan in (plan_conversions, plan_tasks):
        parts = [{task.source for task in plan(tmp_path / "in", tmp_path / "out", shard=shard)} for shard in shards]
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == set((tmp_path / "in").iterdir())
        assert all(parts)
        assert sorted(len(plan(one, tmp_path / "one.h5", shard=shard)) for shard in shards) == [0, 1]


def test_info_reads_the_recordings_of_a_folder_and_skips_videos(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 2)
    (tmp_path / "in" / "clip.mp4").touch()
    assert [path.name for path in find_recordings([tmp_path / "in"])] == ["0.bin", "1.bin"]
    (tmp_path / "videos").mkdir()
    (tmp_path / "in" / "clip.mp4").rename(tmp_path / "videos" / "clip.mp4")
    with raises(FileError, "videos"):
        find_recordings([tmp_path / "videos"])


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_non_utf8_file_names_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    write_recordings(tmp_path / name, 1)
    (tmp_path / name / "0.bin").rename(tmp_path / name / f"{name}.bin")
    (tmp_path / name / f"{name}.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    for _ in range(2):
        code, output = run("convert", tmp_path / name, "-o", tmp_path / "out")
        assert (code, output.count("skipped: "), r"\udcff\udcfe.aedat4: " in output) == (1, 1, True), output
    assert mentions(output, "1 of 2")
    assert info(tmp_path / "out" / f"{name}.bin.h5").events == 20
    (task,) = plan_tasks(tmp_path / name / f"{name}.bin", tmp_path / "other")
    assert str(task.name) == r"\udcff\udcfe.bin"


def test_hidden_files_and_recursive_links_of_folders_are_skipped(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 1)
    for copy in (".hidden.bin", ".cache/1.bin"):
        (tmp_path / "in" / copy).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / copy).write_bytes((tmp_path / "in" / "0.bin").read_bytes())
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "self").symlink_to(".")
    assert [path.name for path in find_recordings([tmp_path / "in"])] == ["0.bin"]
    assert [path.name for path in find_recordings([tmp_path / "in" / ".hidden.bin"])] == [".hidden.bin"]


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
