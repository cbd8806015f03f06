"""HDF5 recordings decoded in a child process, for plugin filters that end the process if the data is corrupted.

Only filters that neither h5py nor hdf5plugin has are decoded so; in this process, a crash would have no message.

The child writes to its output, for each chunk, CHUNK, a line of JSON with the number of events and the types of the
four columns, and the columns; then END, or CORRUPTION and a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from ...errors import CorruptionError
from ...parallel import Progress
from ..hints import Hints
from ..source import StoredColumns

CHUNK, CORRUPTION, END = b"C", b"D", b"E"
CODE = "from dvspipe.formats.hdf5.reader import run_child; run_child()"
STOP_S = 5.0


def decode_in_child(path: Path, hints: Hints, events: int, progress: Progress | None = None) -> Iterator[StoredColumns]:
    """Yield the chunks of a recording of so many events, decoded in a child process.

    Raises:
        CorruptionError: As when decoding here, or the child process died.
    """
    package = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    # -P: nothing is imported from the current folder
    command = [sys.executable, "-P", "-c", CODE, os.fspath(path), json.dumps(asdict(hints))]
    seen = 0
    with ExitStack() as stack:
        environment = os.environ | {"PYTHONPATH": paths}
        child = subprocess.Popen(  # in a session of its own, so that Ctrl-C does not reach it
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        stack.callback(_stop, child)
        assert child.stdout is not None
        while (kind := child.stdout.read(1)) == CHUNK:
            try:
                columns = _receive(child.stdout)
            except ValueError:  # it died while it wrote
                break
            seen += len(columns.t)
            if progress:
                progress(seen, events)
            yield columns
        if kind == END:
            return
        if kind == CORRUPTION:
            found = json.loads(child.stdout.readline())
            raise CorruptionError(found["message"], lost=found["lost"])
        message = f"{path}: corrupted after event {seen}: its HDF5 filter ended the decoder ({_end_of(child)})"
        raise CorruptionError(message, lost="everything after it")


def send_chunks(chunks: Callable[[], Iterator[StoredColumns]], output: BinaryIO) -> None:
    """Write chunks as `decode_in_child` reads them; each is flushed before the next is decoded."""
    try:
        for columns in chunks():
            types = [column.dtype.str for column in columns]
            output.write(CHUNK + json.dumps([len(columns.t), types]).encode() + b"\n")
            for column in columns:
                output.write(column.tobytes())
            output.flush()
    except CorruptionError as error:
        output.write(CORRUPTION + json.dumps({"message": error.message, "lost": error.lost}).encode() + b"\n")
    else:
        output.write(END)
    output.flush()


def _receive(stream: IO[bytes]) -> StoredColumns:
    count, types = json.loads(stream.readline())
    dtypes = [np.dtype(name) for name in types]
    return StoredColumns(*(np.frombuffer(stream.read(count * dtype.itemsize), dtype, count) for dtype in dtypes))


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a child; it is still running if not all chunks were read."""
    child.kill()
    if child.stdout is not None:
        child.stdout.close()
    child.wait()


def _end_of(child: subprocess.Popen[bytes]) -> str:
    code = child.wait(STOP_S)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
