"""AEDAT 2.0: address bits of each chip as in jAER, clock overflow, and no silent corruption."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from conftest import random_events
from decoding import joined, until_corruption
from facts import raises

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats import aedat2
from dvspipe.formats.aedat2 import AEDAT2
from dvspipe.formats.hints import Hints

DVS128, DAVIS240, DAVIS346 = SensorSize(128, 128), SensorSize(240, 180), SensorSize(346, 260)
JAER = "ch.unizh.ini.jaer.chip.retina.DVS128"
SEEBETTER = "eu.seebetter.ini.chips.davis."


def header(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("#!AER-DAT2.0", *lines)).encode()


def dvs128_words(events: Events) -> np.ndarray:
    """Encode events like the camera: columns from the right, rows from the bottom, 0 for ON."""
    return np.array(
        [[(127 - y) << 8 | (127 - x) << 1 | (not p), t % 2**32] for t, x, y, p in zip(*columns(events), strict=True)],
        ">u4",
    ).reshape(-1, 2)


def davis_words(events: Events) -> np.ndarray:
    width, height = events.sensor.width, events.sensor.height
    return np.array(
        [
            [(height - 1 - y) << 22 | (width - 1 - x) << 12 | p << 11, t % 2**32]
            for t, x, y, p in zip(*columns(events), strict=True)
        ],
        ">u4",
    ).reshape(-1, 2)


def columns(events: Events) -> list[list[int]]:
    return [events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist()]


def read(path: Path, hints: Hints | None = None) -> Events:
    source = AEDAT2.open(path, hints) if hints else AEDAT2.open(path)
    assert source.sensor is not None
    return joined(list(source.chunks()), source.sensor)


@pytest.mark.parametrize(
    ("line", "sensor", "words"),
    [
        (f"# AEChip: {JAER}", DVS128, dvs128_words),
        ("# HardwareInterface: DVS128-V1 0249", DVS128, dvs128_words),
        (f"# AEChip: {SEEBETTER}DAVIS240C", DAVIS240, davis_words),
        (f"# AEChip: {SEEBETTER}Davis346blue", DAVIS346, davis_words),
    ],
)
def test_chip_in_the_header_selects_the_address_layout(
    tmp_path: Path, line: str, sensor: SensorSize, words: object
) -> None:
    events = random_events(3, 2000, sensor)
    path = tmp_path / "clip.aedat"
    path.write_bytes(header("# created", line) + words(events).tobytes())
    assert read(path) == events
    packed = tmp_path / "clip.aedat.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed) == events


def test_missing_chip_in_the_header_needs_a_hint(tmp_path: Path) -> None:
    events = random_events(3, 50, DAVIS240)
    path = tmp_path / "clip.aedat"
    path.write_bytes(header("# HardwareInterface: DAVIS FX3") + davis_words(events).tobytes())
    with raises(FormatError, "chip=DVS128"):
        read(path)
    assert read(path, Hints(chip="davis240c")) == events
    with raises(FormatError, "'CeleX'"):
        read(path, Hints(chip="CeleX"))


def test_chip_hint_that_contradicts_the_header_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "clip.aedat"
    path.write_bytes(header(f"# AEChip: {JAER}"))
    with raises(FormatError, "DVS128", "DAVIS240"):
        read(path, Hints(chip="DAVIS240"))
    path.write_bytes(header("# AEChip: a.b.Tmpdiff128"))
    with raises(FormatError, "Tmpdiff128"):
        read(path)
    assert len(read(path, Hints(chip="DVS128"))) == 0


def test_non_event_words_are_skipped(tmp_path: Path) -> None:
    events = random_events(3, 60, DAVIS240)
    words = davis_words(events)
    others = np.array([[1 << 31, 0], [1 << 31 | 3 << 10 | 5, 0], [1 << 10, 0]], ">u4")  # frame, IMU, external input
    others = np.repeat(others, 20, axis=0)
    others[:, 1] = words[:, 1]
    path = tmp_path / "clip.aedat"
    path.write_bytes(header() + np.stack([words, others], axis=1).astype(">u4").tobytes())
    assert read(path, Hints(chip="DAVIS240")) == events
    path.write_bytes(header() + np.array([[1 << 15, 0], [1 << 31, 0]], ">u4").tobytes())
    assert len(read(path, Hints(chip="DVS128"))) == 0


@pytest.mark.parametrize("start", [0, 2**31 - 50_000, 2**32 - 50_000])
@pytest.mark.parametrize("block_bytes", [56, 1 << 20])
def test_clock_overflow_continues_times(
    tmp_path: Path, start: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvspipe.formats.source.BLOCK_BYTES", block_bytes)
    events = random_events(3, 100, DVS128).shift_time(start)
    path = tmp_path / "clip.aedat"
    path.write_bytes(header(f"# AEChip: {JAER}") + dvs128_words(events).tobytes())
    assert read(path) == events


def test_decreasing_time_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.aedat"
    path.write_bytes(header(f"# AEChip: {JAER}") + np.array([[0, 50], [0, 40], [0, 60]], ">u4").tobytes())
    (chunk,) = AEDAT2.open(path).chunks()
    assert chunk.t.tolist() == [50, 40, 60]


def test_data_that_looks_like_a_header_line_is_data(tmp_path: Path) -> None:
    events = Events([7, 8], [3, 239], [39, 0], [1, 0], DAVIS240)  # row 140 from the bottom: 0x23 is #
    words = davis_words(events).tobytes()
    assert words.startswith(b"#")
    path = tmp_path / "clip.aedat"
    for end in (header(), header("#End Of ASCII Header")):
        path.write_bytes(end + words)
        assert read(path, Hints(chip="DAVIS240")) == events


def test_truncation_yields_all_complete_events(tmp_path: Path) -> None:
    events = random_events(3, 20, DVS128)
    begin, words = header(f"# AEChip: {JAER}"), dvs128_words(events).tobytes()
    path = tmp_path / "cut.aedat"
    path.write_bytes(begin + words[:13])
    source = AEDAT2.open(path)
    with raises(CorruptionError, "cut.aedat", 5):
        list(source.chunks())
    assert sum(len(chunk.t) for chunk in until_corruption(source.chunks())) == 1
    for size in range(len(begin)):
        path.write_bytes(begin[:size])
        with raises(FormatError, "cut.aedat"):
            AEDAT2.open(path)


def test_invalid_address_is_corruption_after_previous_events(tmp_path: Path) -> None:
    path = tmp_path / "clip.aedat"
    for begin, address, chip in ((header(), 1 << 16, "DVS128"), (header(), 240 << 12, "DAVIS240")):
        path.write_bytes(begin + np.array([[0, 5], [address, 6], [0, 7]], ">u4").tobytes())
        chunks = AEDAT2.open(path, Hints(chip=chip)).chunks()
        assert next(chunks).t.tolist() == [5]
        with raises(CorruptionError, f"byte {len(begin) + 8}", chip):
            next(chunks)


@pytest.mark.parametrize("head", [b"\x00\x01\x02\x03", b"#!AER-DAT1.0\r\n", b"# a comment\r\n\0\0"])
def test_16_bit_addresses_are_rejected(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "old.aedat"
    path.write_bytes(head)
    assert AEDAT2.recognises(path, head)
    with raises(FormatError, "old.aedat", "AEDAT 2.0"):
        AEDAT2.open(path)


def test_newer_versions_are_not_recognised() -> None:
    assert not AEDAT2.recognises(Path("a.aedat"), b"#!AER-DAT3.1\r\n")
    assert not AEDAT2.recognises(Path("a.aedat"), b"#!AER-DAT4.0\r\n")


def test_header_with_too_many_lines_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aedat2, "MAX_HEADER_LINES", 100)
    path = tmp_path / "a.aedat"
    path.write_bytes(header(f"# AEChip: {JAER}", *["# a setting"] * 200))
    with raises(FormatError, "100"):
        AEDAT2.open(path)


def test_real_recordings(test_data: Path) -> None:
    foam = read(test_data / "recordings/mibblez_foam90.aedat")
    assert (len(foam), foam.sensor, foam.t[0], foam.duration_us) == (1575, DVS128, 2_693_326_797, 4_921_610)
    board = read(test_data / "recordings/iliis_checkerboard_2.aedat", Hints(chip="DVS128"))
    assert (len(board), board.t[0], board.t[-1]) == (30_350, 210_107_982, 210_232_796)
