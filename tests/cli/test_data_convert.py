"""`data convert`: videos and a published list to a folder of events with splits.csv."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import Done, dvspipe
from facts import mentions

from dvspipe.results import DataLock, read_splits
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

NAMES = [f"{name}/v_{name}_g{group}_c01" for name in ("clap", "wave") for group in ("01", "02", "03")]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Folder with six films of five frames, and their list."""
    folder = tmp_path / "videos"
    for number, name in enumerate(NAMES):
        images = np.full((5, 7, 12), 40, np.uint8)
        for k in range(5):
            images[k, :, (k * (number + 1)) % 12] = 220
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"{name}.webm", [Frame(40_000 * k, image) for k, image in enumerate(images)])

    rows = "".join(f"{name}.webm,{name[:4]},{'test' if 'g01' in name else 'train'}\n" for name in NAMES)
    (tmp_path / "list.csv").write_text(f"file,class,part\n{rows}")
    return folder


def convert(videos: Path, out: str, *words: object, code: int | None = 0) -> Done:
    """Convert the listed videos into a folder beside them."""
    command = ("data", "convert", "videos", "--splits", "list.csv", "-o", out)
    return dvspipe(*command, *words, cwd=videos.parent, code=code)


def test_lists_become_a_folder_with_splits_and_the_same_command_resumes(videos: Path) -> None:
    done = convert(videos, "out", "--pos-thres", "0.3")
    out = videos.parent / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.glob("*/*.h5")) == [f"{name}.h5" for name in NAMES]
    assert {row.part for row in read_splits(out).rows} == {"train", "test"}
    assert mentions(done.stdout, "splits.csv", "split")

    (out / f"{NAMES[0]}.h5").unlink()
    written_ns = (out / f"{NAMES[1]}.h5").stat().st_mtime_ns
    convert(videos, "out", "--pos-thres", "0.3")
    assert (out / f"{NAMES[0]}.h5").is_file()
    assert (out / f"{NAMES[1]}.h5").stat().st_mtime_ns == written_ns


def test_unreadable_video_is_left_out_until_it_is_converted(videos: Path) -> None:
    out = videos.parent / "out"
    path = videos / f"{NAMES[0]}.webm"
    content = path.read_bytes()
    path.write_bytes(content[:40])
    done = convert(videos, "out", code=None)
    assert done.returncode == 1
    assert mentions(done.stderr, "1 recording", f"{NAMES[0]}.h5", "splits.csv", "dataset.lock")
    for files in (read_splits(out).rows, DataLock.read(out / "dataset.lock").files):
        assert sorted(row.file for row in files) == [f"{name}.h5" for name in NAMES[1:]]

    path.write_bytes(content)
    convert(videos, "out")
    assert len(read_splits(out).rows) == len(DataLock.read(out / "dataset.lock").files) == len(NAMES)


def test_nothing_converted_is_not_locked(videos: Path) -> None:
    for path in videos.glob("*/*.webm"):
        path.write_bytes(b"x")
    done = convert(videos, "out", code=None)
    assert done.returncode == 2
    assert not (videos.parent / "out" / "dataset.lock").exists()


def test_times_of_one_video_do_not_apply_to_listed_parts(videos: Path) -> None:
    (videos.parent / "list.csv").write_text(f"file,class,part,start_s,stop_s\n{NAMES[0]}.webm,clap,train,0,0.1\n")
    assert mentions(convert(videos, "out", "--start-s", "1", code=2).stderr, "list.csv", "start_s")


def test_another_laboratory_converts_with_the_lock(videos: Path) -> None:
    folder, lock = videos.parent, ("--lock", "first/dataset.lock")
    convert(videos, "first", "--shot-noise-rate-hz", "20", "--license", "cc0-1.0")
    assert {file.license for file in DataLock.read(folder / "first/dataset.lock").files} == {"cc0-1.0"}
    verified = json.loads(dvspipe("data", "verify", "first", "--json", cwd=folder).stdout)
    assert (verified["files"], verified["differences"], verified["problem"]) == (6, [], "")

    again = convert(videos, "second", *lock, "--jobs", 2)
    assert "changed" not in again.stderr
    assert (folder / "second/dataset.lock").read_bytes() == (folder / "first/dataset.lock").read_bytes()

    refused = convert(videos, "third", *lock, "--pos-thres", "0.3", code=2)
    assert mentions(refused.stderr, "dataset.lock", "pos_thres")
    mixed = convert(videos, "first", code=None)
    assert (mixed.returncode, mentions(mixed.stderr, "dataset.lock", "6 files", "overwrite")) == (2, True)

    (videos / f"{NAMES[0]}.webm").write_bytes((videos / f"{NAMES[1]}.webm").read_bytes())
    other = convert(videos, "third", *lock, code=None)
    assert other.returncode == 1
    assert mentions(other.stderr, f"{NAMES[0]}.webm: changed")
    assert mentions(other.stderr, f"{NAMES[0]}.h5: changed")
