"""Many files on several machines: shards and engines."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises
from killed_work import KillsItself

from dvspipe.base import cluster
from dvspipe.base.cluster import Ray
from dvspipe.base.errors import ConfigError, FileError, WorkerError
from dvspipe.base.pool import Processes, Shard, map_items
from dvspipe.formats import info, read, write
from dvspipe.inference import plan_tasks
from dvspipe.recordings.conversion import (
    convert_many,
    find_recordings,
    plan_conversions,
)

WITHOUT_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")


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


def test_each_file_is_in_one_shard_and_adding_files_moves_no_other() -> None:
    shards = [Shard(number, 4) for number in range(1, 5)]

    def place(names: range) -> dict[Path, list[int]]:
        paths = [Path(f"{name % 7}/{name}.mp4") for name in names]
        return {path: [shard.number for shard in shards if path in shard] for path in paths}

    before, after = place(range(200)), place(range(220))
    assert all(len(found) == 1 for found in after.values())
    assert before == {path: after[path] for path in before}
    sizes = [sum(found == [number] for found in after.values()) for number in range(1, 5)]
    assert min(sizes) > 30


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4"])
def test_invalid_shard_is_an_error(text: str) -> None:
    with raises(ConfigError, text):
        Shard.parse(text)


def test_slurm_task_has_shard_of_its_position() -> None:
    tasks = {"SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "5", "SLURM_ARRAY_TASK_COUNT": "3"}
    found = [Shard.of_array(tasks | {"SLURM_ARRAY_TASK_ID": task}) for task in ("10", "15", "20")]
    assert found == [Shard(1, 3), Shard(2, 3), Shard(3, 3)]
    assert Shard.of_array({}) is None


@pytest.mark.parametrize("task", ["3", "7"])
def test_nonconsecutive_slurm_tasks_have_no_shard(task: str) -> None:
    array = {"MIN": "3", "MAX": "7", "STEP": "1", "COUNT": "2", "ID": task}
    with raises(ConfigError, task, "3", "7"):
        Shard.of_array({f"SLURM_ARRAY_TASK_{name}": value for name, value in array.items()})


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
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for task in ("0", "1"):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        code, output = run("convert", tmp_path / "in", "-o", tmp_path / "out")
        assert (code, f"shard {int(task) + 1}/2" in output) == (0, True), output
        assert len(list((tmp_path / "out").glob("*.h5"))) == (len(parts[0]) if task == "0" else 9)


def test_check_shards_recordings_and_skips_videos(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 9)
    (tmp_path / "in" / "clip.mp4").write_bytes(b"")
    code, output = run("check", tmp_path / "in")
    assert (code, output.count(".bin: ")) == (0, 9), output
    assert "clip.mp4" not in output
    shares = [run("check", tmp_path / "in", "--shard", f"{number}/2")[1].count(".bin: ") for number in (1, 2)]
    assert sum(shares) == 9
    assert all(shares)
    alone = [tmp_path / "in" / "0.bin"]
    assert [find_recordings(alone, shard=Shard(number, 2)) for number in (1, 2)] == [alone] * 2
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
    code, output = run("compare", tmp_path / "in" / f"{name}.bin", tmp_path / "in" / "0.bin", "-o", tmp_path / "a.html")
    assert (code, r"\udcff\udcfe.bin" in (tmp_path / "a.html").read_text(encoding="utf-8")) == (0, True), output
    assert [str(task.name) for task in plan_tasks(tmp_path / "in" / f"{name}.bin", tmp_path / "other")] == [
        r"\udcff\udcfe.bin"
    ]


def test_hidden_files_of_folders_are_skipped(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 1)
    for copy in (".hidden.bin", ".cache/1.bin"):
        (tmp_path / "in" / copy).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / copy).write_bytes((tmp_path / "in" / "0.bin").read_bytes())
    assert [path.name for path in find_recordings([tmp_path / "in"])] == ["0.bin"]
    assert [path.name for path in find_recordings([tmp_path / "in" / ".hidden.bin"])] == [".hidden.bin"]


def test_recursive_links_are_skipped(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 1)
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "self").symlink_to(".")
    for out in (None, tmp_path / "out"):
        assert [task.source.name for task in plan_tasks(tmp_path / "in", out)] == ["0.bin"]
    assert [task.source.name for task in plan_conversions(tmp_path / "in", tmp_path / "out")] == ["0.bin"]


def test_repeated_task_finds_output_of_killed_worker(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 1)
    (task,) = plan_conversions(tmp_path / "in", tmp_path / "out")
    (first,) = convert_many([task])

    class Repeats(Processes):
        def map(self, work, items, progress):
            for path in (tmp_path / "out").glob("*.kept"):
                path.rename(path.with_suffix(""))
            return super().map(work, items, progress)

    kept = task.target.rename(f"{task.target}.kept")
    (again,) = convert_many([task], engine=Repeats())
    assert not kept.exists()
    assert (again.result().events, again.result().sensor) == (first.result().events, first.result().sensor)


def test_output_folder_is_usable_as_data_set_and_source(tmp_path: Path) -> None:
    for name in ("left", "right"):
        write_recordings(tmp_path / name, 3)
    run("convert", tmp_path / "left", tmp_path / "right", "-o", tmp_path / "out")
    (tmp_path / "in").mkdir()
    for name in ("left", "right"):
        (tmp_path / name).rename(tmp_path / "in" / name)
    assert run("convert", tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    assert {task.source.suffix for task in plan_conversions(tmp_path / "out", tmp_path / "csv", ".csv")} == {".h5"}
    _, output = run("data", "check", tmp_path / "out", "data.sensor=34x34")
    assert "recordings: 6" in output  # all have the same content


@pytest.mark.parametrize("jobs", [1, 2])
def test_check_keeps_order_with_any_number_of_workers(tmp_path: Path, jobs: int) -> None:
    write_recordings(tmp_path / "in", 3, broken=(1,))
    files = sorted((tmp_path / "in").iterdir())
    code, output = run("check", *files, "--json", "--jobs", jobs)
    assert code == 1
    reports = json.loads(output[output.index("[\n") : output.rindex("]") + 1])
    assert [(Path(report["file"]).name, report["wrong"]) for report in reports] == [
        ("0.bin", False),
        ("1.bin", True),
        ("2.bin", False),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "ray", "--jobs", 2), "--jobs"),
        (("--engine", "rays"), "ray=ADDRESS"),
        (("--shard", "3/2"), "3/2"),
    ],
)
def test_contradicting_options_are_errors(tmp_path: Path, options: tuple[object, ...], said: str) -> None:
    write_recordings(tmp_path / "in", 2)
    done = dvspipe("convert", tmp_path / "in", "-o", tmp_path / "out", *options, code=2)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


@WITHOUT_RAY
@pytest.mark.slow
def test_ray_repeats_item_of_killed_worker_and_fatal_item_fails_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)  # workers import this module
    outcomes = map_items(KillsItself(tmp_path / "flag"), [0, 1, 7, -1, 101], engine=Ray(), ordered=True)
    values, errors = zip(*((outcome.value, outcome.error) for outcome in outcomes), strict=True)
    assert values == (0, 2, 14, None, None)
    assert [type(error) for error in errors] == [type(None)] * 3 + [FileError, WorkerError]
    assert mentions(str(errors[-1]), 101, 4)
    assert "seven" in caplog.text


@WITHOUT_RAY
@pytest.mark.slow
def test_ray_and_local_processes_write_equal_files_and_skip_finished_ones(tmp_path: Path) -> None:
    write_recordings(tmp_path / "in", 4, broken=(3,))
    list(convert_many(plan_conversions(tmp_path / "in", tmp_path / "here")))
    tasks = plan_conversions(tmp_path / "in", tmp_path / "there")
    list(convert_many(tasks[:1]))
    outcomes = list(convert_many(tasks, engine=Ray()))
    assert sorted(outcome.item.source.name for outcome in outcomes) == ["1.bin", "2.bin", "3.bin"]
    for name in "012":
        assert read(tmp_path / "there" / f"{name}.h5") == read(tmp_path / "here" / f"{name}.h5")


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "127.0.0.1:99999"])
def test_unreachable_cluster_is_an_error_without_long_wait(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def init(**_: Any) -> None:
        pytest.fail("Ray waits for more than a minute")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens on this port
        place = address.format(unused.getsockname()[1])
        with raises(WorkerError, place) as caught:
            list(map_items(KillsItself(Path()), [1], engine=Ray(place)))
    assert "\n" not in str(caught.value)


def test_dead_head_node_is_an_error_before_ray_ends_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(references: list[object], **_: Any) -> tuple[list[object], list[object]]:
        head.close()
        return [], references

    def cancel(*_: object, **__: Any) -> None:
        pytest.fail("asks the head")

    head = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{head.getsockname()[1]}"
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        get_runtime_context=lambda: SimpleNamespace(gcs_address=place),
        cluster_resources=lambda: {"CPU": 1.0},
        put=lambda work: work,
        wait=wait,
        cancel=cancel,
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda *_: object()),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(cluster, "CHECK_S", 0.0)
    monkeypatch.setattr(cluster, "HEAD_S", 0.0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with raises(WorkerError, place):
        list(map_items(KillsItself(Path()), [1], engine=Ray()))


def test_missing_ray_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with raises(ConfigError, "dvspipe[ray]"):
        list(map_items(KillsItself(Path()), [1], engine=Ray()))
