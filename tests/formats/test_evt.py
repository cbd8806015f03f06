from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import CorruptionError, FormatError
from dvspipe.events import SensorSize
from dvspipe.formats import evt
from dvspipe.formats import source as source_module
from dvspipe.formats.dat import DAT
from dvspipe.formats.source import HEAD_BYTES, Format, Source

Event = tuple[int, int, int, int]
"""t, x, y, p."""

WIDTH, HEIGHT = 70, 50  # vectors extend beyond the last column
NAMES = ("EVT2", "EVT21", "EVT21 legacy", "EVT3")
FORMATS = {"EVT2": evt.EVT2, "EVT21": evt.EVT21, "EVT21 legacy": evt.EVT21, "EVT3": evt.EVT3}
UNITS = {"EVT2": 4, "EVT21": 8, "EVT21 legacy": 8, "EVT3": 2}


def header(name: str, size: tuple[int, int] | None = (WIDTH, HEIGHT), more: str = "") -> bytes:
    kind = name.split()[0]
    order = ";endianness=legacy" if "legacy" in name else ";endianness=little" if kind == "EVT21" else ""
    geometry = f";height={size[1]};width={size[0]}" if size else ""
    version = {"EVT2": "2.0", "EVT21": "2.1", "EVT3": "3.0"}[kind]
    return f"% evt {version}\n% format {kind}{geometry}{order}\n% serial_number 00050567\n{more}% end\n".encode()


def groups(events: Iterable[Event], span: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Group events that fit into one vector of `span` columns; yield t, y, p, first column, mask."""
    t = y = p = base = mask = -1
    for event in events:
        place = event[1] - base
        if (t, y, p) == (event[0], event[2], event[3]) and 0 <= place < span and 1 << place > mask:
            mask |= 1 << place
            continue
        if mask > 0:
            yield t, y, p, base, mask
        t, base, y, p = event
        mask = 1
    if mask > 0:
        yield t, y, p, base, mask


def encode_evt2(events: list[Event]) -> bytes:
    words, high = [], -1
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            words += [0xE << 28, 0x8 << 28 | high & 0xFFFFFFF, 0xA << 28 | 1]
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return b"".join(word.to_bytes(4, "little") for word in words)


def encode_evt21(events: list[Event], *, legacy: bool) -> bytes:
    words, high = [], -1
    for t, y, p, base, mask in groups(events, 32):
        if t >> 6 != high:
            high = t >> 6
            words += [(0x8 << 28 | high & 0xFFFFFFF) << 32, 0xE << 60 | 123, 0xA << 60]
        words.append((p << 28 | (t & 63) << 22 | base << 11 | y) << 32 | mask)
    halves = [(word >> 32, word & 0xFFFFFFFF) if legacy else (word & 0xFFFFFFFF, word >> 32) for word in words]
    return b"".join(half.to_bytes(4, "little") for pair in halves for half in pair)


def encode_evt3(events: list[Event]) -> bytes:
    words, high, low, row = [], -1, -1, -1
    for t, y, p, base, mask in groups(events, 32):
        if t >> 12 != high:
            high, low = t >> 12, -1
            words += [0x8000 | high & 0xFFF, 0xE014, 0xF123, 0xF001, 0x7002]
        if t & 0xFFF != low:
            low = t & 0xFFF
            words += [0x6000 | low, 0xA001]
        if y != row:
            row = y
            words.append(0x0000 | row)
        words.append(0x8000 | high & 0xFFF)  # repeated, as by cameras
        if mask == 1:
            words.append(0x2000 | p << 11 | base)
        else:
            words += [0x3000 | p << 11 | base, 0x4000 | mask & 0xFFF, 0x4000 | mask >> 12 & 0xFFF, 0x5000 | mask >> 24]
    return b"".join(word.to_bytes(2, "little") for word in words)


def encode(name: str, events: list[Event]) -> bytes:
    if name == "EVT2":
        return encode_evt2(events)
    if name == "EVT3":
        return encode_evt3(events)
    return encode_evt21(events, legacy="legacy" in name)


def decode_evt3(data: bytes) -> list[Event]:
    """Reference decoder: the public definition, word by word, without checks."""
    events: list[Event] = []
    high = low = row = base = on = loops = 0
    for at in range(0, len(data) - 1, 2):
        word = int.from_bytes(data[at : at + 2], "little")
        kind, payload = word >> 12, word & 0xFFF
        t = loops << 24 | high << 12 | low
        if kind == 0x0:
            row = payload & 0x7FF
        elif kind == 0x2:
            events.append((t, payload & 0x7FF, row, payload >> 11))
        elif kind == 0x3:
            base, on = payload & 0x7FF, payload >> 11
        elif kind in (0x4, 0x5):
            span = 12 if kind == 0x4 else 8
            events += [(t, base + place, row, on) for place in range(span) if payload >> place & 1]
            base += span
        elif kind == 0x6:
            low = payload
        elif kind == 0x8 and payload != high:
            loops += high >= payload + 2048
            high, low = payload, 0
    return events


def opened(path: Path, content: bytes, form: Format) -> Source:
    path.write_bytes(content)
    assert form.recognises(path, content[:HEAD_BYTES])
    return form.open(path)


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
    start = draw(st.sampled_from([0, 1, 4095, 2**24 - 100, 2**34 - 9_000]))
    steps = draw(st.lists(st.sampled_from([0, 0, 0, 1, 3, 63, 64, 100, 5000, 8_000_000]), max_size=40))
    times = [start + sum(steps[: k + 1]) for k in range(len(steps))]
    seed = draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for t in times:
        x, y, p = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)), int(rng.integers(2))
        events += [(t, x + place, y, p) for place in range(min(WIDTH - x, 40)) if rng.random() < 0.3 or not place]
    return events


@pytest.mark.parametrize("name", NAMES)
@given(events=event_lists(), piece=st.integers(1, 400), chunk=st.integers(1, 60), packed=st.booleans())
def test_decoding_inverts_encoding_for_any_block_size(
    tmp_path: Path, name: str, events: list[Event], piece: int, chunk: int, packed: bool
) -> None:
    path = tmp_path / "a.raw"
    content = header(name) + encode(name, events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "BLOCK_BYTES", piece)
        patch.setattr(evt, "CHUNK_EVENTS", chunk)
        source = opened(path, content, FORMATS[name])
        if packed:
            path.write_bytes(gzip.compress(content))
        first = events[0][0] if events else 0
        span = 2**24 if name == "EVT3" else 2**34  # a file does not store overflows before its first event
        expected = [(t - first // span * span, x, y, p) for t, x, y, p in events]
        assert rows(source) == (expected, None)
        assert rows(source) == (expected, None)
    assert source.sensor == SensorSize(width=WIDTH, height=HEIGHT)
    assert source.attributes["serial_number"] == "00050567"


@given(data=st.binary(max_size=300), piece=st.integers(1, 50), chunk=st.integers(1, 60))
def test_evt3_words_in_any_order_equal_reference_decoder(tmp_path: Path, data: bytes, piece: int, chunk: int) -> None:
    data = bytes.fromhex("ff8f 0060 0000 0030") + data[: len(data) // 2 * 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "BLOCK_BYTES", piece)
        patch.setattr(evt, "CHUNK_EVENTS", chunk)
        head = header("EVT3", None)
        found, corruption = rows(opened(tmp_path / "a.raw", head + data, evt.EVT3))
    if corruption is None:
        assert found == decode_evt3(data)
    else:
        byte = int(str(corruption).split("byte ")[1].split(":")[0])
        assert found[: len(decode_evt3(data[: byte - len(head)]))] == decode_evt3(data[: byte - len(head)])


@pytest.mark.parametrize("name", NAMES)
def test_overflow_is_distinguished_from_decreasing_time(tmp_path: Path, name: str) -> None:
    bits, low = (24, 12) if name == "EVT3" else (34, 6)
    span, step = 1 << bits, 1 << low
    times = [span - step, 5, step, 2 * step, step, span // 2 + 2 * step, step]
    events = [(t, 3, 4, 1) for t in times]
    found, corruption = rows(opened(tmp_path / "a.raw", header(name) + encode(name, events), FORMATS[name]))
    assert corruption is None
    expected = [span - step, span + 5, span + step, span + 2 * step, span + step, span + span // 2 + 2 * step]
    assert [t for t, *_ in found] == [*expected, 2 * span + step]


def test_evt3_time_holds_until_the_next_time_word(tmp_path: Path) -> None:
    # TIME_HIGH 1, TIME_LOW 7, row, event; TIME_HIGH 1 again, event; TIME_HIGH 2, event; TIME_LOW 6, vector, TIME_LOW 5
    words = bytes.fromhex("0180 0760 0400 0320 0180 0420 0280 0520 0660 0038 0140 0160 0150 0560 0150")
    found, corruption = rows(opened(tmp_path / "a.raw", header("EVT3") + words, evt.EVT3))
    assert corruption is None
    assert found == [
        (4096 + 7, 3, 4, 0),
        (4096 + 7, 4, 4, 0),
        (8192, 5, 4, 0),
        (8192 + 6, 0, 4, 1),
        (8192 + 1, 12, 4, 1),
        (8192 + 5, 20, 4, 1),
    ]


@pytest.mark.parametrize("legacy", [False, True])
def test_evt21_word_order_is_detected_without_header_field(tmp_path: Path, legacy: bool) -> None:
    events = [(70 * k, k % 30, k % 7, k % 2) for k in range(200)]
    head = b"% evt 2.1\n% format EVT21;height=50;width=70\n"
    content = head + encode_evt21(events, legacy=legacy)
    assert rows(opened(tmp_path / "a.raw", content, evt.EVT21)) == (events, None)
    assert rows(opened(tmp_path / "a.raw", head, evt.EVT21)) == ([], None)


def test_evt21_word_orders_match_documented_example(tmp_path: Path) -> None:
    """0x0102030405060708 is stored as 0x0403020108070605 by the IMX636 and as 0x0807060504030201 by the GenX320."""
    word, high = 0x1002180B_80000001, 0x80000001_00000000
    for order, bytes_of in (
        ("legacy", lambda w: (w >> 32).to_bytes(4, "little") + (w & 0xFFFFFFFF).to_bytes(4, "little")),
        ("little", lambda w: w.to_bytes(8, "little")),
    ):
        head = f"% evt 2.1\n% format EVT21;endianness={order}\n".encode()
        content = head + bytes_of(high) + bytes_of(word)
        assert rows(opened(tmp_path / "a.raw", content, evt.EVT21)) == ([(64, 67, 11, 1), (64, 98, 11, 1)], None)


@pytest.mark.parametrize(
    ("name", "data", "place", "facts"),
    [
        ("EVT2", "00000010", "byte {}", "TIME_HIGH"),
        ("EVT2", "00000080 00000030", "byte {4}", "0x3"),
        ("EVT2", "00000080 00300200", "byte {4}", ("x = 70, y = 0", "70x50")),
        ("EVT2", "00000080 32000000", "byte {4}", ("x = 0, y = 50", "70x50")),
        ("EVT2", "00000080 000000", "{=7} bytes", (3, "4 bytes")),
        ("EVT21", "01000000 00000010", "byte {}", "TIME_HIGH"),
        ("EVT21", "00000000 00000080 00000000 00000070", "byte {8}", "0x7"),
        ("EVT21", "00000000 00000080 00000080 00380100", "byte {8}", "x = 39, y = 0"),
        ("EVT3", "0020", "byte {}", "TIME_HIGH"),
        ("EVT3", "0080 0020", "byte {2}", "ADDR_Y"),
        ("EVT3", "0080 0000 0140", "byte {4}", "VECT_BASE_X"),
        ("EVT3", "0080 0000 4620", "byte {4}", ("x = 70", 70)),
        ("EVT3", "0080 3200", "byte {2}", ("y = 50", 50)),
        ("EVT3", "0080 0000 0000 3200", "byte {6}", ("y = 50", 50)),
        ("EVT3", "0080 0000 4530 0240", "byte {6}", ("x = 69", "0x2", 70)),
        *(("EVT3", f"0080 0000 0000 00{kind:X}0", "byte {6}", f"0x{kind:X}") for kind in (0x1, 0x9, 0xB, 0xC, 0xD)),
        ("EVT3", "00800", "{=3} bytes", (1, "2 bytes")),
    ],
)
def test_corruption_is_reported_with_its_byte(tmp_path: Path, name: str, data: str, place: str, facts: object) -> None:
    data = data.replace(" ", "")
    content = header(name) + bytes.fromhex(data + "0" * (len(data) % 2))
    given = place.split("{")[1].split("}")[0]
    number = len(header(name)) + int(given.lstrip("=") or 0)
    found, corruption = rows(opened(tmp_path / "a.raw", content, FORMATS[name]))
    assert found == []
    assert mentions(str(corruption), place.replace("{" + given + "}", str(number)), facts)


def test_evt3_padding_words_are_ignored(tmp_path: Path) -> None:
    content = header("EVT3") + bytes.fromhex("9999 0080 9999 0000 0120 9999 0220")
    found, corruption = rows(opened(tmp_path / "a.raw", content, evt.EVT3))
    assert ([event[1] for event in found], corruption) == ([1, 2], None)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_file_yields_all_complete_words(tmp_path: Path, name: str) -> None:
    events = [(50 * k, (7 * k) % 30 + place, k % 7, k % 2) for k in range(8) for place in range(3)]
    head, data, unit = header(name), encode(name, events), UNITS[name]
    for length in range(len(data)):
        path = tmp_path / "a.raw"
        found, corruption = rows(opened(path, head + data[:length], FORMATS[name]))
        complete = rows(opened(path, head + data[: length // unit * unit], FORMATS[name]))
        assert complete == (found, None)
        assert found == events[: len(found)]
        assert (corruption is None) == (length % unit == 0)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_header_raises_or_is_a_valid_header(tmp_path: Path, name: str) -> None:
    head, path = header(name), tmp_path / "a.raw"
    for length in range(len(head)):
        path.write_bytes(head[:length])
        named = head[:length].count(b"\n") > 0  # the first line sets the encoding
        if not named:
            with raises(FormatError, "a.raw", "version"):
                FORMATS[name].open(path)
        elif head[head.rfind(b"\n", 0, length) + 1 : length].startswith(b"% "):
            with raises(FormatError, "a.raw", "truncated", "header", head.rfind(b"\n", 0, length) + 1):
                FORMATS[name].open(path)
        else:
            assert rows(FORMATS[name].open(path))[0] == []


def test_truncated_gzip_stream_yields_its_events(tmp_path: Path) -> None:
    name = "EVT3"
    rng = np.random.default_rng(0)
    events = [(k, int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)), 1) for k in range(5000)]
    content = header(name) + encode(name, events)
    packed = gzip.compress(content)
    path = tmp_path / "a.raw.gz"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    found, corruption = rows(FORMATS[name].open(path))
    assert "gzip" in str(corruption)
    assert found == events[: len(found)]
    assert len(found) > 3000


@pytest.mark.parametrize("name", NAMES)
@given(
    data=st.binary(max_size=400), flips=st.lists(st.integers(0, 100_000), min_size=1, max_size=3), sized=st.booleans()
)
def test_garbage_and_flipped_bits_are_events_or_corruption(
    tmp_path: Path, name: str, data: bytes, flips: list[int], sized: bool
) -> None:
    size = (WIDTH, HEIGHT) if sized else None
    path = tmp_path / "a.raw"
    events, _ = rows(opened(path, header(name, size) + data, FORMATS[name]))
    assert len(events) <= len(data) // UNITS[name] * 32
    content = bytearray(header(name, size) + encode(name, [(9 * k, k, k, 1) for k in range(50)]))
    for flip in flips:
        content[flip % (8 * len(content)) // 8] ^= 1 << flip % 8
    path.write_bytes(content)
    for form in (evt.EVT2, evt.EVT21, evt.EVT3, DAT):
        if form.recognises(path, bytes(content[:HEAD_BYTES])):
            try:
                events, _ = rows(form.open(path))
            except FormatError as error:
                assert str(path) in str(error)  # noqa: PT017
            else:
                assert all(0 <= x < 2048 and 0 <= y < 2048 for _, x, y, _ in events)


@pytest.mark.parametrize(
    ("head", "form", "sensor"),
    [
        (b"% evt 3.0\n", evt.EVT3, None),
        (b"% evt 2.0\n", evt.EVT2, None),
        (b"% evt 2.1\n% geometry 1280x720\n", evt.EVT21, (1280, 720)),
        (b"% format EVT3;height=720;width=1280\r\n% end\r\n", evt.EVT3, (1280, 720)),
        (b"% Date 2020-09-25\n% evt 3.0\n% geometry 320x320\n% end\n", evt.EVT3, (320, 320)),
    ],
)
def test_header_sets_encoding_and_sensor(
    tmp_path: Path, head: bytes, form: Format, sensor: tuple[int, int] | None
) -> None:
    path = tmp_path / "a.bin"
    known = [one for one in (evt.EVT2, evt.EVT21, evt.EVT3, DAT) if one.recognises(path, head)]
    assert known == [form]
    source = opened(path, head, form)
    assert rows(source) == ([], None)
    assert source.sensor == (SensorSize(width=sensor[0], height=sensor[1]) if sensor else None)


@pytest.mark.parametrize("more", [b"", b"% end\n"])
def test_data_like_an_unfinished_header_line_is_data(tmp_path: Path, more: bytes) -> None:
    words = bytes.fromhex("2520") + bytes.fromhex("0080") * 50_000
    _, corruption = rows(opened(tmp_path / "a.raw", b"% evt 3.0\n" + more + words, evt.EVT3))
    assert f"byte {10 + len(more)}: " in str(corruption)


def test_data_like_a_header_line_is_data(tmp_path: Path) -> None:
    words = bytes.fromhex("2520 0080 0a00")  # "% " and a newline
    _, corruption = rows(opened(tmp_path / "a.raw", b"% evt 3.0\n" + words, evt.EVT3))
    assert "byte 10: " in str(corruption)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"% format HISTO3D;height=320;width=320\n", ("HISTO3D", "EVT2", "EVT21", "EVT3")),
        (b"% evt 4.0\n", "4.0"),
        (b"% evt 3.0\n% geometry 0x720\n", "sensor"),
        (b"% evt 3.0\n% geometry " + b"9" * 5000 + b"x1\n", "sensor"),
        (b"% evt 3.0\n% format EVT3;endianness=big\n", ("endianness=big", "little")),
        (b"% evt 3.0\n% t0 soon\n", "t0 = 'soon'"),
        (b"% evt 3.0\n" + b"% note 12345678\n" * 5000, "65536"),
    ],
)
def test_unusable_header_raises(tmp_path: Path, head: bytes, message: object) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(head)
    forms = [one for one in (evt.EVT2, evt.EVT21, evt.EVT3) if one.recognises(path, head[:HEAD_BYTES])]
    assert len(forms) == 1
    with raises(FormatError, message):
        forms[0].open(path)


def test_files_without_a_header_are_not_recognised() -> None:
    for head in (b"", b"\x00" * 50, b"% \xff", b"#!AER-DAT2.0\r\n", b"% hello\n"):
        assert not any(one.recognises(Path("a.raw"), head) for one in (evt.EVT2, evt.EVT21, evt.EVT3))


def from_faery(path: Path, **options: Any) -> list[np.ndarray]:
    import faery

    events = np.concatenate(list(faery.events_stream_from_file(path, **options)))
    return [events["t"], events["x"], events["y"], events["p"]]


def columns_of(form: Format, path: Path) -> list[np.ndarray]:
    return [np.concatenate(parts) for parts in zip(*form.open(path).chunks(), strict=True)]


@pytest.mark.parametrize("version", ["evt2", "evt3"])
def test_file_written_by_faery_is_read_with_its_times(tmp_path: Path, version: str) -> None:
    import faery

    events = np.zeros(300, faery.EVENTS_DTYPE)
    rng = np.random.default_rng(0)
    events["t"] = 1_000 + np.cumsum(rng.integers(0, 400_000, 300))  # an overflow of EVT3, and t0 in the header
    events["x"], events["y"], events["p"] = rng.integers(0, 12, 300), rng.integers(0, 7, 300), rng.integers(0, 2, 300)
    path = tmp_path / "a.raw"
    faery.events_stream_from_array(events, dimensions=(12, 7)).to_file(path, version=version)
    form = evt.EVT2 if version == "evt2" else evt.EVT3
    assert form.open(path).attributes["t0"] == str(events["t"][0])
    for ours, name in zip(columns_of(form, path), "txyp", strict=True):
        assert np.array_equal(ours, events[name])


def test_real_evt2_file_equals_faery(test_data: Path) -> None:
    path = test_data / "recordings" / "faery_evt2.raw"
    source = evt.EVT2.open(path)
    assert (source.sensor, source.attributes["plugin_name"]) == (None, "hal_plugin_gen3_fx3")
    ours = columns_of(evt.EVT2, path)
    assert len(ours[0]) == 521_252
    for mine, theirs in zip(ours, from_faery(path, dimensions_fallback=(640, 480)), strict=True):
        assert np.array_equal(mine, theirs)


def test_real_evt3_file_equals_real_dat_file(test_data: Path) -> None:
    """The DAT was converted by OpenEB: its times count from the TIME_HIGH before the first, unlike other decoders."""
    path = test_data / "recordings" / "faery_evt3.raw"
    assert evt.EVT3.open(path).sensor == SensorSize(width=1280, height=720)
    ours = columns_of(evt.EVT3, path)
    assert len(ours[0]) == 1_218_618
    decoded = columns_of(DAT, test_data / "recordings" / "faery_gen4.dat")
    for mine, theirs in zip((ours[0] - 11_194_368, *ours[1:]), decoded, strict=True):
        assert np.array_equal(mine, theirs)
    for mine, theirs in zip(ours, from_faery(path), strict=True):
        assert np.array_equal(mine, theirs)
