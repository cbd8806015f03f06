"""EVT, DAT, AEDAT 2 to 4, Event Stream and 40-bit files: published definitions, independent decoders, real files."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import as_tuples, random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import FormatError
from dvspipe.events import SensorSize
from dvspipe.formats import Hints, read, write
from dvspipe.recordings.info import info

SENSOR = SensorSize(width=70, height=50)
SIDES = "width=70;height=50"
Row = tuple[int, int, int, int]
"""t, x, y, p."""


def rows_of(path: Path, content: bytes, chip: str | None = None) -> Sequence[Row]:
    path.write_bytes(content)
    return as_tuples(read(path, hints=Hints(chip=chip)))


def evt(version: str, words: str) -> bytes:
    """EVT file with words in hexadecimal, the most significant digit first."""
    size = {"2": 4, "21": 8, "3": 2}[version]
    data = b"".join(int(word, 16).to_bytes(size, "little") for word in words.split())
    return f"% evt {version}\n% format EVT{version};{SIDES}\n% end\n".encode() + data


def decode_evt3(data: bytes) -> list[Row]:
    """Reference decoder: the public definition, word by word, without checks."""
    events: list[Row] = []
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


@given(words=st.lists(st.integers(0, 0xFFFF), max_size=150), block=st.integers(2, 50))
def test_evt3_words_in_any_order_equal_reference_decoder(tmp_path: Path, words: list[int], block: int) -> None:
    data = bytes.fromhex("ff8f 0060 0000 0030") + struct.pack(f"<{len(words)}H", *words)
    path = tmp_path / "a.raw"
    expected = decode_evt3(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvspipe.formats.source.BLOCK_BYTES", block)
        try:
            path.write_bytes(b"% evt 3.0\n" + data)
            found = read(path, hints=Hints(sensor="3000x3000"), sort=True)
        except FormatError as error:
            assert "wrong EVT3 word 0x" in str(error)  # noqa: PT017
        else:
            assert sorted(as_tuples(found)) == sorted(expected)


@pytest.mark.parametrize(
    ("version", "words", "expected"),
    [
        # TIME_HIGH 1, events at its start and 7 us later
        ("2", "80000001 10001801 01C01802", [(64, 3, 1, 1), (71, 3, 2, 0)]),
        # a vector of columns 67 and 69
        ("21", "8000000100000000 1002180B00000005", [(64, 67, 11, 1), (64, 69, 11, 1)]),
        # a repeated TIME_HIGH changes nothing, a new one clears the low bits; a vector has the current time
        (
            "3",
            "8001 6007 0004 2003 8001 2004 8002 2005 6006 3800 4001 6001 5001 4001",
            [
                (4103, 3, 4, 0),
                (4103, 4, 4, 0),
                (8192, 5, 4, 0),
                (8198, 0, 4, 1),
                (8193, 12, 4, 1),
                (8193, 20, 4, 1),
            ],
        ),
        # padding, triggers and other words are no events
        ("3", "9999 8000 A001 E014 F123 7002 0000 2001 9999 2002", [(0, 1, 0, 0), (0, 2, 0, 0)]),
    ],
)
def test_evt_words_have_their_published_meaning(tmp_path: Path, version: str, words: str, expected: list[Row]) -> None:
    (tmp_path / "a.raw").write_bytes(evt(version, words))
    events = read(tmp_path / "a.raw", sort=True)
    assert events.sensor == SENSOR
    assert sorted(as_tuples(events)) == sorted(expected)


def test_clock_overflows_if_it_decreases_by_half_of_its_range(tmp_path: Path) -> None:
    for version, words, expected in (
        ("3", "8FFF 0001 2001 8001 2001", [0xFFF000, (1 << 24) + 4096]),
        ("2", "8FFFFFFF 10001801 80000001 10001801", [0xFFFFFFF << 6, (1 << 34) + 64]),
    ):
        assert [t for t, *_ in rows_of(tmp_path / "a.raw", evt(version, words))] == expected
    with raises(FormatError, "a.raw", "before the previous event"):  # a smaller decrease is not an overflow
        rows_of(tmp_path / "a.raw", evt("3", "8002 0001 2001 8001 2001"))


@pytest.mark.parametrize(
    ("version", "words", "word"),
    [
        ("2", "10000000", 0),  # no time
        ("2", "80000000 30000000", 1),  # reserved type
        ("2", "80000000 00023000", 1),  # x = 70
        ("2", "80000000 00000032", 1),  # y = 50
        ("21", "8000000000000000 0002280000000002", 1),  # x = 70 in a vector
        ("3", "2000", 0),
        ("3", "8000 2000", 1),  # no row
        ("3", "8000 0000 4001", 2),  # no base column
        ("3", "8000 0000 2046", 2),
        ("3", "8000 0032", 1),
        ("3", "8000 0000 3045 4002", 3),
        *(("3", f"8000 0000 {kind:X}000", 2) for kind in (0x1, 0x9, 0xB, 0xC, 0xD)),
    ],
)
def test_wrong_evt_word_is_an_error(tmp_path: Path, version: str, words: str, word: int) -> None:
    with raises(FormatError, "a.raw", f"word {word}:", f"0x{int(words.split()[word], 16):X}"):
        rows_of(tmp_path / "a.raw", evt(version, words))


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("% format HISTO3D;height=320;width=320\n", "HISTO3D"),
        ("% evt 4.0\n", "4.0"),
        ("% evt 3.0\n% geometry 0x720\n", "0 x 720"),
        ("% evt 2.1\n% format EVT21;endianness=legacy\n", "endianness=legacy"),
        ("no header", "no EVT version"),
    ],
)
def test_unusable_evt_header_is_an_error(tmp_path: Path, head: str, found: str) -> None:
    with raises(FormatError, "a.raw", found):
        rows_of(tmp_path / "a.raw", head.encode())


def dat(events: list[Row], kind: int = 0x0C, size: int = 8, version: int = 2) -> bytes:
    data = b"".join(struct.pack("<II", t, p << 28 | y << 14 | x) for t, x, y, p in events)
    return f"% Version {version}\n% Width 70\n% Height 50\n% end\n".encode() + bytes([kind, size]) + data


@pytest.mark.parametrize("kind", [0x00, 0x0C])
def test_dat_times_overflow_after_32_bits(tmp_path: Path, kind: int) -> None:
    stored = [(5, 69, 49, 1), (2**32 - 1, 0, 0, 0), (3, 1, 2, 1)]
    with raises(FormatError, "before the previous event"):  # a step of more than half of the range is backwards
        rows_of(tmp_path / "a.dat", dat(stored, kind))
    assert rows_of(tmp_path / "a.dat", dat(stored[1:], kind)) == [(2**32 - 1, 0, 0, 0), (2**32 + 3, 1, 2, 1)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (dat([(0, 70, 0, 1)]), "x = 70"),
        (dat([(0, 0, 0, 2)]), "p = 2"),
        (dat([], kind=0x0D), "0x0D"),
        (dat([], size=7), "7 bytes"),
        (dat([], version=1), "version (found 1"),
    ],
)
def test_wrong_dat_is_an_error(tmp_path: Path, content: bytes, found: str) -> None:
    with raises(FormatError, "a.dat", found):
        rows_of(tmp_path / "a.dat", content)


def aedat2(words: list[tuple[int, int]], head: str = "# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C") -> bytes:
    return f"#!AER-DAT2.0\r\n{head}\r\n".encode() + b"".join(struct.pack(">II", *word) for word in words)


def test_aedat2_addresses_count_from_the_bottom_right(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    content = aedat2([(179 << 22 | 239 << 12 | 1 << 11, 5), (1 << 31, 6), (1 << 10, 6), (0, 7)])
    assert rows_of(path, content) == [(5, 0, 0, 1), (7, 239, 179, 0)]

    # DVS128: ON is 0; the chip may be in the header of the interface, or given.
    dvs = [(127 << 8 | 127 << 1, 5), (1, 2**32 - 1), (1, 3)]
    assert rows_of(path, aedat2(dvs[:1], "# HardwareInterface: DVS128 0000")) == [(5, 0, 0, 1)]
    late = rows_of(path, aedat2(dvs[1:], "# hello"), chip="DVS128")
    assert late == [(2**32 - 1, 127, 127, 0), (2**32 + 3, 127, 127, 0)]
    for content, chip, found in (
        (aedat2(dvs, "# hello"), None, "chip"),
        (aedat2(dvs, "# AEChip: x.DVS128"), "DAVIS346", "chip"),
        (aedat2(dvs, "# hello"), "DVS9", "chip"),
        (aedat2([(1 << 16, 5)], "# AEChip: DVS128"), None, "0x00010000"),
        (b"16-bit addresses", None, "version"),
    ):
        with raises(FormatError, "a.aedat", found):
            rows_of(path, content, chip)


def test_aedat3_packets_have_clock_overflows_and_other_types(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"

    def packet(kind: int, *words: int, overflow: int = 0, count: int = 1, camera: int = 1) -> bytes:
        return struct.pack(f"<hhiiiiii{len(words)}I", kind, camera, 8, 4, overflow, count, count, count, *words)

    event = 3 << 17 | 4 << 2 | 0b11
    one = packet(1, event, 5)
    content = head + one + packet(0, 1, 2) + packet(1, event & ~1, 6, event & ~2, 7, overflow=1, count=2)
    assert rows_of(path, content) == [(5, 3, 4, 1), (2**31 + 7, 3, 4, 0)]

    for wrong, found in (
        (head + one[:-1], "truncated"),
        (head + one[:20], "truncated"),
        (head + packet(1, event, 5, count=-1), "corrupted"),
        (head + packet(1, event, 5, count=2**30), "truncated"),
        (head + packet(1, event, 2**31), "negative time"),
        (head + one + packet(1, event, 6, camera=2), "camera"),
        (head.replace(b"RAW", b"PNG") + one, "version"),
    ):
        with raises(FormatError, "a.aedat", found):
            rows_of(path, wrong)


def test_bin40_overflow_marks_add_8192_us(tmp_path: Path) -> None:
    events = (5, 3, 6, 1), (0, 0, 240, 0), (7, 1, 1, 1), (0, 0, 240, 0), (8_388_607, 2, 2, 0)
    content = b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in events)
    expected = [(5, 3, 6, 1), (8192 + 7, 1, 1, 1), (2 * 8192 + 8_388_607, 2, 2, 0)]
    assert rows_of(tmp_path / "a.bin", content) == expected


def test_event_stream_of_an_atis_gives_change_events_with_y_downwards(tmp_path: Path) -> None:
    # Header of 12x7 pixels; a byte of 63 us alone; an ON event at (3, 6) from the bottom, and an exposure event.
    head = b"Event Stream" + bytes([2, 0, 0, 2]) + struct.pack("<HH", 12, 7)
    event = bytes([5 << 2 | 2]) + struct.pack("<HH", 3, 6)
    content = head + bytes([0xFD]) + event + bytes([1 << 2 | 1]) + event[1:]
    assert rows_of(tmp_path / "a.es", content) == [(68, 3, 0, 1)]
    for wrong, found in (
        (head[:15] + b"\0" + bytes(5), "generic"),
        (content.replace(struct.pack("<H", 3), struct.pack("<H", 12)), ()),
    ):
        with raises(FormatError, "a.es", found):
            rows_of(tmp_path / "a.es", wrong)


def test_aedat4_with_a_header_that_is_not_utf8_does_not_end_the_process(tmp_path: Path) -> None:
    write(tmp_path / "a.aedat4", random_events(0, 20))
    content = (tmp_path / "a.aedat4").read_bytes()
    (tmp_path / "a.aedat4").write_bytes(content.replace(b"sizeX", b"size\xff"))
    code = "import sys; from dvspipe.recordings.info import info; info(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "a.aedat4")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, mentions(ended.stderr.splitlines()[-1], "FormatError", "header")) == (1, True)


def test_panic_of_faery_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.aedat4", random_events(0, 20))
    content = bytearray((tmp_path / "a.aedat4").read_bytes())
    header = len("#!AER-DAT4.0\r\n") + 4
    (root,) = struct.unpack_from("<I", content, header)
    (back,) = struct.unpack_from("<i", content, header + root)
    struct.pack_into("<H", content, header + root - back + 4, 0x7FFF)  # the place of the field `compression`
    (tmp_path / "a.aedat4").write_bytes(content)
    with raises(FormatError, "a.aedat4", "out of range"):
        read(tmp_path / "a.aedat4")


REAL = {
    "recordings/evlibrary_event.hdf5": (17, "304x240"),
    "recordings/faery_evt3.raw": (1_218_618, "1280x720"),
    "recordings/faery_evt2.raw": (521_252, "640x480"),
    "recordings/faery_gen4.dat": (1_218_618, "1280x720"),
    "recordings/tonic_sample_ncars.dat": (2_009, "128x128"),
    "recordings/faery_dvs.es": (473_225, "320x240"),
    "recordings/faery_atis.es": (473_225, "320x240"),
    "recordings/tonic_sample.aedat4": (111_954, "320x240"),
    "davis/faery_davis346.aedat4": (78_830, "346x260"),
    "recordings/tonic_sample_nmnist.bin": (4_325, "34x34"),
    "recordings/evlibrary_faces_easy_0001.bin": (67_445, "240x180"),
    "gesture/1.bs2": (63_471, "128x128"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_recording_has_its_known_events(test_data: Path, name: str) -> None:
    found = info(test_data / name)
    assert (found.events, f"{found.width}x{found.height}", found.problem) == (*REAL[name], "")


def test_real_evt3_equals_the_dat_that_was_converted_from_it(test_data: Path) -> None:
    recordings = test_data / "recordings"
    assert read(recordings / "faery_evt3.raw").shift_time(-11_194_368) == read(recordings / "faery_gen4.dat")
