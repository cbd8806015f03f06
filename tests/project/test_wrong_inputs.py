"""Wrong inputs of a newcomer: each command is one line that names what was found, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions

from dvspipe.formats import write
from dvspipe.video.frames import Frame
from dvspipe.video.opencv import cv2
from dvspipe.video.writing import write_video

Prepare = Callable[[Path], object]


def write_images(folder: Path, *names: str, side: int = 8) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((side, side + 4), 20 * number, np.uint8))


def write_film(path: Path) -> None:
    write_video(path, [Frame(40_000 * number, np.full((8, 12), 20 * number, np.uint8)) for number in range(5)])


def make_mixed(folder: Path) -> None:
    """Two videos and three thumbnails."""
    (folder / "mixed").mkdir()
    for name in ("a.webm", "b.webm"):
        write_film(folder / "mixed" / name)
    write_images(folder / "mixed", "1.png", "2.png", "3.png")


def make_holiday(folder: Path) -> None:
    write_images(folder / "holiday", "beach.png", "dinner.png", "tent.png")


def make_sizes(folder: Path) -> None:
    write_images(folder / "sizes", "f1.png", "f2.png")
    write_images(folder / "sizes", "f3.png", side=16)


def make_video(folder: Path) -> None:
    write_film(folder / "film.webm")


def make_recording(folder: Path) -> None:
    write(folder / "a.h5", random_events(0, 500))


def make_times(text: str) -> Prepare:
    def prepare(folder: Path) -> None:
        make_video(folder)
        (folder / "times.txt").write_text(text)

    return prepare


def make_link(folder: Path) -> None:
    (folder / "link.mp4").symlink_to(folder / "gone.mp4")


def make_loop(folder: Path) -> None:
    (folder / "loop.h5").symlink_to(folder / "loop.h5")


def make_file(name: str, content: bytes) -> Prepare:
    return lambda folder: (folder / name).write_bytes(content)


def make_shadow(folder: Path) -> None:
    (folder / "nmnist").mkdir()


def make_cut(folder: Path) -> None:
    make_recording(folder)
    content = (folder / "a.h5").read_bytes()
    (folder / "a.h5").write_bytes(content[: len(content) // 2])


def make_nan(folder: Path) -> None:
    (folder / "a.csv").write_text("t,x,y,p\n0,1,1,1\nnan,1,1,0\n")


def make_unsorted(folder: Path) -> None:
    (folder / "a.csv").write_text("t_us,x,y,p\n20,1,1,1\n10,1,1,0\n")


def make_single_class(folder: Path) -> None:
    (folder / "data" / "wave").mkdir(parents=True)
    write(folder / "data" / "wave" / "a.h5", random_events(0, 500))


def make_empty_class(folder: Path) -> None:
    make_single_class(folder)
    (folder / "data" / "clap").mkdir()


def make_nothing(_: Path) -> None:
    """Nothing."""


CASES: dict[str, tuple[Prepare, str, tuple[object, ...]]] = {
    "videos and images in one folder": (
        make_mixed,
        "convert mixed -o out",
        ("mixed", "2 videos", "3 images", "images"),
    ),
    "the same for info": (make_mixed, "info mixed", ("mixed", "2 videos", "3 images")),
    "the same for infer": (make_mixed, "infer gesture mixed", ("mixed", "2 videos", "3 images")),
    "the same for live": (make_mixed, "live gesture mixed", ("mixed", "2 videos", "3 images")),
    "images without numbers": (make_holiday, "convert holiday -o out.h5", ("holiday", "beach.png")),
    "images of two sizes": (make_sizes, "convert sizes -o out.h5", ("sizes", "20x16", "12x8")),
    "an empty video": (make_file("film.mp4", b""), "convert film.mp4 -o out.h5", ("film.mp4", "empty")),
    "words with the suffix of a video": (
        make_file("film.mp4", b"hello" * 99),
        "convert film.mp4 -o out.h5",
        ("film.mp4", "frame"),
    ),
    "a link to nothing": (make_link, "convert link.mp4 -o out.h5", ("link.mp4",)),
    "a link to itself": (make_loop, "info loop.h5", ("loop.h5",)),
    "a path with a line break": (make_nothing, "convert no\\nfilm.mp4 -o out.h5", ("no", "film.mp4")),
    "a suffix in capitals that is unknown": (make_video, "convert film.webm -o out.H6", ("H6",)),
    "0 Hz": (make_video, "convert film.webm -o out.h5 --fps 0", ("fps", "0")),
    "a negative start": (make_video, "convert film.webm -o out.h5 --start-s=-1", ("-1", "0")),
    "a stop before the start": (make_video, "convert film.webm -o out.h5 --start-s 2 --stop-s 1", ("1", "2")),
    "negative times": (make_times("-0.1\n0.0\n"), "convert film.webm -o out.h5 --timestamps times.txt", ("times.txt",)),
    "times that are words": (
        make_times("0.0\nsoon\n"),
        "convert film.webm -o out.h5 --timestamps times.txt",
        ("times.txt", "soon"),
    ),
    "too few times": (make_times("0.0\n"), "convert film.webm -o out.h5 --timestamps times.txt", ("times.txt", "1")),
    "a share of nothing": (make_video, "convert film.webm -o out --share 3/2", ("3/2",)),
    "a share that is a word": (make_video, "convert film.webm -o out --share some", ("some",)),
    "no SLURM array": (make_video, "convert film.webm -o out --share auto", ("auto", "SLURM")),
    "an option given twice": (make_video, "convert film.webm -o a.h5 -o b.h5", ("-o",)),
    "an output that is the input": (make_recording, "convert a.h5 -o a.h5", ("a.h5",)),
    "swapped arguments of infer": (make_video, "infer film.webm gesture", ("film.webm",)),
    "swapped arguments of live": (make_video, "live film.webm gesture", ("film.webm",)),
    "an unknown classifier": (make_video, "infer gestur film.webm", ("gestur", "gesture")),
    "a folder with the name of an experiment": (make_shadow, "train nmnist", ("nmnist", "./nmnist")),
    "a truncated recording": (make_cut, "info a.h5", ("a.h5",)),
    "a time that is no number": (make_nan, "convert a.csv -o out.h5 --time-unit us", ("a.csv", "nan")),
    "times out of order": (make_unsorted, "convert a.csv -o out.h5", ("a.csv", "20", "10")),
    "a sensor of zero": (make_recording, "convert a.h5 -o out.npz --sensor 0x7", ("0x7",)),
    "a sensor that is too small": (make_unsorted, "convert a.csv -o out.h5 --sensor 1x1", ("a.csv",)),
    "a region outside the sensor": (make_recording, "cut a.h5 -o out.h5 --region 20x20+0+0", ("20x20+0+0", "12x7")),
    "one class": (make_single_class, "train data", ("data", "1")),
    "an empty class": (make_empty_class, "train data", ("clap",)),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_one_line_and_writes_nothing(name: str, tmp_path: Path) -> None:
    prepare, command, words = CASES[name]
    prepare(tmp_path)
    before = {path: path.lstat().st_size for path in tmp_path.rglob("*")}

    done = dvspipe(*(word.replace("\\n", "\n") for word in command.split()), cwd=tmp_path, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert mentions(done.stderr, *words)
    assert {path: path.lstat().st_size for path in tmp_path.rglob("*")} == before


def test_file_that_grows_while_it_is_read_is_an_error_or_complete(tmp_path: Path) -> None:
    """A recording that another process still writes is never half read in silence."""
    from dvspipe.base.errors import DvspipeError
    from dvspipe.formats import open_recording

    path = tmp_path / "a.h5"
    write(path, random_events(0, 3000))
    recording = open_recording(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DvspipeError, match=r"a\.h5"):
        list(recording.chunks())
