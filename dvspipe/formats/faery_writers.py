"""Writers of Event Stream, AEDAT 4, EVT 2.0 and DAT, using faery.

faery does not check order and range: a decreasing time makes it write until the disk is full. All events are therefore
checked first. Times are written unchanged (`zero_t0=False`; faery's default shifts them to begin at 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import EventError
from ..events import MAX_SIDE_PX, Events, SensorSize
from .writers import StreamEncoder, check_sides, check_times

FAERY_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
DAT_DTYPE = np.dtype([("t", "=u8"), ("x", "=u2"), ("y", "=u2"), ("payload", "u1")])
PACKET_EVENTS = 1 << 13  # events per AEDAT 4 packet; readers decompress complete packets
ES_SUFFIX = ".es"
ES_EVENT_BYTES = 5
ES_MAX_STEP_US = 127
ES_MAX_GAP_US = 1 << 32  # 71 minutes, with 34 MB of bytes that only advance the time
AEDAT4_EVENT_BYTES = 18  # disk space to reserve per event, as for the other formats
EVT2_EVENT_BYTES = 8
EVT2_END_US = 1 << 34
EVT2_MAX_SIDE_PX = (1 << 11) - 1
DAT_EVENT_BYTES = 8
DAT_END_US = 1 << 32
DAT_MAX_SIDE_PX = (1 << 14) - 1
NO_END_US = 1 << 62
FAERY_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)

_Opener = Callable[[Path, SensorSize], Any]
_Write = Callable[[Any, NDArray[np.void], SensorSize], None]
_Size = Callable[[Events, int | None], int]
_Check = Callable[[Events, int | None], None]


def _create_encoder(
    suffix: str, opener: _Opener, write: _Write, *, size: _Size, check: _Check, max_side_px: int = MAX_SIDE_PX
) -> StreamEncoder:
    """Create an encoder of a format that faery writes; `size` and `check` as in `StreamEncoder`."""

    @contextmanager
    def begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
        check_sides(sensor, suffix, max_side_px)
        with _as_os_errors(), opener(path, sensor) as encoder:
            yield lambda events: write(encoder, _to_structured(events), sensor)

    return StreamEncoder((suffix,), begin=begin, size=size, check=check)


def _size_by_count(event_bytes: int) -> _Size:
    """Return the size function of a format with a constant number of bytes per event."""
    return lambda events, _last_us: event_bytes * len(events)


def _check_end(suffix: str, end_us: int) -> _Check:
    """Return the check of a format that stores times from 0 to `end_us` - 1."""
    return lambda events, _last_us: check_times(events, suffix, end_us)


def _size_with_gaps(events: Events, last_us: int | None) -> int:
    """Return the bytes of events in Event Stream, with the bytes that only advance the time."""
    duration_us = int(events.t[-1]) - _gap_start_us(last_us)
    return ES_EVENT_BYTES * len(events) + duration_us // ES_MAX_STEP_US


def _check_gaps(events: Events, last_us: int | None) -> None:
    """Check that Event Stream can store the times of events and the gaps between them."""
    check_times(events, ES_SUFFIX, NO_END_US)

    # Cheap for most parts: a gap inside is at most as long as the part.
    start_us = _gap_start_us(last_us)
    if events.t[-1] - start_us <= ES_MAX_GAP_US:
        return

    gaps = np.diff(events.t, prepend=start_us)
    if gaps.max() > ES_MAX_GAP_US:
        event = int(np.argmax(gaps > ES_MAX_GAP_US))
        raise EventError(
            f"event {event} at {events.t[event]} us: gap too long (found {gaps[event]} us after the previous event or "
            f"after 0, .es stores up to {ES_MAX_GAP_US} us, in steps of {ES_MAX_STEP_US} us); shift the times to begin "
            "near 0"
        )


def _gap_start_us(last_us: int | None) -> int:
    """Return the start of the gap before the next event: the previous event, or 0 at the start of a file."""
    return 0 if last_us is None else last_us


def _to_structured(events: Events) -> NDArray[np.void]:
    array = np.empty(len(events), FAERY_DTYPE)
    array["t"] = events.t
    array["x"] = events.x
    array["y"] = events.y
    array["on"] = events.p
    return array


def is_faery_error(error: BaseException) -> bool:
    """Return whether faery raises this error for bad input; panics of its Rust code are no subclass of Exception."""
    return isinstance(error, FAERY_ERRORS) or type(error).__name__ == "PanicException"


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Convert errors of faery to OSError."""
    try:
        yield
    except BaseException as error:
        if is_faery_error(error):
            raise OSError(str(error)) from error
        raise


def _open_es(path: Path, sensor: SensorSize) -> Any:
    from faery import es  # imported late: takes 0.2 s, and has no py.typed

    return es.Encoder(path, event_type="dvs", zero_t0=False, dimensions=(sensor.width, sensor.height))


def _write_es(encoder: Any, events: NDArray[np.void], sensor: SensorSize) -> None:
    flipped = events.copy()
    flipped["y"] = sensor.height - 1 - events["y"]  # Event Stream counts rows upwards
    encoder.write(flipped)


def _open_evt2(path: Path, sensor: SensorSize) -> Any:
    from faery import evt

    dimensions = (sensor.width, sensor.height)
    return evt.Encoder(path, version="evt2", zero_t0=False, dimensions=dimensions, enforce_monotonic=True)


def _write_evt2(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    encoder.write({"events": events})


def _open_dat(path: Path, sensor: SensorSize) -> Any:
    from faery import dat

    dimensions = (sensor.width, sensor.height)
    return dat.Encoder(path, version="dat2", event_type="cd", zero_t0=False, dimensions=dimensions)


def _write_dat(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    encoder.write(events.view(DAT_DTYPE))


def _open_aedat4(path: Path, sensor: SensorSize) -> Any:
    """Open an encoder with one stream of events, described like the files of DV."""
    from faery import aedat

    def describe(node_path: str, nodes: list[Any], **attributes: str | int) -> Any:
        described = {
            key: aedat.DescriptionAttribute("int" if isinstance(value, int) else "string", value)
            for key, value in attributes.items()
        }
        name = PurePosixPath(node_path).name
        return aedat.DescriptionNode(name=name, path=node_path, attributes=described, nodes=nodes)

    # A tree of three nodes, built from its leaf: outInfo, stream 0, properties of the stream.
    root_path = "/mainloop/Recorder/outInfo/"
    info = describe(f"{root_path}0/info/", [], sizeX=sensor.width, sizeY=sensor.height, source="dvspipe")
    stream = describe(f"{root_path}0/", [info], compression="LZ4", originalOutputName="events", typeIdentifier="EVTS")
    root = describe(root_path, [stream])
    return aedat.Encoder(path, description=[root], compression=("lz4", 1))


def _write_aedat4(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    for start in range(0, len(events), PACKET_EVENTS):
        encoder.write(0, events[start : start + PACKET_EVENTS])


EVENT_STREAM_ENCODER = _create_encoder(ES_SUFFIX, _open_es, _write_es, size=_size_with_gaps, check=_check_gaps)
AEDAT4_ENCODER = _create_encoder(
    ".aedat4",
    _open_aedat4,
    _write_aedat4,
    size=_size_by_count(AEDAT4_EVENT_BYTES),
    check=_check_end(".aedat4", NO_END_US),
)
EVT2_ENCODER = _create_encoder(
    ".raw",
    _open_evt2,
    _write_evt2,
    size=_size_by_count(EVT2_EVENT_BYTES),
    check=_check_end(".raw", EVT2_END_US),
    max_side_px=EVT2_MAX_SIDE_PX,
)
DAT_ENCODER = _create_encoder(
    ".dat",
    _open_dat,
    _write_dat,
    size=_size_by_count(DAT_EVENT_BYTES),
    check=_check_end(".dat", DAT_END_US),
    max_side_px=DAT_MAX_SIDE_PX,
)
