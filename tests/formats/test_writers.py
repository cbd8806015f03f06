"""Writers of other formats: independent decoders read the files; events out of range are rejected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, random_events
from decoding import joined, write
from facts import raises
from faery import dat, evt
from hypothesis import given, settings
from hypothesis import strategies as st

from dvspipe import formats
from dvspipe.base.errors import EventError, FileError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import faery_writers, writers
from dvspipe.formats.aedat4 import AEDAT4
from dvspipe.formats.bin40 import BIN40, BIN40_ENCODER
from dvspipe.formats.event_stream import EVENT_STREAM
from dvspipe.formats.evt import EVT3
from dvspipe.formats.evt3_writer import EVT3_ENCODER
from dvspipe.formats.faery_writers import AEDAT4_ENCODER, DAT_ENCODER, EVENT_STREAM_ENCODER, EVT2_ENCODER
from dvspipe.formats.rosbag import ROSBAG
from dvspipe.formats.rosbag_writer import ROSBAG_ENCODER
from dvspipe.formats.source import Format, StoredColumns
from dvspipe.formats.writers import StreamEncoder, StreamWriter

SMALL, WIDE = SensorSize(256, 240), SensorSize(2048, 1080)


def decoder_of(known: Format) -> Callable[[Path, SensorSize], Events]:
    return lambda path, sensor: joined(known.open(path).chunks(), sensor)


def faery_columns(arrays: list[Any]) -> list[StoredColumns]:
    return [
        StoredColumns(array["t"].astype(np.int64), array["x"], array["y"], array[array.dtype.names[3]])
        for array in arrays
    ]


def read_evt(path: Path, sensor: SensorSize) -> Events:
    version = "evt3" if path.name.endswith(".evt3.raw") else "evt2"
    with evt.Decoder(path, None, None) as decoder:
        assert (decoder.version, decoder.dimensions) == (version, (sensor.width, sensor.height))
        return joined(faery_columns([packet["events"] for packet in decoder if "events" in packet]), sensor)


def read_dat(path: Path, sensor: SensorSize) -> Events:
    with dat.Decoder(path, None, None) as decoder:
        assert decoder.dimensions == (sensor.width, sensor.height)
        return joined(faery_columns(list(decoder)), sensor)


WRITERS = {
    ".bin": (BIN40_ENCODER, decoder_of(BIN40), SMALL, 2**35),
    ".es": (EVENT_STREAM_ENCODER, decoder_of(EVENT_STREAM), WIDE, 2**30),
    ".aedat4": (AEDAT4_ENCODER, decoder_of(AEDAT4), WIDE, 2**51),
    ".raw": (EVT2_ENCODER, read_evt, SensorSize(2047, 1080), 2**33),
    ".evt3.raw": (EVT3_ENCODER, read_evt, WIDE, 2**28),
    ".dat": (DAT_ENCODER, read_dat, WIDE, 2**31),
    ".mcap": (ROSBAG_ENCODER, decoder_of(ROSBAG), WIDE, 2**50),
}


@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    count=st.sampled_from([0, 1, 2, 300]),
    start=st.sampled_from([0.0, 0.1, 0.99]),
    span_us=st.sampled_from([1, 20, 100_000, 20_000_000]),
    cuts=st.lists(st.integers(0, 300), max_size=3),
    chunk=st.sampled_from([7, 1 << 20]),
)
def test_written_events_are_read_back(
    tmp_path: Path, suffix: str, seed: int, count: int, start: float, span_us: int, cuts: list[int], chunk: int
) -> None:
    encoder, read, sensor, latest_us = WRITERS[suffix]
    events = random_events(seed, count, sensor, span_us).shift_time(int(start * latest_us))
    path = tmp_path / f"clip{suffix}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writers, "PART_EVENTS", chunk)
        write(path, events, encoder, cuts)
    assert read(path, sensor) == events
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def neighbours(seed: int, count: int = 300) -> Events:
    """Return runs of neighbouring pixels at equal times, with some duplicates, over several clock overflows."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.choice([0, 0, 0, 1, 5000, 2**23], count)).repeat(9)
    first, step = rng.integers(0, 70 - 40, count).repeat(9), rng.integers(0, 5, (count, 9)).cumsum(axis=1).ravel()
    y, p = rng.integers(0, 50, count).repeat(9), rng.integers(0, 2, (count, 9)) > 0
    return Events(t, first + step, y, np.where(rng.random(count) < 0.7, p[:, 0], p.T).T.ravel(), SensorSize(70, 50))


@pytest.mark.parametrize("read", [read_evt, decoder_of(EVT3)])
def test_neighbouring_pixels_become_evt3_vectors(tmp_path: Path, read: Callable[..., Events]) -> None:
    events, path = neighbours(1), tmp_path / "clip.evt3.raw"
    write(path, events, EVT3_ENCODER, [100, 1000])
    assert read(path, events.sensor) == events
    words = np.frombuffer(path.read_bytes().partition(b"% end\n")[2], "<u2")
    assert set(words >> 12) == {0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x8}


def test_evt3_is_readable_by_evutils(tmp_path: Path) -> None:
    io = pytest.importorskip("evutils.io", reason="evutils is not installed")
    events, path = neighbours(2), tmp_path / "clip.evt3.raw"
    write(path, events, EVT3_ENCODER)
    with io.EventReader(str(path)) as reader:
        found = reader.read_all()
    assert Events(*(found[name] for name in "txyp"), sensor=events.sensor) == events


def test_longer_suffix_selects_the_format(tmp_path: Path) -> None:
    for name, version in (("a.raw", "evt2"), ("a.evt3.raw", "evt3"), ("a.b.EVT3.raw", "evt3")):
        formats.write(tmp_path / name, Events([1], [2], [3], [True], SENSOR))
        assert formats.info(tmp_path / name).format == version


@pytest.mark.parametrize("suffix", WRITERS)
def test_long_gap_is_read_back(tmp_path: Path, suffix: str) -> None:
    encoder, read, sensor, latest_us = WRITERS[suffix]
    events = Events([0, 0, latest_us // 2, latest_us - 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 0, 1], sensor)
    write(tmp_path / f"clip{suffix}", events, encoder, [1, 2])
    assert read(tmp_path / f"clip{suffix}", sensor) == events


@pytest.mark.parametrize("suffix", WRITERS)
def test_size_estimate_is_an_upper_bound(tmp_path: Path, suffix: str) -> None:
    encoder, _, sensor, latest_us = WRITERS[suffix]
    path = tmp_path / f"clip{suffix}"
    for span_us in (1, 10**6, latest_us):
        events = random_events(1, 4000, sensor, span_us)
        write(path, events, encoder)
        assert path.stat().st_size <= encoder.size(events, None) + writers.CLOSING_BYTES // 100


@pytest.mark.parametrize(
    ("suffix", "t_us", "message"),
    [
        (".bin", -1, ("clip.bin", "event 0", "t = -1", "68719476735")),
        (".bin", 2**36, ("0", "68719476735", "1")),
        (".es", -1, ("clip.es", "event 0", "t = -1")),
        (".es", 2**33, ("event 0", "8589934592", "4294967296")),
        (".aedat4", -1, ("t = -1", ".aedat4")),
        (".raw", -1, ("t = -1", ".raw", "17179869183")),
        (".raw", 2**34, ("t = 17179869184", ".raw", "17179869183")),
        (".evt3.raw", -1, ("t = -1", ".evt3.raw", "17179869183")),
        (".evt3.raw", 2**34, ("t = 17179869184", ".evt3.raw", "17179869183")),
        (".mcap", -1, ("t = -1", ".mcap", "2147483647999999")),
        (".mcap", 2**31 * 10**6, ("t = 2147483648000000", ".mcap", "2147483647999999")),
        (".dat", 2**32, ("t = 4294967296", ".dat", "4294967295")),
    ],
)
def test_times_out_of_range_are_rejected(tmp_path: Path, suffix: str, t_us: int, message: object) -> None:
    encoder, _, sensor, _ = WRITERS[suffix]
    ahead = Events([min(0, t_us)], [0], [0], [1], sensor) if t_us > 0 else Events.empty(sensor)
    with (
        raises(EventError, message),
        StreamWriter(tmp_path / f"clip{suffix}", sensor, encoder) as writer,
    ):
        writer.append(ahead)
        writer.append(Events([t_us], [0], [0], [1], sensor))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [(256, 0, "x = 256"), (0, 256, "y = 256"), (0, 240, ("y = 240", "240"))],
)
def test_pixels_out_of_range_of_bin40_are_rejected(tmp_path: Path, x: int, y: int, message: object) -> None:
    events = Events([0, 1], [1, x], [1, y], [1, 0], SensorSize(640, 480))
    with raises(EventError, "clip.bin", "event 1", message):
        write(tmp_path / "clip.bin", events, BIN40_ENCODER)
    write(tmp_path / "clip.bin", Events([0], [255], [255], [1], SensorSize(640, 480)), BIN40_ENCODER)
    assert list(tmp_path.iterdir()) == [tmp_path / "clip.bin"]


@pytest.mark.parametrize(
    ("encoder", "suffix", "sensor"),
    [
        (EVT2_ENCODER, ".raw", SensorSize(2048, 10)),
        (EVT3_ENCODER, ".evt3.raw", SensorSize(10, 2049)),
        (DAT_ENCODER, ".dat", SensorSize(10, 16384)),
    ],
)
def test_sensors_too_large_for_a_format_are_rejected(
    tmp_path: Path, encoder: StreamEncoder, suffix: str, sensor: SensorSize
) -> None:
    with raises(EventError, f"clip{suffix}", sensor):
        write(tmp_path / f"clip{suffix}", Events.empty(sensor), encoder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", WRITERS)
def test_error_inside_the_block_leaves_no_files(tmp_path: Path, suffix: str) -> None:
    encoder, _, sensor, _ = WRITERS[suffix]
    with pytest.raises(KeyboardInterrupt), StreamWriter(tmp_path / f"clip{suffix}", sensor, encoder) as writer:
        writer.append(random_events(1, 100, sensor))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("disk"), type("PanicException", (BaseException,), {})("disk")])
def test_faery_errors_become_file_errors(tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(faery_writers, "_to_structured", fail)
    with raises(FileError, "clip.es", "(disk)"):
        write(tmp_path / "clip.es", random_events(1, 10), EVENT_STREAM_ENCODER)
    assert list(tmp_path.iterdir()) == []


def test_unsorted_events_do_not_reach_faery(tmp_path: Path) -> None:
    with (
        raises(EventError, "5", "9"),
        StreamWriter(tmp_path / "clip.es", SENSOR, EVENT_STREAM_ENCODER) as writer,
    ):
        writer.append(Events([9], [0], [0], [1], SENSOR))
        writer.append(Events([5], [0], [0], [1], SENSOR))


def test_aedat4_is_written_in_small_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faery import aedat

    monkeypatch.setattr(faery_writers, "PACKET_EVENTS", 64)
    path = tmp_path / "clip.aedat4"
    write(path, random_events(1, 130), AEDAT4_ENCODER)
    with aedat.Decoder(path) as decoder:
        assert [len(packet) for _, packet in decoder] == [64, 64, 2]
