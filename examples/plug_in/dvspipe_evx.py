"""Plug-in for dvspipe: recordings of the imaginary camera EVX."""

from contextlib import contextmanager
from functools import partial

import numpy as np

from dvspipe import SensorSize
from dvspipe.formats import Format, Source, StoredColumns, StreamEncoder, open_binary, read_records

MAGIC = b"EVX1"  # then width and height, 16 bits each
HEADER_BYTES = 8
EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])


def _open(path, _hints=None):
    with open_binary(path) as file:
        width, height = np.frombuffer(file.read(HEADER_BYTES), "<u2", offset=len(MAGIC)).tolist()
    return Source(SensorSize(width=width, height=height), partial(_read, path))


def _read(path, progress=None):
    for _, records in read_records(path, HEADER_BYTES, EVENT.itemsize, progress):
        events = records.view(EVENT)[:, 0]
        yield StoredColumns(events["t"], events["x"], events["y"], events["p"])


def _recognises(_path, head):
    return len(head) >= HEADER_BYTES and head.startswith(MAGIC)


@contextmanager
def _begin(path, sensor):
    with path.open("wb") as file:
        file.write(MAGIC + np.array([*sensor], "<u2").tobytes())
        yield lambda events: file.write(np.rec.fromarrays([events.t, events.x, events.y, events.p], EVENT).tobytes())


ENCODER = StreamEncoder((".evx",), _begin, lambda events, _: EVENT.itemsize * len(events), lambda _events, _: None)
EVX = Format("evx", (".evx",), _recognises, _open, ENCODER)
