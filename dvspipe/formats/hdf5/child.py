"""Decode HDF5 recordings in a child process: plugin filters may crash the process on corrupted data.

The child process decodes only filters that neither h5py nor hdf5plugin provides. A crash of this process would leave no
message.

For each chunk, the child writes CHUNK, a line of JSON with the number of events and the types of the four columns, and
the columns. At the end it writes END, or CORRUPTION and a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
    """Decode a recording in a child process.

    Args:
        path: HDF5 file.
        hints: Metadata that the file lacks.
        events: Number of events, for `progress`.
        progress: Called with the number of decoded events and the total.

    Raises:
        CorruptionError: If the data is corrupted, or the child process died.
    """
    package = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    # -P: import nothing from the current folder
    command = [sys.executable, "-P", "-c", CODE, os.fspath(path), hints.model_dump_json()]
    seen = 0
    with ExitStack() as stack:
        environment = os.environ | {"PYTHONPATH": paths}
        child = subprocess.Popen(  # new session: Ctrl-C must not reach it
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        stack.callback(_stop, child)
        assert child.stdout is not None
        while (kind := child.stdout.read(1)) == CHUNK:
            try:
                columns = _receive(child.stdout)
            except ValueError:  # the child died while writing
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
        message = f"{path}: corrupted after event {seen}: the HDF5 filter crashed the decoder ({_describe_exit(child)})"
        raise CorruptionError(message, lost="everything after it")


def send_chunks(chunks: Callable[[], Iterator[StoredColumns]], output: BinaryIO) -> None:
    """Write chunks for `decode_in_child`; flush each chunk before decoding the next."""
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
    """Stop the child process; it is still running if not all chunks were read."""
    child.kill()
    if child.stdout is not None:
        child.stdout.close()
    child.wait()


def _describe_exit(child: subprocess.Popen[bytes]) -> str:
    code = child.wait(STOP_S)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
