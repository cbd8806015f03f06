"""Writers of Event Stream, AEDAT 4, EVT 2.0 and DAT, using faery.

faery does not check order and range: a decreasing time makes it write until the disk is full. All events are therefore
checked first. Times are written unchanged (`zero_t0=False`; faery's default shifts them to begin at 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
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
EVT2_SIDE = (1 << 11) - 1
DAT_EVENT_BYTES = 8
DAT_END_US = 1 << 32
DAT_SIDE = (1 << 14) - 1
NO_END_US = 1 << 62
FAERY_ERRORS = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)

_Opener = Callable[[Path, SensorSize], Any]
_Add = Callable[[Any, NDArray[np.void], SensorSize], None]


def _create_encoder(
    suffix: str, opener: _Opener, add: _Add, event_bytes: int, end_us: int = NO_END_US, side: int = MAX_SIDE_PX
) -> StreamEncoder:
    return StreamEncoder(
        (suffix,),
        partial(_begin, opener, add, suffix, side),
        lambda events, _: event_bytes * len(events),
        lambda events, _: check_times(events, suffix, end_us),
    )


@contextmanager
def _begin(opener: _Opener, add: _Add, suffix: str, side: int, path: Path, sensor: SensorSize) -> Iterator[Any]:
    check_sides(sensor, suffix, side)
    with _as_os_errors(), opener(path, sensor) as opened:
        yield lambda events: add(opened, _to_structured(events), sensor)


def _check_gaps(events: Events, last_us: int | None) -> None:
    check_times(events, ES_SUFFIX, NO_END_US)

    # Cheap for most parts: a gap inside is at most as long as the part.
    if events.t[-1] - (last_us or 0) <= ES_MAX_GAP_US:
        return

    gaps = np.diff(events.t, prepend=last_us or 0)
    if gaps.max() > ES_MAX_GAP_US:
        event = int(np.argmax(gaps > ES_MAX_GAP_US))
        raise EventError(
            f"event {event} at {events.t[event]} us: gap too long (found {gaps[event]} us after the previous event or "
            f"after 0, .es stores up to {ES_MAX_GAP_US} us, in steps of {ES_MAX_STEP_US} us); shift the times to begin "
            "near 0"
        )


def _size_with_gaps(events: Events, last_us: int | None) -> int:
    return ES_EVENT_BYTES * len(events) + int(events.t[-1] - (last_us or 0)) // ES_MAX_STEP_US


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


def _add_es(encoder: Any, events: NDArray[np.void], sensor: SensorSize) -> None:
    np.subtract(sensor.height - 1, events["y"], out=events["y"])  # Event Stream counts rows upwards
    encoder.write(events)


def _open_evt2(path: Path, sensor: SensorSize) -> Any:
    from faery import evt

    dimensions = (sensor.width, sensor.height)
    return evt.Encoder(path, version="evt2", zero_t0=False, dimensions=dimensions, enforce_monotonic=True)


def _add_evt2(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    encoder.write({"events": events})


def _open_dat(path: Path, sensor: SensorSize) -> Any:
    from faery import dat

    dimensions = (sensor.width, sensor.height)
    return dat.Encoder(path, version="dat2", event_type="cd", zero_t0=False, dimensions=dimensions)


def _add_dat(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    encoder.write(events.view(DAT_DTYPE))


def _open_aedat4(path: Path, sensor: SensorSize) -> Any:
    """Open an encoder with one stream of events, described like the files of DV."""
    from faery import aedat

    def node(name: str, path: str, nodes: list[Any], **attributes: str | int) -> Any:
        described = {
            key: aedat.DescriptionAttribute("int" if isinstance(value, int) else "string", value)
            for key, value in attributes.items()
        }
        return aedat.DescriptionNode(name=name, path=path, attributes=described, nodes=nodes)

    out = "/mainloop/Recorder/outInfo/"
    info = node("info", f"{out}0/info/", [], sizeX=sensor.width, sizeY=sensor.height, source="dvspipe")
    stream = node("0", f"{out}0/", [info], compression="LZ4", originalOutputName="events", typeIdentifier="EVTS")
    return aedat.Encoder(path, description=[node("outInfo", out, [stream])], compression=("lz4", 1))


def _add_aedat4(encoder: Any, events: NDArray[np.void], _sensor: SensorSize) -> None:
    for start in range(0, len(events), PACKET_EVENTS):
        encoder.write(0, events[start : start + PACKET_EVENTS])


EVENT_STREAM_ENCODER = StreamEncoder(
    (ES_SUFFIX,), partial(_begin, _open_es, _add_es, ES_SUFFIX, MAX_SIDE_PX), _size_with_gaps, _check_gaps
)
AEDAT4_ENCODER = _create_encoder(".aedat4", _open_aedat4, _add_aedat4, AEDAT4_EVENT_BYTES)
EVT2_ENCODER = _create_encoder(".raw", _open_evt2, _add_evt2, EVT2_EVENT_BYTES, EVT2_END_US, EVT2_SIDE)
DAT_ENCODER = _create_encoder(".dat", _open_dat, _add_dat, DAT_EVENT_BYTES, DAT_END_US, DAT_SIDE)
