from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import SensorSize
from dvspipe.formats import dat, evt, info, prophesee_header
from dvspipe.formats import source as source_module
from dvspipe.formats.source import HEAD_BYTES, Source

Event = tuple[int, int, int, int]
"""t, x, y, p."""

HEADER = b"% Data file containing CD events.\n% Version 2\n% Date 2020-09-14 14:18:29\n% Width 12\n% Height 7\n"
HALF = 2**31


def encode(events: list[Event], kind: int = 0x0C) -> bytes:
    records = b"".join(
        (t % 2**32).to_bytes(4, "little") + (p << 28 | y << 14 | x).to_bytes(4, "little") for t, x, y, p in events
    )
    return bytes([kind, 8]) + records


def opened(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    assert dat.DAT.recognises(path, content[:HEAD_BYTES])
    return dat.DAT.open(path)


def rows(source: Source) -> tuple[list[Event], CorruptionError | None]:
    """Return all events, and the corruption after them."""
    events: list[Event] = []
    try:
        for columns in source.chunks():
            dtypes = columns.t.dtype, columns.x.dtype, columns.y.dtype, columns.p.dtype
            assert dtypes == (np.int64, np.int16, np.int16, np.bool_)
            events += zip(*(column.tolist() for column in columns), strict=True)
    except CorruptionError as corruption:
        return events, corruption
    return events, None


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    start = draw(st.sampled_from([0, 7, 2**32 - 1000]))
    steps = draw(st.lists(st.sampled_from([0, 0, 1, 500, 10_000, HALF - 1]), max_size=80))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return [
        (start + sum(steps[: k + 1]), int(rng.integers(12)), int(rng.integers(7)), int(rng.integers(2)))
        for k in range(len(steps))
    ]


@given(events=event_lists(), piece=st.integers(1, 300), kind=st.sampled_from([0x00, 0x0C]), packed=st.booleans())
def test_decoding_inverts_encoding_for_any_block_size(
    tmp_path: Path, events: list[Event], piece: int, kind: int, packed: bool
) -> None:
    path = tmp_path / "a.dat"
    content = HEADER + encode(events, kind)
    first = events[0][0] // 2**32 * 2**32 if events else 0  # a file does not store overflows before its first event
    expected = [(t - first, x, y, p) for t, x, y, p in events]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "BLOCK_BYTES", piece)
        source = opened(path, content)
        assert source.sensor == SensorSize(width=12, height=7)
        assert rows(source) == (expected, None)
        if packed:
            path.write_bytes(gzip.compress(content))
            assert rows(dat.DAT.open(path)) == (expected, None)


def test_overflow_is_distinguished_from_decreasing_time(tmp_path: Path) -> None:
    times = [2**32 - 5, 3, 1, HALF + 1, 0]
    found, corruption = rows(opened(tmp_path / "a.dat", HEADER + encode([(t, 0, 0, 1) for t in times])))
    assert corruption is None
    assert [t for t, *_ in found] == [2**32 - 5, 2**32 + 3, 2**32 + 1, 2**32 + HALF + 1, 2**33]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ((9, 12, 0, 1), "x = 12, y = 0"),
        ((9, 0, 7, 1), "x = 0, y = 7"),
        ((9, 0, 0, 2), ("x = 0, y = 0", "p = 2", "12x7")),
    ],
)
def test_corruption_is_reported_with_its_byte(tmp_path: Path, event: Event, message: object) -> None:
    good = [(k, k, 1, 0) for k in range(9)]
    found, corruption = rows(opened(tmp_path / "a.dat", HEADER + encode([*good, event, *good])))
    assert found == good
    assert mentions(str(corruption), f"byte {len(HEADER) + 2 + 9 * 8}", message)


def test_info_finds_a_truncated_record(tmp_path: Path) -> None:
    path, content = tmp_path / "a.dat", HEADER + encode([(10, 1, 2, 1), (20, 3, 4, 0)])
    path.write_bytes(content[:-3])
    with raises(CorruptionError, "a.dat", len(content) - 3, "5 of 8 bytes"):
        info(path)
    path.write_bytes(content)
    assert info(path).events == 2


def test_truncated_file_yields_all_complete_events(tmp_path: Path) -> None:
    events = [(k, k, 1, 0) for k in range(9)]
    content = HEADER + encode(events)
    path = tmp_path / "a.dat"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        complete, rest = divmod(length - len(HEADER) - 2, 8)
        if complete < 0:
            with raises(FormatError, "a.dat"):
                dat.DAT.open(path)
            continue
        source = dat.DAT.open(path)
        found, corruption = rows(source)
        assert found == events[:complete]
        assert (corruption is None) == (rest == 0)
        assert corruption is None or mentions(str(corruption), f"{length} bytes", rest)


@given(data=st.binary(max_size=300), flips=st.lists(st.integers(0, 100_000), min_size=1, max_size=3))
def test_garbage_and_flipped_bits_are_events_or_corruption(tmp_path: Path, data: bytes, flips: list[int]) -> None:
    path = tmp_path / "a.dat"
    events, _ = rows(opened(path, b"% Version 2\n" + bytes([0, 8]) + data))
    assert all(x < 2**14 and y < 2**14 for _, x, y, _ in events)
    content = bytearray(HEADER + encode([(9 * k, k % 12, k % 7, 1) for k in range(50)]))
    for flip in flips:
        content[flip % (8 * len(content)) // 8] ^= 1 << flip % 8
    path.write_bytes(content)
    try:
        source = dat.DAT.open(path)
    except FormatError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    rows(source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"% Version 1\n\x0c\x08", ("version", "1", "2")),
        (b"% Width 12\n\x0c\x08", ("version", "2")),
        (b"% Version 2\n", "header"),
        (b"% Version 2\n\x0e\x18", ("0x0E", "24", "0x00", "0x0C", "8")),
        (b"% Version 2\n\x0c\x10", ("0x0C", "16")),
        (b"% Version 2\n% Width 0\n% Height 7\n\x0c\x08", ("sensor", "width", "0")),
    ],
)
def test_unusable_header_raises(tmp_path: Path, content: bytes, message: object) -> None:
    with raises(FormatError, message):
        opened(tmp_path / "a.dat", content)


def test_header_length_is_limited(tmp_path: Path) -> None:
    header = HEADER + b"% a\n" * 16_000
    path = tmp_path / "a.dat"
    path.write_bytes(header + encode([(5, 1, 2, 1)]))
    assert prophesee_header.read_header(path).size == len(header)
    assert rows(dat.DAT.open(path)) == ([(5, 1, 2, 1)], None)
    path.write_bytes(header + b"% a\n" * 1000)
    with raises(FormatError, "65536"):
        dat.DAT.open(path)


def test_file_is_recognised_by_header(tmp_path: Path) -> None:
    assert dat.DAT.recognises(tmp_path / "a.bin", HEADER + b"\x0c\x08")
    assert dat.DAT.recognises(tmp_path / "a.dat", HEADER)
    assert not dat.DAT.recognises(tmp_path / "a.txt", b"% Version 2\n1 2 3 4\n")
    assert not dat.DAT.recognises(tmp_path / "a.dat", b"\x0c\x08" + bytes(80))
    assert not dat.DAT.recognises(tmp_path / "a.dat", b"% evt 3.0\n")
    assert not any(form.recognises(tmp_path / "a.raw", HEADER) for form in (evt.EVT2, evt.EVT21, evt.EVT3))


def test_file_written_by_faery_is_read_with_its_times(tmp_path: Path) -> None:
    import faery

    events = np.zeros(300, faery.EVENTS_DTYPE)
    rng = np.random.default_rng(0)
    events["t"] = 1_000 + np.cumsum(rng.integers(0, 400_000, 300))  # t0 in the header
    events["x"], events["y"], events["p"] = rng.integers(0, 12, 300), rng.integers(0, 7, 300), rng.integers(0, 2, 300)
    path = tmp_path / "a.dat"
    faery.events_stream_from_array(events, dimensions=(12, 7)).to_file(path)
    source = dat.DAT.open(path)
    assert source.attributes["t0"] == str(events["t"][0])
    columns = next(source.chunks())
    for name in "txyp":
        assert np.array_equal(getattr(columns, name), events[name])


def test_real_gen4_file_equals_faery(test_data: Path) -> None:
    import faery

    path = test_data / "recordings" / "faery_gen4.dat"
    source = dat.DAT.open(path)
    assert source.sensor == SensorSize(width=1280, height=720)
    columns = [np.concatenate(parts) for parts in zip(*source.chunks(), strict=True)]
    theirs = np.concatenate(list(faery.events_stream_from_file(path)))
    for ours, name in zip(columns, "txyp", strict=True):
        assert np.array_equal(ours, theirs[name])
    assert len(columns[0]) == 1_218_618


def test_real_ncars_file_equals_expelliarmus(test_data: Path) -> None:
    expelliarmus = pytest.importorskip("expelliarmus")
    path = test_data / "recordings" / "tonic_sample_ncars.dat"
    source = dat.DAT.open(path)
    assert source.sensor is None
    columns = next(source.chunks())
    assert len(columns.t) == 2009
    theirs = expelliarmus.Wizard(encoding="dat").read(str(path))
    for name in "txyp":
        assert np.array_equal(getattr(columns, name), theirs[name])
