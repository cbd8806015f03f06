"""Digits under saccades: movement, recordings, MNIST files and output folders."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import encode_idx, write_mnist
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import DataError, FileError, FormatError
from dvspipe.base.files import lock_folder
from dvspipe.datasets.mnist import read_idx, read_mnist
from dvspipe.datasets.samples import is_synthetic
from dvspipe.events import Events
from dvspipe.formats import Hints, read
from dvspipe.recordings.comparison import compare
from dvspipe.synthesis import (
    DIGIT_SENSOR,
    SynthesisRecord,
    digit_frames,
    record_digit,
    write_digits,
    write_recordings,
)
from dvspipe.synthesis.digits import saccade_path

STILL = np.zeros(3)
LEGS_END_PX = [(1.8, 5.3), (5.6, 0.1), (0, 0)]


def drawn_digit(seed: int) -> np.ndarray:
    """Return an image of MNIST size with a thick random stroke in the central 20 x 20 pixels."""
    rng = np.random.default_rng(seed)
    image = np.zeros((28, 28), np.uint8)
    y, x = 14, 14
    for _ in range(40):
        image[y - 1 : y + 1, x - 1 : x + 1] = 255
        y, x = np.clip(np.array([y, x]) + rng.integers(-1, 2, 2), 6, 22)
    return image


def save_mnist(folder: Path, train: int = 30, test: int = 12) -> None:
    write_mnist(folder, *(np.stack([drawn_digit(number) for number in range(count)]) for count in (train, test)))


def test_saccade_legs_end_as_in_n_mnist_and_return() -> None:
    ends = saccade_path(np.array([90_000, 207_500, 314_000]), STILL)
    np.testing.assert_allclose(ends, LEGS_END_PX, atol=0.2)
    assert saccade_path(np.array([0]), STILL).tolist() == saccade_path(np.array([310_000]), STILL).tolist() == [[0, 0]]


@given(st.lists(st.integers(-10_000, 10_000), min_size=3, max_size=3))
def test_delayed_leg_follows_the_same_path_later(delays: list[int]) -> None:
    late = saccade_path(np.arange(0, 330_000, 500), np.array(delays, float))
    for leg, middle_us in enumerate((50_000, 150_000, 260_000)):
        as_usual = saccade_path(np.arange(middle_us - 15_000, middle_us + 15_000, 500), STILL)
        begin = (middle_us - 15_000 + delays[leg]) // 500 * 500
        moved = late[begin // 500 : begin // 500 + 60]
        np.testing.assert_allclose(moved, as_usual, atol=0.15)  # half a time step at full speed


@pytest.mark.parametrize("seed", range(3))
def test_recording_depends_only_on_the_seed(seed: int) -> None:
    image = drawn_digit(seed)
    first, again, other = (record_digit(image, np.random.default_rng(s)) for s in (seed, seed, seed + 100))
    assert first == again
    assert first != other
    assert first.sensor == DIGIT_SENSOR
    assert 0 <= first.t[0] < 20_000
    assert 290_000 < first.t[-1] < 316_000


def test_on_and_off_events_cancel_and_empty_image_has_only_leak_events() -> None:
    events = record_digit(drawn_digit(1), np.random.default_rng(1))
    net = events.p.sum() - (~events.p).sum()
    assert abs(net) < 0.05 * len(events) + 130  # leak: 0.36 Hz x 1156 pixels x 0.31 s = 129 events
    empty = record_digit(np.zeros((28, 28), np.uint8), np.random.default_rng(1))
    assert 90 < empty.p.sum() < 170
    assert (~empty.p).sum() < 12


def test_frames_are_linear_light_from_0_to_1_with_dark_digits() -> None:
    frames = list(digit_frames(drawn_digit(2), np.random.default_rng(2)))
    assert [frame.t_us for frame in frames] == list(range(0, frames[-1].t_us + 1, 2_000))
    assert 298_000 < frames[-1].t_us < 316_000
    assert {frame.transfer for frame in frames} == {"linear"}
    light = np.stack([frame.image for frame in frames])
    assert light.dtype == np.float32
    assert 0.05 < light.min() < 0.5 < light.max() <= 1
    full = next(digit_frames(np.full((28, 28), 255, np.uint8), np.random.default_rng(0))).image
    assert full[17, 17] < 0.13
    assert full[0, 33] > 0.9


@pytest.mark.parametrize("image", [np.zeros((27, 28), np.uint8), np.zeros((28, 28))])
def test_wrong_image_shape_or_type_is_an_error(image: np.ndarray) -> None:
    with raises(DataError, "uint8", "(28, 28)"):
        record_digit(image, np.random.default_rng(0))


def test_synthetic_recordings_resemble_real_recordings_of_the_same_images(test_data: Path) -> None:
    """Tolerances are at least three times the measured deviations."""
    images, labels = read_mnist(test_data / "mnist", "train")
    files = sorted((test_data / "nmnist" / "Train").glob("*/*.bin"), key=lambda path: int(path.stem))[:40]
    figures = []
    for file in files:
        row = int(file.stem) - 1
        assert labels[row] == int(file.parent.name)
        real = read(file, hints=Hints(sensor=DIGIT_SENSOR))
        found = compare(real, record_digit(images[row], np.random.default_rng(row)))
        figures.append((found.events_ratio, found.map_correlation, found.nearest_to_a_us, found.on_share_b))
    ratio, correlation, nearest_us, on_share = np.mean(figures, axis=0)
    assert 0.9 < ratio < 1.1
    assert np.std([figure[0] for figure in figures]) < 0.15
    assert correlation > 0.93
    assert nearest_us < 2_500
    assert abs(on_share - 0.5) < 0.02


GOOD = encode_idx(np.zeros((2, 7, 12), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "00 00 08"),
        (b"\x89PNG....", ("89 50 4e 47", "00 00 08")),
        (b"\0\0\x0d\x01\0\0\0\0", "00 00 0d 01"),
        (GOOD[:9], "9"),
        (GOOD[:-1], ("167", "168")),
        (GOOD + b"\0", "169"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, ("0", "4294967295")),
        (gzip.compress(GOOD, mtime=0)[:-9], "gzip"),
    ],
)
def test_error_names_a_corrupted_idx_file(tmp_path: Path, content: bytes, message: object) -> None:
    (tmp_path / "images").write_bytes(content)
    with raises(FormatError, "images", message):
        read_idx(tmp_path / "images")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "train-labels-idx1-ubyte",
            np.zeros(29, np.uint8),
            ("29", "30"),
        ),
        ("train-labels-idx1-ubyte", np.full(30, 10, np.uint8), ("row 1", "10", "0", "9")),
        ("train-images-idx3-ubyte", np.zeros((30, 28, 27), np.uint8), ("(30, 28, 27)", "N x 28 x 28")),
    ],
)
def test_mnist_files_that_do_not_match_are_an_error(
    tmp_path: Path, name: str, array: np.ndarray, message: object
) -> None:
    save_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / name).write_bytes(encode_idx(array))
    with raises(DataError, message):
        read_mnist(tmp_path / "mnist", "train")


def test_error_names_a_missing_mnist_file(tmp_path: Path) -> None:
    with raises(DataError, "train-images-idx3-ubyte.gz"):
        read_mnist(tmp_path, "train")


def recordings(folder: Path) -> dict[str, Events]:
    return {
        str(file.relative_to(folder)): read(file, hints=Hints(sensor=DIGIT_SENSOR))
        for file in folder.rglob("[0-9]*.bin")
    }


def record_few(folder: Path, mnist: Path, count: int, seed: int = 0, **settings: Any) -> int:
    return write_digits(folder, mnist=mnist, count=count, seed=seed, **{"jobs": 1} | settings).new


def test_digits_are_written_in_the_n_mnist_layout_and_resumed(tmp_path: Path) -> None:
    save_mnist(tmp_path / "mnist")
    folder = tmp_path / "out"
    assert record_few(folder, tmp_path / "mnist", 4, 3) == 4
    first = recordings(folder)
    assert record_few(folder, tmp_path / "mnist", 7, 3, test=2) == 5
    everything = recordings(folder)
    assert first.items() <= everything.items()
    assert len(everything) == 9
    for name in everything:
        part, digit, file = Path(name).parts
        assert part in ("Train", "Test")
        assert int(digit) == (int(file.removesuffix(".bin")) - 1) % 10
    assert is_synthetic(folder)
    record = json.loads((folder / "synthesis.json").read_text())
    assert (record["synthetic"], record["kind"], record["seed"]) == (True, "digits", 3)
    assert record_few(folder, tmp_path / "mnist", 7, 3, test=2) == 0


def test_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    save_mnist(tmp_path / "mnist")
    calls: list[tuple[int, int]] = []
    for jobs in (1, 2):
        record_few(tmp_path / str(jobs), tmp_path / "mnist", 5, 1, jobs=jobs, progress=lambda *p: calls.append(p))
    assert recordings(tmp_path / "1") == recordings(tmp_path / "2")
    assert list(dict.fromkeys(calls)) == [(done, 5) for done in range(6)]


def test_images_of_excluded_recordings_are_skipped(tmp_path: Path) -> None:
    save_mnist(tmp_path / "mnist")
    real = tmp_path / "real"
    for row in range(0, 30, 2):
        path = real / "Train" / str(row % 10) / f"{row + 1}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    record_few(tmp_path / "out", tmp_path / "mnist", 15, exclude=real)
    assert {int(Path(name).stem) % 2 for name in recordings(tmp_path / "out")} == {0}
    with raises(DataError, "15", "16"):
        record_few(tmp_path / "other", tmp_path / "mnist", 16, exclude=real)
    with raises(DataError, "Train", "Test"):
        record_few(tmp_path / "other", tmp_path / "mnist", 1, exclude=tmp_path)


def test_folder_with_other_files_settings_or_another_process_is_an_error(tmp_path: Path) -> None:
    write_recordings(tmp_path / "a", SynthesisRecord(kind="test", seed=1), {})
    with lock_folder(tmp_path / "a"), raises(FileError, tmp_path / "a"):
        write_recordings(tmp_path / "a", SynthesisRecord(kind="test", seed=1), {})
    with raises(DataError, "seed", "1", "synthesis.json", "2"):
        write_recordings(tmp_path / "a", SynthesisRecord(kind="test", seed=2), {})
    (tmp_path / "a" / "synthesis.json").write_text("[]")
    with raises(FileError, "synthesis.json"):
        write_recordings(tmp_path / "a", SynthesisRecord(kind="test", seed=1), {})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("dear")
    with raises(DataError, tmp_path / "b"):
        write_recordings(tmp_path / "b", SynthesisRecord(kind="test", seed=1), {})
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["letter.txt"]


MANY = 24  # enough recordings to kill the processes before the last one


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST files, and recordings of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("complete")
    save_mnist(folder / "mnist", train=MANY)
    record_few(folder / "out", folder / "mnist", MANY)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_killed_run_leaves_complete_files_and_resumes(complete: Path, tmp_path: Path, kill: signal.Signals) -> None:
    arguments = ["synth", "nmnist", "-o", str(tmp_path), "--mnist", str(complete / "mnist"), "--count", str(MANY)]
    running = subprocess.Popen(
        [sys.executable, "-m", "dvspipe", *arguments], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("Train/*/[0-9]*.bin"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(running.pid, kill)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == -kill, said
    lines = [line for line in said.splitlines() if not line.startswith("synth: ")]  # progress of a slow run
    assert lines == (["dvspipe: interrupted"] if kill == signal.SIGINT else [])
    expected, done = recordings(complete / "out"), recordings(tmp_path)
    assert 2 <= len(done) < MANY
    assert done.items() <= expected.items()
    assert record_few(tmp_path, complete / "mnist", MANY) == MANY - len(done)
    assert recordings(tmp_path) == expected
    assert not list(tmp_path.rglob(".*"))
