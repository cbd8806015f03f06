"""Event Stream: results equal faery, an independent decoder and encoder; truncation and wrong pixels are reported."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from conftest import SENSOR, random_events
from decoding import joined, part, until_corruption
from facts import raises
from faery import es

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.formats.event_stream import ES_HEADER_BYTES, EVENT_STREAM

ATIS_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("exposure", "?"), ("polarity", "?")])
DVS_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])


def write(path: Path, events: Events, kind: str = "dvs") -> None:
    """Write a file with faery; for the ATIS, with an exposure event before each event."""
    array = np.zeros(len(events), DVS_DTYPE if kind == "dvs" else ATIS_DTYPE)
    array["t"], array["x"], array["y"] = events.t, events.x, events.sensor.height - 1 - events.y
    array["on" if kind == "dvs" else "polarity"] = events.p
    if kind == "atis":
        array = np.repeat(array, 2)
        array["exposure"][::2] = True
    with es.Encoder(path, event_type=kind, zero_t0=False, dimensions=(events.sensor.width, events.sensor.height)) as to:
        to.write(array)


def read(path: Path) -> Events:
    source = EVENT_STREAM.open(path)
    assert source.sensor is not None
    return joined(source.chunks(), source.sensor)


@pytest.mark.parametrize("kind", ["dvs", "atis"])
@pytest.mark.parametrize(("block_bytes", "span_us"), [(3, 1), (17, 1000), (17, 10_000_000), (1 << 20, 1000)])
def test_file_written_by_faery_is_read_back(
    tmp_path: Path, kind: str, block_bytes: int, span_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvspipe.formats.source.BLOCK_BYTES", block_bytes)
    events = random_events(1, 500, SensorSize(1280, 720), span_us)
    path = tmp_path / "clip.es"
    write(path, events, kind)
    assert read(path) == events
    assert EVENT_STREAM.open(path).attributes.get("exposures_skipped", 0) == (500 if kind == "atis" else 0)
    packed = tmp_path / "clip.es.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed) == events


@pytest.mark.parametrize(("kind", "reset"), [("dvs", b"\xfe"), ("atis", b"\xfc")])
def test_resets_are_ignored(tmp_path: Path, kind: str, reset: bytes) -> None:
    events = random_events(1, 1)
    path = tmp_path / "clip.es"
    write(path, events, kind)
    data = path.read_bytes()
    path.write_bytes(data[:ES_HEADER_BYTES] + 3 * reset + data[ES_HEADER_BYTES:] + 3 * reset)
    assert read(path) == events


@pytest.mark.parametrize("kind", ["dvs", "atis"])
def test_truncation_anywhere_yields_all_complete_events(tmp_path: Path, kind: str) -> None:
    events = random_events(1, 12, span_us=1000)
    path = tmp_path / "cut.es"
    write(path, events, kind)
    data = path.read_bytes()
    refused = 0
    for size in range(ES_HEADER_BYTES, len(data)):
        path.write_bytes(data[:size])
        found = joined(until_corruption(EVENT_STREAM.open(path).chunks()), SENSOR)
        assert found == part(events, 0, len(found))
        try:
            list(EVENT_STREAM.open(path).chunks())
        except CorruptionError:
            refused += 1
    assert refused == 4 * len(events) * (2 if kind == "atis" else 1)  # all truncations except between two events
    for size in range(ES_HEADER_BYTES):
        path.write_bytes(data[:size])
        with raises(FormatError, "cut.es"):
            EVENT_STREAM.open(path)


def test_pixel_outside_sensor_is_corruption_after_previous_events(tmp_path: Path) -> None:
    events = random_events(1, 3, span_us=1)
    path = tmp_path / "clip.es"
    write(path, events)
    data = bytearray(path.read_bytes())
    data[ES_HEADER_BYTES + 5 + 1] = 12
    path.write_bytes(data)
    chunks = EVENT_STREAM.open(path).chunks()
    assert len(next(chunks).t) == 1
    with raises(CorruptionError, "25", "12x7"):
        next(chunks)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 0, "Event Stream"),
        (12, 3, ("3.0.0", "2.0")),
        (15, 0, ("generic", "DVS", "ATIS")),
        (15, 4, "color"),
        (15, 9, "9"),
        (16, 0, ("sensor", "width", "0")),
    ],
)
def test_other_files_are_rejected(tmp_path: Path, at: int, value: int, message: object) -> None:
    path = tmp_path / "clip.es"
    write(path, random_events(1, 3))
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)
    with raises(FormatError, message):
        EVENT_STREAM.open(path)


@pytest.mark.parametrize(("name", "exposures"), [("faery_dvs", 0), ("faery_atis", 852_792)])
def test_real_recordings_equal_faery(test_data: Path, name: str, exposures: int) -> None:
    path = test_data / f"recordings/{name}.es"
    events = read(path)
    expected = np.concatenate(list(es.Decoder(path, 0)))
    if exposures:
        assert EVENT_STREAM.open(path).attributes["exposures_skipped"] == expected["exposure"].sum() == exposures
        expected = expected[~expected["exposure"]]
    assert len(events) == 473_225
    assert np.array_equal(events.t, expected["t"])
    assert np.array_equal(events.x, expected["x"])
    assert np.array_equal(events.y, 239 - expected["y"])
    assert np.array_equal(events.p, expected["p"])


def test_generic_stream_is_rejected(test_data: Path) -> None:
    with raises(FormatError, "faery_generic.es"):
        EVENT_STREAM.open(test_data / "recordings/faery_generic.es")
