"""dataset.lock: equal digests wherever and however a data set is converted, and differences in one line each."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions

from dvspipe.datasets.lock import compare_sources, digest_sources, read_lock, write_lock
from dvspipe.events import digest_events
from dvspipe.formats import read, write
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert_many, plan_conversions
from dvspipe.results import DataLock
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

NOISY = ConvertConfig(shot_noise_rate_hz=20, leak_rate_hz=2, hot_pixel_fraction=0.01)
NAMES = ("wave/a.webm", "wave/b.webm", "clap/a.webm")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(NAMES):
        images = np.random.default_rng(number).integers(0, 256, (3, 14, 24), np.uint8)
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / name, frames_from_arrays(images, fps=30))
    return folder


def lock_of(videos: Path, out: Path, *, jobs: int = 1, batches: Sequence[slice] = (slice(None),)) -> DataLock:
    """Convert the videos in batches, and lock them."""
    tasks = plan_conversions(videos, out)
    for batch in batches:
        assert all(done.error is None for done in convert_many(tasks[batch], NOISY, jobs=jobs))
    (out / "splits.csv").write_text("split,file,class,part,group\n")
    return write_lock(out, tasks, NOISY, digest_sources(tasks, jobs=jobs), license="cc-by-4.0", jobs=jobs)


@pytest.fixture(scope="module")
def locked(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DataLock]:
    folder = tmp_path_factory.mktemp("events")
    return folder, lock_of(videos, folder)


def test_lock_describes_each_file_and_its_source(videos: Path, locked: tuple[Path, DataLock]) -> None:
    folder, lock = locked
    assert read_lock(folder / "dataset.lock") == (lock, NOISY)
    assert [file.file for file in lock.files] == ["clap/a.h5", "wave/a.h5", "wave/b.h5"]
    for file in lock.files:
        events = read(folder / file.file)
        assert (file.events, file.duration_us) == (len(events), events.duration_us)
        assert file.source_sha256 == hashlib.sha256((videos / file.source).read_bytes()).hexdigest()
        assert (file.source, file.license) == (file.file.replace(".h5", ".webm"), "cc-by-4.0")


def test_digest_follows_from_the_file_without_dvspipe(locked: tuple[Path, DataLock]) -> None:
    folder, lock = locked
    for file in lock.files:
        with h5py.File(folder / file.file) as opened:
            events = opened["events"]
            width, height = opened.attrs["width"], opened.attrs["height"]
            columns = (("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1"))
            digests = [hashlib.sha256(events[name][:].astype(kind).tobytes()).hexdigest() for name, kind in columns]
        text = " ".join([f"{width}x{height}", *digests])
        assert hashlib.sha256(text.encode()).hexdigest() == file.events_sha256


def test_digests_do_not_depend_on_processes_order_runs_or_folders(
    locked: tuple[Path, DataLock], videos: Path, tmp_path: Path
) -> None:
    elsewhere = Path(shutil.copytree(videos, tmp_path / "elsewhere"))
    lock = lock_of(elsewhere, tmp_path / "out", jobs=2, batches=[slice(2, 3), slice(0, 1), slice(None)])
    assert (tmp_path / "out" / "dataset.lock").read_bytes() == (locked[0] / "dataset.lock").read_bytes()
    tasks = plan_conversions(elsewhere, tmp_path / "again")
    assert compare_sources(lock, tasks, digest_sources(tasks, jobs=2)) == []


def test_verify_names_each_difference(locked: tuple[Path, DataLock], tmp_path: Path) -> None:
    assert mentions(dvspipe("data", "verify", locked[0]).stdout, "3 files", "as locked")

    folder = Path(shutil.copytree(locked[0], tmp_path / "copy"))
    write(folder / "wave/a.h5", random_events(0, 50), overwrite=True)
    (folder / "wave/b.h5").unlink()
    write(folder / "wave/c.h5", random_events(1, 50))
    (folder / "clap/a.h5").write_bytes(b"x")
    (folder / "splits.csv").write_text("")
    found = dvspipe("data", "verify", folder, "--jobs", 2, code=None)
    assert found.returncode == 1
    lines = found.stdout.splitlines()
    assert len(lines) == 5
    for facts in (
        ("wave/a.h5", "changed"),
        ("wave/b.h5", "missing"),
        ("wave/c.h5", "not in the lock"),
        "clap/a.h5",
        ("splits.csv", "changed"),
    ):
        assert sum(mentions(line, facts) for line in lines) == 1, (facts, lines)
    assert "5 differences" in found.stderr


def test_changed_content_of_the_old_size_and_time_is_a_difference(
    locked: tuple[Path, DataLock], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(locked[0], tmp_path / "copy"))
    path = folder / "wave/a.h5"
    before = path.stat()
    with h5py.File(path, "r+") as file:
        p = file["events"]["p"]
        p[:] = 1 - p[:]
    content = path.read_bytes()[: before.st_size]
    path.write_bytes(content + bytes(before.st_size - len(content)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    found = dvspipe("data", "verify", folder, code=1)
    assert mentions(found.stdout, "wave/a.h5", "changed")
    assert len(found.stdout.splitlines()) == 1


def test_recordings_in_another_format_are_not_in_the_lock(
    locked: tuple[Path, DataLock], videos: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(locked[0], tmp_path / "copy"))
    for video in videos.glob("*/*.webm"):
        shutil.copy(video, folder / video.relative_to(videos))
    assert mentions(dvspipe("data", "verify", folder).stdout, "as locked")
    for video in folder.glob("*/*.webm"):
        video.unlink()

    assert dvspipe("convert", folder, "-o", folder, "--suffix", "npz").returncode == 0
    lines = dvspipe("data", "verify", folder, code=1).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["clap/a.npz", "wave/a.npz", "wave/b.npz"]
    assert all(mentions(line, "not in the lock") for line in lines)


def test_folder_converted_again_to_another_format_has_the_locked_events(
    locked: tuple[Path, DataLock], tmp_path: Path
) -> None:
    folder, lock = locked
    for suffix in ("npz", ".CSV", "aedat4"):
        out = tmp_path / f"as-{len(suffix)}{suffix[-1]}"
        done = dvspipe("convert", folder, "-o", out, "--suffix", suffix)
        assert mentions(done.stderr, "splits.csv", "skipped") == (suffix != ".CSV")
        written = f".{suffix.lower().strip('.')}"
        for file in lock.files:
            events = read((out / file.file).with_suffix(written))
            assert digest_events(events, events.sensor).sha256 == file.events_sha256
        assert len([*out.rglob("*.*")]) == len(lock.files)
        assert mentions(dvspipe("convert", folder, "-o", out, "--suffix", suffix).stderr, "already", "3 of 3")
    assert mentions(dvspipe("convert", folder, "-o", tmp_path / "h5", code=2).stderr, "already .h5", "--suffix")


def test_other_sources_are_named_before_a_conversion(
    locked: tuple[Path, DataLock], videos: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(videos, tmp_path / "other"))
    shutil.copy(other / "wave/a.webm", other / "wave/b.webm")
    (other / "clap/a.webm").rename(other / "clap/z.webm")
    tasks = plan_conversions(other, tmp_path / "out")
    lines = compare_sources(locked[1], tasks, digest_sources(tasks))
    assert [line.partition(" (")[0] for line in lines] == [
        "clap/a.webm: missing",
        "clap/z.webm: not in the lock",
        "wave/b.webm: changed",
    ]
