"""Frames of data sets: files, tables, folders, resuming and interruption."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dvspipe
from conftest import SENSOR, random_events
from facts import mentions, raises
from PIL import Image

from dvspipe.base.errors import DataError, FileError, PartialError
from dvspipe.encoding import FrameConfig, encode_frames
from dvspipe.encoding.config import FrameForm
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.report.config import FrameSettings
from dvspipe.report.frames import COLUMNS, frames
from dvspipe.report.style import LIGHT

EVENTS = random_events(1, 300, span_us=100_000)


def written(source: Path, out: Path, *, overwrite: bool = False, **settings: Any) -> list[str]:
    """Write frames; return the names of all files."""
    frames(source, out, FrameSettings.model_validate({"every_us": 20_000} | settings), overwrite=overwrite)
    return files_in(out)


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Folder with recordings of two classes."""
    root = tmp_path / "data"
    for number, name in enumerate(("left/a", "left/b", "right/a")):
        write(root / f"{name}.h5", random_events(number, 300, span_us=100_000))
    return root


def test_pictures_have_the_colours_of_the_preview_and_a_pixel_per_pixel(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", EVENTS)
    assert written(tmp_path / "a.h5", tmp_path / "out") == [
        *(f"{number:06}.png" for number in range(5)),
        "frames.json",
        "times.csv",
    ]
    colours = {0: list(LIGHT.background)}
    for number, frame in enumerate(encode_frames([EVENTS], FrameConfig(every_us=20_000))):
        picture = np.asarray(Image.open(tmp_path / "out" / f"{number:06}.png"))
        assert picture.shape == (7, 12, 3)
        net = frame.values[1].astype(int) - frame.values[0]
        for value in np.unique(net.clip(-4, 4)).tolist():
            (found,) = {tuple(colour) for colour in picture[net.clip(-4, 4) == value].tolist()}
            assert colours.setdefault(value, list(found)) == list(found)
    assert len({tuple(colour) for colour in colours.values()}) == len(colours) > 5


@pytest.mark.parametrize("form", ["count", "surface", "voxel"])
def test_arrays_are_the_values_of_frames(tmp_path: Path, form: FrameForm) -> None:
    write(tmp_path / "a.h5", EVENTS)
    written(tmp_path / "a.h5", tmp_path / "out", form=form, format="npy", every_us=None, every_events=90)
    rows = csv.DictReader((tmp_path / "out" / "times.csv").read_text().splitlines())
    expected = encode_frames([EVENTS], FrameConfig(every_events=90, form=form))
    for row, frame in zip(rows, expected, strict=True):
        assert tuple(int(row[name]) for name in COLUMNS[1:]) == frame[:3]
        assert np.array_equal(np.load(tmp_path / "out" / row["file"]), frame.values)


def test_surfaces_are_pictures_of_the_last_polarity(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", Events([0, 5, 9], [1, 1, 3], [0, 0, 2], [0, 1, 0], SENSOR))
    written(tmp_path / "a.h5", tmp_path / "out", form="surface", tau_us=1e6)
    picture = np.asarray(Image.open(tmp_path / "out" / "000000.png")).astype(int)
    red, _, blue = picture[0, 1]
    assert red > blue  # ON is red
    red, _, blue = picture[2, 3]
    assert red < blue
    assert picture[5, 5].tolist() == [255, 255, 255]


def test_folders_of_recordings_are_mirrored(tmp_path: Path) -> None:
    for name in ("x/a.h5", "x/a.csv", "y/b.h5"):
        write(tmp_path / "data" / name, EVENTS)
    found = written(tmp_path / "data", tmp_path / "out", every_us=100_000)
    assert found == [
        "frames.json",
        *(f"x/a.{suffix}/{name}" for suffix in ("csv", "h5") for name in ("000000.png", "times.csv")),
        "y/b/000000.png",
        "y/b/times.csv",
    ]


def test_recordings_with_the_same_folder_in_the_output_are_an_error(tmp_path: Path) -> None:
    for name in ("a.h5", "a.csv", "a.h5.raw"):
        write(tmp_path / "data" / name, EVENTS)
    with raises(DataError, "a.h5.raw", "a.h5"):
        written(tmp_path / "data", tmp_path / "out")


def test_output_inside_the_source_is_no_source(recordings: Path) -> None:
    found = written(recordings, recordings / "out", format="npy")
    assert len(found) > 10
    assert written(recordings, recordings / "out", format="npy") == found


def test_run_resumes_after_an_error_and_keeps_finished_recordings(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "data" / f"{name}.h5", EVENTS)
    content = (tmp_path / "data" / "b.h5").read_bytes()
    (tmp_path / "data" / "b.h5").write_bytes(content[: len(content) // 2])
    with raises(PartialError, "1 of 3"):
        written(tmp_path / "data", tmp_path / "out")
    assert {Path(name).parts[0] for name in files_in(tmp_path / "out")} == {"a", "c", "frames.json"}

    (tmp_path / "data" / "b.h5").write_bytes(content)
    before = (tmp_path / "out" / "a" / "000000.png").stat().st_mtime_ns
    done = dvspipe("frames", "data", "-o", "out", "--every-us", 20_000, cwd=tmp_path)
    assert mentions(done.stdout, "5 frames", "12x7", "b/times.csv")
    assert mentions(done.stderr, "2 of 3")
    assert (tmp_path / "out" / "a" / "000000.png").stat().st_mtime_ns == before


def test_interruption_leaves_nothing_partial(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "data" / f"{name}.h5", EVENTS)
    out, settings = tmp_path / "out", FrameSettings(every_us=1000)
    calls: list[float] = []

    def interrupt(done: float, _total: float) -> None:
        calls.append(done)
        if len(calls) == 150:  # in the second recording
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frames(tmp_path / "data", out, settings, progress=interrupt)
    assert {Path(name).parts[0] for name in files_in(out)} == {"a", "frames.json"}
    shutil.rmtree(out)
    calls = [0.0] * 149
    with pytest.raises(KeyboardInterrupt):
        frames(tmp_path / "data", out, settings, progress=interrupt)
    assert not files_in(out)


def test_processes_write_the_same_files(recordings: Path, tmp_path: Path) -> None:
    one = written(recordings, tmp_path / "one")
    frames(recordings, tmp_path / "two", FrameSettings(every_us=20_000), jobs=2)
    assert files_in(tmp_path / "two") == one
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in one)


def test_other_settings_and_sources_need_overwrite_and_leave_no_old_frames(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = written(recordings, out)
    write(tmp_path / "b.h5", EVENTS[:1])
    with raises(FileError, "out", "20000", "50000", "overwrite"):
        written(recordings, out, every_us=50_000)
    with raises(FileError, "out", recordings, "b.h5", "overwrite"):
        written(tmp_path / "b.h5", out)
    assert files_in(out) == before
    found = written(recordings, out, every_us=50_000, overwrite=True)
    shutil.rmtree(out)
    assert written(recordings, out, every_us=50_000) == found
    for text in ("[]", "{"):
        (out / "frames.json").write_text(text)
        with raises(FileError, "frames.json", "overwrite"):
            written(recordings, out)
    assert written(tmp_path / "b.h5", out, overwrite=True) == ["000000.png", "frames.json", "times.csv"]


def test_folders_with_other_files_are_rejected(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.h5", EVENTS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with raises(FileError, "out", "mine.txt", "frames.json"):
        written(tmp_path / "data", tmp_path / "out")
    with raises(FileError, "mine.txt", "file"):
        written(tmp_path / "data", tmp_path / "out" / "mine.txt")
    assert files_in(tmp_path / "out") == ["mine.txt"]
    with raises(FileError, "data", "a.h5", "new folder"):
        frames(tmp_path / "data", tmp_path / "data")


def test_overwrite_removes_only_frames(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", EVENTS)
    written(tmp_path / "a.h5", tmp_path / "out")
    (tmp_path / "out" / "mine.png").touch()
    assert "mine.png" in written(tmp_path / "a.h5", tmp_path / "out", every_us=10**6, overwrite=True)
    assert files_in(tmp_path / "out") == ["000000.png", "frames.json", "mine.png", "times.csv"]
