"""Plug-in for dvspipe: recordings of the imaginary camera EVX."""

from contextlib import contextmanager

from dvspipe.hooks import FileFormat, hookimpl

MAGIC = b"EVX1"  # then width and height, 16 bits each
HEADER_BYTES = 8
EVENT = [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]
EVENT_BYTES = 13
CHUNK_EVENTS = 1_000_000


@hookimpl
def formats():
    """Return the format of the camera."""
    return [FileFormat("evx", (".evx",), lambda head: head.startswith(MAGIC), read, write)]


def read(path):
    """Return the sensor of a file, and a function that reads its events."""
    import numpy as np

    from dvspipe import FormatError, SensorSize

    size = path.stat().st_size
    if (size - HEADER_BYTES) % EVENT_BYTES:
        expected = f"{HEADER_BYTES} and {EVENT_BYTES} per event"
        raise FormatError(f"{path}: truncated (found {size} bytes, expected {expected})")
    width, height = np.fromfile(path, "<u2", 2, offset=len(MAGIC)).tolist()

    def chunks():
        with path.open("rb") as file:
            file.seek(HEADER_BYTES)
            while len(rows := np.fromfile(file, EVENT, CHUNK_EVENTS)):
                yield rows

    return SensorSize(width=width, height=height), chunks


@contextmanager
def write(path, sensor):
    """Open a file, and yield a function that writes events."""
    import numpy as np

    with path.open("wb") as file:
        file.write(MAGIC + np.array([*sensor], "<u2").tobytes())
        yield lambda events: file.write(np.rec.fromarrays([events.t, events.x, events.y, events.p], EVENT).tobytes())
