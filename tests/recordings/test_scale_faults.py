"""Many files with killed workers."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dvspipe.base.errors import WorkerError
from dvspipe.formats import read
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
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.h5" for name in names]
    for name in names:
        assert read(out / f"{name}.h5") == read(undisturbed / f"{name}.h5")


@PROC
@pytest.mark.slow
def test_randomly_killed_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    write_videos(tmp_path / "in", 8, 20)
    list(convert_many(plan_conversions(tmp_path / "in", tmp_path / "undisturbed")))
    killer = Killer(random.Random(0), kills=2)
    convert_with_kills(tmp_path / "in", tmp_path / "out", killer)
    check_all_is_done(tmp_path / "in", tmp_path / "out", tmp_path / "undisturbed")
