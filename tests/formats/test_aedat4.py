"""AEDAT 4: files written by faery are read back, frame times, and no silent corruption."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import faery
import numpy as np
import pytest
from conftest import SENSOR, random_events
from decoding import part
from facts import raises

from dvspipe.base.errors import CorruptionError, FileError, FormatError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import open_recording
from dvspipe.formats.aedat4 import AEDAT4, HEADER_START, PACKET_HEAD_BYTES, read_frames, read_imu

T0_US = 1_600_000_000_000_000  # cameras use wall-clock times
TABLE_FIELD_AT = 54  # position of the table in the header written by faery


def write_events(path: Path, events: Events, packet_events: int = 100) -> None:
    array = np.zeros(len(events), faery.EVENTS_DTYPE)
    array["t"], array["x"], array["y"], array["p"] = events.t, events.x, events.y, events.p
    packets = [array[start : start + packet_events] for start in range(0, len(array), packet_events)]
    faery.file_encoder.events_to_file(packets, path, (events.sensor.width, events.sensor.height))


def frame_packet(image: np.ndarray, times_us: tuple[int, int, int, int, int]) -> bytes:
    """Encode a packet of stream 0 in iniVation's FlatBuffer schema: time, time range, exposure range, pixels."""
    height, width = image.shape
    kind = 2 if image.dtype == np.uint16 else 0  # OPENCV_16U_C1, OPENCV_8U_C1
    fields = struct.pack("<13H", 26, 56, 4, 12, 20, 28, 36, 47, 48, 50, 0, 0, 52)
    table = struct.pack("<i5q3xbhhI", 26, *times_us, kind, width, height, 4)
    body = struct.pack("<I4s6x", 40, b"FRME") + fields + table + struct.pack("<I", image.nbytes) + image.tobytes()
    return struct.pack("<iiI", 0, len(body) + 4, len(body)) + body


def write_frames(path: Path, packets: list[bytes], sensor: SensorSize = SENSOR) -> None:
    """Write an uncompressed file without a table of packets, like an interrupted recording."""
    text = (
        '<dv version="2.0"><node name="outInfo"><node name="0"><attr key="typeIdentifier" type="string">FRME</attr>'
        f'<node name="info"><attr key="sizeX" type="int">{sensor.width}</attr>'
        f'<attr key="sizeY" type="int">{sensor.height}</attr></node></node></node></dv>'
    ).encode()
    fields = struct.pack("<5H", 10, 8, 0, 0, 4)
    header = struct.pack("<I4s2x", 20, b"IOHE") + fields + struct.pack("<iII", 10, 4, len(text)) + text + bytes(4)
    path.write_bytes(b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(header)) + header + b"".join(packets))


def read(path: Path) -> Events:
    source = AEDAT4.open(path)
    assert source.sensor is not None
    return concatenate((Events(*columns, sensor=source.sensor) for columns in source.chunks()), source.sensor)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "clip.aedat4"
    write_events(path, random_events(1, 1000).shift_time(T0_US))
    return path


def test_events_keep_camera_times(recording: Path) -> None:
    assert read(recording) == random_events(1, 1000).shift_time(T0_US)


def test_small_packets_are_joined_to_large_chunks(recording: Path) -> None:
    assert [len(chunk.t) for chunk in AEDAT4.open(recording).chunks()] == [1000]


def test_file_is_recognised_by_content() -> None:
    assert AEDAT4.recognises(Path("clip.bin"), b"#!AER-DAT4.0\r\n")
    assert not AEDAT4.recognises(Path("clip.aedat4"), b"#!AER-DAT2.0\r\n")


def test_truncation_before_the_table_raises_with_file_name(recording: Path, tmp_path: Path) -> None:
    data = recording.read_bytes()
    (table,) = struct.unpack_from("<q", data, TABLE_FIELD_AT)
    assert 0 < table < len(data)
    cut = tmp_path / "cut.aedat4"
    for size in [*range(0, table, 7), table - 1, table]:
        cut.write_bytes(data[:size])
        with raises(FormatError, "cut.aedat4"):
            read(cut)


def test_truncation_inside_the_table_loses_no_events(recording: Path, tmp_path: Path) -> None:
    data = recording.read_bytes()
    (table,) = struct.unpack_from("<q", data, TABLE_FIELD_AT)
    cut = tmp_path / "cut.aedat4"
    for size in range(table + 1, len(data)):
        cut.write_bytes(data[:size])
        with suppress(FormatError):
            assert read(cut) == read(recording)


def test_complete_packets_are_read_before_truncation(recording: Path, tmp_path: Path) -> None:
    data, events = recording.read_bytes(), random_events(1, 1000).shift_time(T0_US)
    (table,) = struct.unpack_from("<q", data, TABLE_FIELD_AT)
    starts, broken = [HEADER_START + 4 + struct.unpack_from("<I", data, HEADER_START)[0]], tmp_path / "broken.aedat4"
    while starts[-1] < table:
        starts.append(starts[-1] + PACKET_HEAD_BYTES + struct.unpack_from("<i", data, starts[-1] + 4)[0])
    assert len(starts) == 11
    for number, start in enumerate(starts[:-1]):
        lying = data[: start + 4] + struct.pack("<i", 2**31 - 1) + data[start + 8 :]  # faery would allocate all of them
        for content in (data[:start], data[: start + 20], lying):
            broken.write_bytes(content)
            found: list[CorruptionError] = []
            parts = [*open_recording(broken).chunks(on_corruption=found.append)]
            assert concatenate(parts, SENSOR) == part(events, 0, 100 * number)
            assert len(found) == 1


def test_modified_byte_never_crashes_the_process(recording: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = recording.read_bytes()
    changed = tmp_path / "changed.aedat4"
    refused = 0
    for _ in range(200):
        corrupted = bytearray(data)
        corrupted[rng.integers(len(data))] = rng.integers(256)
        changed.write_bytes(corrupted)
        try:
            source = AEDAT4.open(changed)
            list(source.chunks())
        except FormatError:
            refused += 1
    assert refused > 20  # the header is more than a tenth of the file


def test_packet_above_the_decompression_limit_is_not_decoded(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.formats.aedat4.MAX_PACKET_BYTES", 1000)
    with raises(CorruptionError, "packet 0", "1000"):
        read(recording)


def test_header_that_is_not_utf8_is_rejected_before_faery_reads_it(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    data[data.index(b"<node")] = 0xF3
    recording.write_bytes(data)
    with raises(FormatError, "clip.aedat4", "header", "'utf-8'"):
        AEDAT4.open(recording)


def test_rust_panic_becomes_format_error(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {})
    with raises(FormatError, "clip.aedat4", "7"):
        raise_in_the_decoder(panic("range end index 7"), recording, monkeypatch)


def test_keyboard_interrupt_is_not_converted(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        raise_in_the_decoder(KeyboardInterrupt(), recording, monkeypatch)


def raise_in_the_decoder(error: BaseException, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoder(_path: Path) -> Any:
        raise error

    monkeypatch.setattr(faery.aedat, "Decoder", decoder)
    AEDAT4.open(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frame_times_are_the_middle_of_the_exposure(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "frames.aedat4"
    images = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (3, 7, 12)).astype(dtype)
    times_us = [T0_US + 40_000 * number for number in range(3)]
    write_frames(
        path,
        [frame_packet(image, (t, t, t + 9, t + 1000, t + 4001)) for image, t in zip(images, times_us, strict=True)],
    )
    frames = list(read_frames(path))
    assert [frame.t_us for frame in frames] == [t + 2500 for t in times_us]
    assert all(frame.transfer == "linear" and frame.image.dtype == dtype for frame in frames)
    np.testing.assert_array_equal(np.stack([frame.image for frame in frames]), images)


def test_frame_without_exposure_keeps_its_time(tmp_path: Path) -> None:
    path = tmp_path / "frames.aedat4"
    write_frames(path, [frame_packet(np.zeros((7, 12), np.uint8), (T0_US, T0_US - 5, T0_US + 5, 0, 0))])
    assert [frame.t_us for frame in read_frames(path)] == [T0_US]


def test_frame_smaller_than_the_sensor_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "frames.aedat4"
    write_frames(path, [frame_packet(np.zeros((5, 12), np.uint8), (1, 1, 1, 1, 1))])
    with raises(FormatError, "frame 0", "12x5", "12x7"):
        list(read_frames(path))


def test_truncation_inside_a_frame_raises(tmp_path: Path) -> None:
    path = tmp_path / "frames.aedat4"
    packet = frame_packet(np.zeros((7, 12), np.uint8), (1, 1, 1, 1, 1))
    write_frames(path, [packet, packet])
    data = path.read_bytes()
    for size in range(len(data) - len(packet) + 1, len(data)):
        path.write_bytes(data[:size])
        with raises(FormatError, "packet 1"):
            list(read_frames(path))


@pytest.mark.parametrize(
    ("read_it", "kind"), [(lambda path: AEDAT4.open(path), "events"), (lambda path: list(read_frames(path)), "frame")]
)
def test_missing_stream_is_reported(tmp_path: Path, read_it: Callable[[Path], Any], kind: str) -> None:
    path = tmp_path / "clip.aedat4"
    if kind == "frame":
        write_events(path, random_events(1, 10))
    else:
        write_frames(path, [])
    with raises(FormatError, "clip.aedat4", f"'{kind}'"):
        read_it(path)


def test_reading_frames_of_missing_or_other_files_raises(tmp_path: Path) -> None:
    with raises(FileError, "none.aedat4"):
        list(read_frames(tmp_path / "none.aedat4"))
    (tmp_path / "other.aedat4").write_bytes(b"#!AER-DAT2.0\r\n" + bytes(100))
    with raises(FormatError, "other.aedat4", "AEDAT", "4"):
        list(read_frames(tmp_path / "other.aedat4"))


@pytest.mark.parametrize(
    ("name", "sensor", "count", "first_us", "last_us"),
    [
        ("davis/faery_davis346", SensorSize(346, 260), 78_830, 1_589_163_147_368_868, 1_589_163_149_728_813),
        ("recordings/tonic_sample", SensorSize(320, 240), 111_954, 1_605_537_493_718_345, 1_605_537_494_308_262),
    ],
)
def test_real_recordings(
    test_data: Path, name: str, sensor: SensorSize, count: int, first_us: int, last_us: int
) -> None:
    events = read(test_data / f"{name}.aedat4")
    assert (events.sensor, len(events)) == (sensor, count)
    assert (events.t[0], events.t[-1]) == (first_us, last_us)


def test_frames_of_a_real_davis_camera(test_data: Path) -> None:
    frames = list(read_frames(test_data / "davis/faery_davis346.aedat4"))
    assert len(frames) == 59
    assert frames[0].image.shape == (260, 346)
    assert frames[0].t_us == (1_589_163_147_364_965 + 1_589_163_147_365_465) // 2
    assert {after.t_us - before.t_us for before, after in pairwise(frames)} == {40_000, 40_001}


def test_imu_of_a_resting_camera_measures_gravity(test_data: Path) -> None:
    samples = read_imu(test_data / "recordings" / "tonic_sample.aedat4")
    assert len(samples) == 475
    assert (np.diff(samples["t"]) > 0).all()
    assert samples["t"][0] == 1605537493718788
    gravity = np.linalg.norm(samples["acceleration"].mean(axis=0))
    assert gravity == pytest.approx(1, abs=0.1)  # g
    assert np.abs(samples["rotation"].mean(axis=0)).max() < 5  # degrees per second
    with raises(FormatError, "'imus'"):
        read_imu(test_data / "recordings" / "test_data_gray16.aedat4")


def test_16_bit_frame(test_data: Path) -> None:
    (frame,) = read_frames(test_data / "recordings/test_data_gray16.aedat4")
    assert frame.t_us == 1000
    np.testing.assert_array_equal(frame.image, np.array([[1, 2], [3, 1023]], np.uint16))


def test_brightening_pixels_have_on_events(test_data: Path) -> None:
    path = test_data / "davis/faery_davis346.aedat4"
    before, *_, after = list(read_frames(path))[:6]
    events = read(path).slice_time(before.t_us, after.t_us)
    net = np.zeros(before.image.shape)
    np.add.at(net, (events.y, events.x), np.where(events.p, 1, -1))
    change = np.log(after.image + 5.0) - np.log(before.image + 5.0)
    busy = net != 0
    assert np.corrcoef(net[busy], change[busy])[0, 1] > 0.4  # with flipped rows or swapped polarities, near 0 or below


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_file_name_that_is_not_utf8_raises(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.aedat4")
    write_events(tmp_path / "a.aedat4", random_events(1, 10))
    (tmp_path / "a.aedat4").rename(path)
    with raises(FileError, "UTF-8"):
        open_recording(path)
