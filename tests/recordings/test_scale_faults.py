"""Many files with killed workers and full disks."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events

from dvspipe.base.errors import WorkerError
from dvspipe.base.files import TEMPORARY, UNFINISHED, move_into_place
from dvspipe.formats import read, write
from dvspipe.recordings.conversion import convert_many, find_unconverted, plan_conversions
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

PROC = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


def write_videos(folder: Path, count: int, frames: int) -> None:
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)
        images = rng.integers(0, 256, (frames, 24, 32), np.uint8)
        write_video(folder / f"{number:02}.webm", (Frame(33_333 * k, image, "srgb") for k, image in enumerate(images)))


def find_workers() -> list[int]:
    """Return the processes that this one has started, to convert files."""
    parents: dict[int, int] = {}
    workers = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(") ")[2].split()[1])
            if b"multiprocessing.spawn" in command:
                workers.append(int(folder.name))

    def is_own(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_own(parents[pid]))

    return sorted(pid for pid in workers if is_own(pid))


class Killer:
    """Progress callback that kills busy workers at random times."""

    def __init__(self, rng: random.Random, kills: int, span_s: float = 0.5) -> None:
        self.rng, self.left, self.span_s = rng, kills, span_s
        self.after_s = time.monotonic() + rng.uniform(0, span_s)

    def __call__(self, *_: float) -> None:
        if not self.left or time.monotonic() < self.after_s:
            return
        workers = find_workers()
        if workers:
            time.sleep(self.rng.uniform(0, 0.1))
            os.kill(self.rng.choice(workers), signal.SIGKILL)
            self.left -= 1
            self.after_s = time.monotonic() + self.rng.uniform(0, self.span_s)


def convert_with_kills(source: Path, out: Path, killer: Killer) -> int:
    """Run the conversion until all files are done; return the number of runs."""
    for number in range(1, 50):
        tasks = plan_conversions(source, out)
        try:
            for outcome in convert_many(tasks, jobs=2, progress=killer):
                outcome.result()
        except WorkerError:
            continue
        if not find_unconverted(tasks):
            return number
    raise AssertionError("never done")


def check_all_is_done(source: Path, out: Path, undisturbed: Path) -> None:
    names = sorted(path.stem for path in source.iterdir())
    assert sorted(path.name for path in out.glob("*.h5")) == [f"{name}.h5" for name in names]
    for name in names:
        assert read(out / f"{name}.h5") == read(undisturbed / f"{name}.h5")
    left = [path.name for path in out.iterdir() if path.name.startswith(TEMPORARY) or path.name.endswith(UNFINISHED)]
    assert left == []


@PROC
@pytest.mark.slow
def test_randomly_killed_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    write_videos(tmp_path / "in", 8, 20)
    list(convert_many(plan_conversions(tmp_path / "in", tmp_path / "undisturbed")))
    killer = Killer(random.Random(0), kills=2)
    convert_with_kills(tmp_path / "in", tmp_path / "out", killer)
    check_all_is_done(tmp_path / "in", tmp_path / "out", tmp_path / "undisturbed")


def test_repeated_finished_task_is_done_once(tmp_path: Path) -> None:
    """Ray repeats a task if its worker is killed after it wrote the file, but before its reply arrives."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "0.bin", random_events(0, 20))
    tasks = plan_conversions(tmp_path / "in", tmp_path / "out")
    list(convert_many(tasks))
    before = tasks[0].target.stat().st_mtime_ns
    (again,) = convert_many(tasks, waiting=tasks)
    assert again.result().events == 20
    assert tasks[0].target.stat().st_mtime_ns == before


def test_full_disk_fails_one_input_and_next_run_finishes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        write(tmp_path / "in" / f"{number}.bin", random_events(number, 20))
    command = ["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    move: Callable[[Path, Path], None] = move_into_place

    def fill(beside: Path, path: Path) -> None:
        if path.name == "2.h5":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        move(beside, path)

    with monkeypatch.context() as full:
        full.setattr("dvspipe.base.files.move_into_place", fill)
        done = dvspipe(*command, code=None)
    assert done.returncode == 1
    assert [line for line in done.output.splitlines() if "2.h5" in line] == [
        f"skipped: {tmp_path / 'out' / '2.h5'}: cannot be written (No space left on device)"
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.h5", "1.h5", "3.h5"]
    dvspipe(*command)
    assert (tmp_path / "out" / "2.h5").exists()
