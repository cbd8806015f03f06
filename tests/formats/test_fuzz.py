"""All formats: changed files are read or rejected; written files are read back; the table in docs is complete."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import SENSOR, random_events
from encoders import encode_aedat2, encode_aedat3, encode_evt3, encode_evt21
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe.base.errors import DvspipeError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import FORMATS, Hints, open_recording, read, write, written_suffixes
from dvspipe.formats.bin40 import BIN40

ROOT = Path(__file__).parents[2]
SUFFIXES = written_suffixes()
EVENTS = random_events(0, 300, span_us=50_000)
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80")
MAX_EXAMPLES = 400


def make_seeds() -> dict[str, bytes]:
    """Return a small file of each format, by suffix."""
    seeds = {
        ".evt3.raw": encode_evt3(EVENTS),
        ".evt21.raw": encode_evt21(EVENTS),
        ".2.aedat": encode_aedat2(EVENTS),
        ".3.aedat": encode_aedat3(EVENTS),
    }
    with TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            path = Path(folder, f"seed{suffix}")
            write(path, EVENTS)
            seeds.setdefault(suffix, path.read_bytes())
    return seeds


SEEDS = make_seeds()


def sensor_of(suffix: str) -> SensorSize:
    return SensorSize(width=128, height=128) if suffix in (".2.aedat", ".3.aedat") else SENSOR


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


def test_every_format_has_a_seed(tmp_path: Path) -> None:
    formats = set()
    for suffix, content in SEEDS.items():
        path = tmp_path / f"seed{suffix}"
        path.write_bytes(content)
        sensor = sensor_of(suffix)
        formats.add(open_recording(path, hints=Hints(sensor=str(sensor))).format)
        assert read(path, hints=Hints(sensor=str(sensor))) == Events(EVENTS.t, EVENTS.x, EVENTS.y, EVENTS.p, sensor), (
            suffix
        )
    assert formats == set(FORMATS)


def read_parts(path: Path, sensor: SensorSize | None = None) -> tuple[Events | None, list[DvspipeError]]:
    """Events up to a corruption, None if the file is rejected; and the errors."""
    errors: list[DvspipeError] = []
    try:
        recording = open_recording(path, hints=Hints(sensor=None if sensor is None else str(sensor)))
        parts = [*recording.chunks(on_corruption=errors.append)]
    except DvspipeError as error:
        return None, [error]
    return concatenate(parts, recording.sensor), errors


@settings(max_examples=MAX_EXAMPLES)
@given(changed_files())
def test_changed_file_is_read_or_rejected_with_its_name(tmp_path: Path, file: tuple[str, bytes]) -> None:
    suffix, content = file
    path = tmp_path / f"changed{suffix}"
    path.write_bytes(content)

    # Events are ordered and inside the sensor, or cannot be created.
    events, errors = read_parts(path)
    assert all(path.name in str(error) for error in errors)
    if errors:
        with pytest.raises(DvspipeError, match=path.name):
            read(path)
    else:
        assert read(path) == events


@given(st.sampled_from(sorted(SEEDS)), st.floats(0, 1))
def test_events_of_a_truncated_file_are_its_first_events(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut{suffix}"
    content = SEEDS[suffix]
    path.write_bytes(content)
    complete = read(path, hints=Hints(sensor=str(sensor_of(suffix))))
    path.write_bytes(content[: int(share * len(content))])

    events, errors = read_parts(path, complete.sensor)
    assert all(path.name in str(error) for error in errors)
    assert events is None or events == complete[: len(events)]


@pytest.mark.parametrize("suffix", sorted(SEEDS))
def test_random_bytes_are_rejected_by_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"random{suffix}"
    for count in (0, 1000):
        path.write_bytes(np.random.default_rng(0).bytes(count))
        with pytest.raises(DvspipeError, match=path.name):
            read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_files_are_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    for count, start_us in ((0, 0), (1, 17), (300, 40_000_000)):
        if (
            count or suffix not in BIN40.suffixes
        ):  # formats without a header: no events give an empty file, and empty files are rejected
            events = random_events(1, count, span_us=3_000_000).shift_time(start_us)
            write(path, events, overwrite=True)
            assert read(path, hints=Hints(sensor=str(SENSOR))) == events


def test_documentation_table_lists_every_format_and_suffix() -> None:
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line[:1] == "|"]
    cells = {row.split("|")[1].strip().strip("`"): row.split("|")[2:] for row in reversed(rows)}  # first name
    for name, known in FORMATS.items():
        assert {word.strip().strip("`") for word in cells[name][0].split(",")} == set(known.suffixes), name
    written = {  # those that are named, or all of the format
        suffix
        for name in FORMATS
        if (cell := cells[name][1].strip())
        for suffix in ([cell.strip("`")] if cell.startswith("`") else FORMATS[name].suffixes)
    }
    assert written >= set(SUFFIXES)
