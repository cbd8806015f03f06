"""Laws of all formats: written events are read back, truncated and changed files are errors of one line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from commands import dvspipe
from conftest import SENSOR, divide, limit_files, random_events, rows_of
from encoders import encode_aedat2, encode_aedat3, encode_dat, encode_es, encode_evt3, encode_evt21
from facts import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import DvspipeError, EventError, FileError, FormatError
from dvspipe.base.files import remove_leftovers
from dvspipe.events import Events, SensorSize
from dvspipe.formats import FORMATS, Hints, WriteOptions, create_writer, open_recording, read, write, written_suffixes
from dvspipe.recordings.info import info

SUFFIXES = written_suffixes()
EVENTS = random_events(0, 300, span_us=50_000)
MANY = random_events(1, 200_000, span_us=2_000_000)
VERBS = {"convert": [], "cut": ["--stop-s", 9], "filter": ["--hot-pixels"], "merge": []}
KILLED = """
import os, signal
from dvspipe.cli.app import main
from dvspipe.formats import writing

require_space, parts = writing.require_space, []

def kill_in_the_second_part(path, size):
    parts.append(path)
    if len(parts) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    require_space(path, size)

writing.require_space = kill_in_the_second_part
main()
"""
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80")


def make_seeds() -> dict[str, bytes]:
    """Return a small file of each format, by suffix."""
    seeds = {
        ".evt3.raw": encode_evt3(EVENTS),
        ".evt21.raw": encode_evt21(EVENTS),
        ".2.aedat": encode_aedat2(EVENTS),
        ".3.aedat": encode_aedat3(EVENTS),
        ".dat": encode_dat(EVENTS),
        ".es": encode_es(EVENTS),
    }
    with TemporaryDirectory() as folder:
        np.save(f"{folder}/seed.npy", rows_of(EVENTS, t="i8", x="u2", y="u2", p="?"))
        for suffix in SUFFIXES:
            write(f"{folder}/seed{suffix}", EVENTS)
        for path in Path(folder).iterdir():
            seeds[path.suffix] = path.read_bytes()
    return seeds


SEEDS = make_seeds()


def hints_of(suffix: str) -> Hints:
    return Hints(sensor="128x128" if suffix in (".2.aedat", ".3.aedat") else str(SENSOR))


@pytest.mark.parametrize("suffix", sorted(SEEDS))
def test_seed_of_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"seed{suffix}"
    path.write_bytes(SEEDS[suffix])
    found = read(path, hints=hints_of(suffix))
    for name in "txyp":
        assert np.array_equal(getattr(found, name), getattr(EVENTS, name)), name


@settings(max_examples=60)
@given(
    suffix=st.sampled_from(SUFFIXES),
    seed=st.integers(0, 1000),
    count=st.sampled_from([1, 2, 300]),
    start_us=st.sampled_from([0, 17, 999_999, 1_000_000, 40_000_000, 3_000_000_000]),
    span_us=st.sampled_from([1, 20, 100_000, 20_000_000]),
    cuts=st.lists(st.integers(0, 300), max_size=4),
)
def test_written_events_are_read_back(
    tmp_path: Path, suffix: str, seed: int, count: int, start_us: int, span_us: int, cuts: list[int]
) -> None:
    events = random_events(seed, count, span_us=span_us).shift_time(start_us)
    path = tmp_path / f"clip{suffix}"
    write(path, divide(events, cuts), overwrite=True)
    assert read(path, hints=Hints(sensor=str(SENSOR))) == events
    assert [file.name for file in path.parent.glob("clip*") if file.suffix == path.suffix] == [path.name]

    stop_us = start_us + span_us // 2
    assert read(path, start_us, stop_us, hints=Hints(sensor=str(SENSOR))) == events.between(start_us, stop_us)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_times_at_the_ends_of_clocks_are_read_back(tmp_path: Path, suffix: str) -> None:
    t = [2**bit + step for bit in range(10, 33) for step in (-1, 0, 1)]
    nothing = [0] * len(t)
    events = Events(t, nothing, nothing, nothing, SENSOR)
    write(tmp_path / f"a{suffix}", events)
    assert read(tmp_path / f"a{suffix}", hints=Hints(sensor=str(SENSOR))) == events


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix not in FORMATS["bin40"].suffixes])
def test_recording_without_events_is_read_back(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", Events.empty(SENSOR))
    assert read(tmp_path / f"a{suffix}", hints=Hints(sensor=str(SENSOR))) == Events.empty(SENSOR)


@st.composite
def changed_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Suffix and content of a file with flipped, extreme, repeated or missing bytes, or bytes of another format."""
    suffix = draw(st.sampled_from(sorted(SEEDS)))
    content = SEEDS[suffix]
    for change in draw(st.lists(st.sampled_from(("extreme", "random", "drop", "repeat", "graft")), max_size=3)):
        # Every second position is in the header.
        first = draw(st.integers(0, 255) | st.integers(0, max(len(content) - 1, 0)))
        count = draw(st.sampled_from((1, 2, 4, 8, 500)))
        inserted = {
            "extreme": lambda count=count: draw(st.sampled_from(EXTREMES)) * count,
            "random": lambda count=count: draw(st.binary(min_size=1, max_size=count)),
            "drop": lambda: b"",
            "repeat": lambda first=first, count=count, content=content: 2 * content[first : first + count],
            "graft": lambda first=first: SEEDS[draw(st.sampled_from(sorted(SEEDS)))][first:],
        }[change]()
        content = content[:first] + inserted + content[first + count :]

    return suffix, content


def is_named(error: DvspipeError, path: Path) -> bool:
    return path.name in str(error) and "\n" not in str(error)


@settings(max_examples=400)
@given(changed_files())
def test_changed_file_is_read_or_rejected_in_one_line_with_its_name(tmp_path: Path, file: tuple[str, bytes]) -> None:
    suffix, content = file
    path = tmp_path / f"changed{suffix}"
    path.write_bytes(content)
    for hints in (Hints(), hints_of(suffix)):
        try:
            events = read(path, hints=hints)  # ordered and inside the sensor, or it cannot be created
            assert info(path, hints=hints).events == len(events)
        except DvspipeError as error:
            assert is_named(error, path)  # noqa: PT017


@given(suffix=st.sampled_from(sorted(SEEDS)), length=st.integers(0, 100_000))
def test_truncated_file_is_an_error_or_ends_between_records(tmp_path: Path, suffix: str, length: int) -> None:
    content = SEEDS[suffix]
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: length % len(content)])
    try:
        events = read(path, hints=hints_of(suffix))
    except DvspipeError as error:
        assert is_named(error, path)  # noqa: PT017
    else:
        # Only formats without a length: the number of events is not stored. The last bytes of AEDAT 4 are padding.
        assert suffix not in (".h5", ".hdf5", ".npz", ".npy", ".aedat4") or len(events) == len(EVENTS)
        assert np.array_equal(events.t, EVENTS.t[: len(events)])


def test_events_of_a_truncated_record_are_not_read(tmp_path: Path) -> None:
    for suffix in (".evt3.raw", ".evt21.raw", ".2.aedat", ".3.aedat", ".raw", ".dat", ".bin", ".es"):
        (tmp_path / f"cut{suffix}").write_bytes(SEEDS[suffix][:-1])
        with raises(FormatError, f"cut{suffix}", "truncated"):
            read(tmp_path / f"cut{suffix}", hints=hints_of(suffix))

    # Also between the last packet and the table of packets, whose last bytes are padding.
    content = SEEDS[".aedat4"]
    for length in range(len(content) - 200, len(content) - 8):
        (tmp_path / "cut.aedat4").write_bytes(content[:length])
        with raises(FormatError, "cut.aedat4"):
            read(tmp_path / "cut.aedat4")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_failed_write_leaves_no_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with raises(EventError, path.name, "event 300", EVENTS.t[0], EVENTS.t[-1]):
        write(path, [EVENTS, EVENTS])
    with raises(EventError, path.name, "12x7", "5x5"):
        write(path, [Events.empty("5x5"), EVENTS])
    other = Events([1], [1], [1], [True], "6x4")
    with raises(EventError, path.name, "6x4", SENSOR), create_writer(path, SENSOR, WriteOptions()) as writer:
        writer.append(other)
    with pytest.raises(KeyboardInterrupt), create_writer(path, SENSOR, WriteOptions()) as writer:
        writer.append(EVENTS)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recording of several parts."""
    path = tmp_path_factory.mktemp("source") / "in.h5"
    write(path, MANY)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("verb", VERBS)
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, source: Path, verb: str, suffix: str) -> None:
    command = [verb, source, *VERBS[verb], "-o", tmp_path / f"a{suffix}"]
    with limit_files(200 << 10):
        failed = dvspipe(*command, code=2)
    assert failed.stderr.count("cannot be written") == failed.stderr.count(f"a{suffix}") == 1, failed.stderr
    assert list(tmp_path.iterdir()) == []

    dvspipe(*command)
    assert read(tmp_path / f"a{suffix}", hints=Hints(sensor=str(SENSOR))) == MANY


@pytest.mark.parametrize(("verb", "suffix"), [*zip(VERBS, (".h5", ".aedat4", ".csv", ".raw"), strict=True)])
def test_killed_write_leaves_nothing_and_is_done_by_the_next_run(
    tmp_path: Path, source: Path, verb: str, suffix: str
) -> None:
    out = tmp_path / f"a{suffix}"
    command = [str(word) for word in (verb, source, *VERBS[verb], "-o", out)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [path.name.startswith(".dvspipe-") for path in tmp_path.iterdir()] == [True]

    remove_leftovers.cache_clear()
    dvspipe(*command)
    assert read(out, hints=Hints(sensor=str(SENSOR))) == MANY
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("suffix", "t", "x", "found"),
    [
        (".bin", -1, 0, "t = -1"),
        (".bin", 2**36, 0, "t = 68719476736"),
        (".bin", 0, 256, "x = 256"),
        (".aedat4", -1, 0, "t = -1"),
        (".raw", 2**34, 0, "t = 17179869184"),
        (".raw", 0, 2048, "x = 2048"),
    ],
)
def test_events_that_a_format_cannot_store_are_rejected(
    tmp_path: Path, suffix: str, t: int, x: int, found: str
) -> None:
    with raises(EventError, f"a{suffix}", found):
        write(tmp_path / f"a{suffix}", Events([t], [x], [0], [True], "20000x20000"))
    assert list(tmp_path.iterdir()) == []


def test_file_written_by_another_process_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"

    def parts() -> Iterator[Events]:
        yield EVENTS
        path.write_text("the other's")

    with raises(FileError, "out.h5"):
        write(path, parts())
    assert path.read_text() == "the other's"
    assert list(tmp_path.iterdir()) == [path]


def test_memory_is_bounded_by_chunks(tmp_path: Path) -> None:
    events = random_events(1, 2_200_000, SensorSize(width=640, height=480))
    for suffix in (".h5", ".raw", ".aedat4"):
        write(tmp_path / f"a{suffix}", events)
        chunks = [len(part) for part in open_recording(tmp_path / f"a{suffix}").chunks()]
        assert sum(chunks) == len(events)
        assert max(chunks) <= 1 << 20
