"""Pieces of one film or recording share a group; files with merely numbered names do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import mentions
from numpy.typing import NDArray

from dvspipe.datasets import FolderConfig, open_dataset, pieces, restore_split, write_split
from dvspipe.datasets.pieces import MAX_SEPARATE_PAIRS, find_pieces, find_same_names
from dvspipe.datasets.samples import Sample
from dvspipe.events import Events
from dvspipe.formats import NO_HINTS, write
from dvspipe.video.files import read_video_ends
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.writing import write_video

PIECE, PIECES = 12, 4  # frames, files


def film(seed: int, frames: int) -> list[NDArray[np.uint8]]:
    """Render a window that moves along a curve over a texture of blocks."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (20, 20), np.uint8).repeat(16, 0).repeat(16, 1)
    steps = np.arange(frames)
    x, y = (100 + 90 * np.sin(steps / 31 + rng.random())).astype(int), (90 + 80 * np.cos(steps / 37)).astype(int)
    return [texture[b : b + 64, a : a + 96].copy() for a, b in zip(x, y, strict=True)]


def write_clip(path: Path, images: list[NDArray[np.uint8]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_video(path, frames_from_arrays(images, fps=25))
    return path


def write_film(folder: Path, seed: int, stem: str = "clip") -> list[Path]:
    images = film(seed, PIECE * PIECES)
    return [write_clip(folder / f"{stem}_{k + 1:02}.webm", images[PIECE * k : PIECE * (k + 1)]) for k in range(PIECES)]


def test_pieces_map_to_the_first_file_of_their_film(tmp_path: Path) -> None:
    files = write_film(tmp_path / "a", 0)
    assert find_pieces(files[::-1], NO_HINTS) == dict.fromkeys(files, files[0])
    assert find_pieces([files[0], files[2]], NO_HINTS) == {}


def test_pieces_in_folders_of_several_classes_are_found(tmp_path: Path) -> None:
    files = write_film(tmp_path / "a", 0)
    (tmp_path / "b").mkdir()
    moved = [files[0], files[1].rename(tmp_path / "b" / files[1].name), *files[2:]]
    assert find_pieces(moved, NO_HINTS) == dict.fromkeys(moved, moved[0])


def test_numbered_clips_of_different_scenes_are_not_pieces(tmp_path: Path) -> None:
    files = [write_clip(tmp_path / f"wave_{k}.webm", film(k, PIECE)) for k in range(1, 4)]
    assert find_pieces(files, NO_HINTS) == {}


def test_similar_clips_of_one_place_are_not_pieces(tmp_path: Path) -> None:
    """The pictures at a cut are similar, but no more than for any two of the clips."""
    images = film(0, PIECE)
    files = [write_clip(tmp_path / f"wave_{k}.webm", images + images[::-1]) for k in range(1, 4)]
    assert find_pieces(files, NO_HINTS) == {}


def write_recording(path: Path, begin_us: int, seed: int) -> Path:
    events = random_events(seed, 50)
    write(path, Events(events.t + begin_us, events.x, events.y, events.p, SENSOR))
    return path


@pytest.mark.parametrize(("gap_us", "count"), [(1000, 3), (5_000_000, 0), (-100_000, 0)])
def test_recordings_are_pieces_if_the_clock_continues(gap_us: int, count: int, tmp_path: Path) -> None:
    files = [write_recording(tmp_path / f"{k}.h5", 7_000_000 + k * (100_000 + gap_us), k) for k in range(3)]
    assert len(find_pieces(files, NO_HINTS)) == count


def test_series_without_pieces_is_abandoned_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_recording(tmp_path / f"{k:05}.h5", 0, k) for k in range(MAX_SEPARATE_PAIRS + 5)]
    read: list[Path] = []
    monkeypatch.setattr("dvspipe.datasets.pieces._read_times", lambda path, _: read.append(path))
    assert find_pieces(files, NO_HINTS) == {}
    assert read == files[: MAX_SEPARATE_PAIRS + 1]


@pytest.mark.parametrize(
    ("shares", "last"), [((0.3, 0.9, 0.4, 0.5), 4), ((0.3, 0.9, 0.9, 0.9), 1), ((0.3, 1.1, 0.4, 0.5), 1)]
)
def test_unclear_cut_counts_if_most_cuts_of_a_series_are_clear(
    shares: tuple[float, ...], last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A movement that repeats itself makes the picture after a cut look like the beginning of a film."""
    files = [Path(f"{number}.mp4") for number in range(5)]
    by_file = dict(zip(files, shares, strict=False))
    monkeypatch.setattr(pieces, "_ContinuationTest", lambda _: lambda before, _: by_file[before])
    first_of = find_pieces(files, NO_HINTS)
    assert [file for file in files if first_of.get(file) == files[0]] == files[: last + 1]


def test_pieces_of_a_film_are_in_one_part_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in range(2):
        for number in range(3):
            write_film(tmp_path / f"class{label}", 10 * label + number, f"film{number}")
    data = open_dataset(FolderConfig(root=tmp_path), seed=0)
    films = [{sample.group for sample in part} for part in data.parts.values()]
    assert sum(map(len, films)) == len(set.union(*films)) == 6
    assert sum(map(len, data.parts.values())) == 6 * PIECES
    (line,) = [message for message in caplog.messages if "pieces" in message]
    assert mentions(line, "24 of 24 files", 6)
    given = open_dataset(FolderConfig(root=tmp_path, group=r"film\d_\d+"), seed=0)
    assert len({sample.group for sample in given.samples}) == 3 * PIECES


def test_single_film_of_a_class_is_divided_in_time(tmp_path: Path) -> None:
    pieces = [f"clip_{number}" for number in range(6, 14)]  # clip_10 follows clip_9
    for label in range(2):
        (tmp_path / f"class{label}").mkdir()
        for number, piece in enumerate(pieces):
            write_recording(tmp_path / f"class{label}" / f"{piece}.h5", 100_000 * (20 * label + number), number)
    data = open_dataset(FolderConfig(root=tmp_path, validation=0.2), seed=0)
    assert data.in_time == data.classes
    stems = {part: {sample.file.stem for sample in samples if sample.file} for part, samples in data.parts.items()}
    assert stems == {"train": set(pieces[:5]), "validation": {pieces[5]}, "test": set(pieces[6:])}

    write_split(tmp_path / "split.json", data)
    opened = open_dataset(FolderConfig(root=tmp_path).with_shares({"validation": 0.0, "test": 0.0}), seed=0)
    restored = restore_split(tmp_path / "split.json", opened)
    assert restored is not None
    assert [str(sample) for sample in restored.test] == [str(sample) for sample in data.test]


def test_windows_of_a_single_recording_are_divided_in_time(tmp_path: Path) -> None:
    for label in range(2):
        (tmp_path / f"class{label}").mkdir()
        write_recording(tmp_path / f"class{label}" / "a.h5", 0, label)
    config = FolderConfig(root=tmp_path, window_us=10_000)
    data = open_dataset(config, seed=0)
    assert len(data.train) > len(data.test) >= len(data.validation) == 2
    assert {sample.label for sample in open_dataset(config.with_shares({"validation": 0.0}), seed=0).test} == {0, 1}
    write_split(tmp_path / "split.json", data)
    again = open_dataset(config.model_copy(update={"split": tmp_path / "split.json"}), seed=0)
    assert [str(sample) for sample in again.test] == [str(sample) for sample in data.test]


def test_pieces_in_a_given_test_part_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in range(2):
        for part, numbers in (("train", (0, 1, 5)), ("test", (2,))):
            for number in numbers:
                begin_us = (10 * label + number) * 1_000_000
                recorded = random_events(number, 50, span_us=999_000)
                events = Events(recorded.t + begin_us, recorded.x, recorded.y, recorded.p, SENSOR)
                write(tmp_path / part / f"class{label}" / f"{'ab'[label]}_{number}.h5", events)
    data = open_dataset(FolderConfig(root=tmp_path), seed=0)
    assert len(data.test) == 2
    assert {sample.group for sample in (*data.train, *data.validation)} == {
        str(tmp_path / "train" / f"class{label}" / f"{'ab'[label]}_{number}.h5")
        for label in range(2)
        for number in (0, 5)
    }
    assert any("a_2.h5" in message and "not independent" in message for message in caplog.messages)


def test_files_with_the_same_name_and_other_numbers_are_found() -> None:
    def samples(*names: str) -> list[Sample]:
        files = [Path(f"{name}.h5") for name in names]
        return [Sample(str(file), 0, str(file), lambda: random_events(0, 1), lambda: "", file=file) for file in files]

    train = samples("anna_01", "b-1", "c 3", "d (1)", "00001", "e1", "f_1", "user1_led", "g_1_1", "v_box_g03_c01")
    test = samples("anna_07", "b-2", "c_4", "d (12)", "00002", "e2", "f_1", "user2_led", "g_2_1", "v_box_g03_c02")
    assert [(file.stem, other.stem) for file, other in find_same_names(train, test)] == [
        ("anna_07", "anna_01"),
        ("b-2", "b-1"),
        ("c_4", "c 3"),
        ("d (12)", "d (1)"),
        ("v_box_g03_c02", "v_box_g03_c01"),
    ]


def test_video_ends_are_its_first_and_last_pictures(tmp_path: Path) -> None:
    images = [np.full((64, 96), 30 + 5 * number, np.uint8) for number in range(40)]
    ends = read_video_ends(write_clip(tmp_path / "a.webm", images))
    assert ends is not None
    np.testing.assert_allclose([end.mean() for end in ends], [30, 35, 220, 225], atol=3)
    assert read_video_ends(write_clip(tmp_path / "b.webm", images[:2])) is not None
    (tmp_path / "c.webm").write_bytes(b"no video")
    assert read_video_ends(tmp_path / "c.webm") is None


def test_two_recordings_of_a_class_are_enough_without_validation(tmp_path: Path) -> None:
    for label in range(2):
        (tmp_path / f"class{label}").mkdir()
        for number in range(2):
            write_recording(tmp_path / f"class{label}" / f"{'ab'[number]}.h5", 0, 2 * label + number)
    data = open_dataset(FolderConfig(root=tmp_path, window_us=10_000, validation=0), seed=0)
    files = [{sample.file for sample in part} for part in (data.train, data.test)]
    assert list(map(len, files)) == [2, 2]
    assert not files[0] & files[1]
