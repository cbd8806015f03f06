"""Every function that takes parts of a recording checks where they join."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import EventError
from dvspipe.encoding import BinConfig, FrameConfig, encode_frames, encode_part, encode_stream, start_encoding
from dvspipe.events import Events, concatenate, digest_events, join_streams, merge_streams, windows
from dvspipe.events.filters import count_pixels, filter_stream
from dvspipe.formats import WriteOptions, create_writer, write
from dvspipe.report.previews import write_preview

Parts = Iterable[Events]
EVENTS = random_events(1, 50, span_us=60)


def encode_parts(parts: Parts) -> None:
    state = start_encoding(SENSOR, BinConfig())
    for part in parts:
        _, state = encode_part(part, state)


def append_parts(parts: Parts) -> None:
    with create_writer(Path("a.h5"), SENSOR, WriteOptions()) as writer:
        for part in parts:
            writer.append(part)


TAKERS: dict[str, Callable[[Parts], object]] = {
    "concatenate": concatenate,
    "windows": lambda parts: [*windows(parts, 10)],
    "merge_streams": lambda parts: [*merge_streams([[EVENTS], parts])],
    "join_streams": lambda parts: [*join_streams([[EVENTS], parts])],
    "digest_events": lambda parts: digest_events(parts, SENSOR),
    "count_pixels": lambda parts: count_pixels(parts, SENSOR),
    "filter_stream": lambda parts: [*filter_stream(parts)],
    "encode_stream": lambda parts: [*encode_stream(parts)],
    "encode_part": encode_parts,
    "frames of time": lambda parts: [*encode_frames(parts, FrameConfig(every_us=10))],
    "frames of events": lambda parts: [*encode_frames(parts, FrameConfig(every_events=9))],
    "write": lambda parts: write("a.h5", parts),
    "append": append_parts,
    "write_preview": lambda parts: write_preview(parts, SENSOR, "a.gif"),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_parts_that_do_not_continue_each_other_are_errors(
    take: Callable[[Parts], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    take(iter([EVENTS[:20], Events.empty(SENSOR), EVENTS[20:]]))
    (tmp_path / "a.h5").unlink(missing_ok=True)

    with raises(EventError, "event 50", int(EVENTS.t[20]), int(EVENTS.t[-1])):
        take(iter([EVENTS, Events.empty(SENSOR), EVENTS[20:]]))
    with raises(EventError, "5x5", SENSOR):
        take(iter([EVENTS, Events.empty("5x5")]))
    with raises(EventError, "Events", "3"):
        take([EVENTS, 3])  # type: ignore[list-item]
