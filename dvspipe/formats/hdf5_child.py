"""HDF5 recordings decoded in a child process, for filters of plugins that end the process when a file is damaged.

The child writes to its output, for each chunk, CHUNK, a line of JSON with the number of events and the types of the
four columns, and the columns; then END, or DAMAGE and a line of JSON.
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

from ..errors import CorruptionError
from .hints import Hints
from .source import Columns

CHUNK, DAMAGE, END = b"C", b"D", b"E"
CODE = "from dvspipe.formats.hdf5_reader import serve; serve()"
STOP_S = 5.0


def chunks_from_child(path: Path, hints: Hints) -> Iterator[Columns]:
    """The chunks of a recording, decoded in a child process; that it died is damage."""
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    # -P: nothing is imported from the folder that the command happens to run in
    command = [sys.executable, "-P", "-c", CODE, os.fspath(path), json.dumps(asdict(hints))]
    seen = 0
    with ExitStack() as stack:
        environment = os.environ | {"PYTHONPATH": paths}
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
        stack.callback(_stop, child)
        assert child.stdout is not None
        while (kind := child.stdout.read(1)) == CHUNK:
            try:
                columns = _received(child.stdout)
            except ValueError:  # it died while it wrote
                break
            seen += len(columns.t)
            yield columns
        if kind == END:
            return
        if kind == DAMAGE:
            found = json.loads(child.stdout.readline())
            raise CorruptionError(found["message"], lost=found["lost"])
        raise CorruptionError(
            f"{path}: damaged after event {seen}: its HDF5 filter ended the decoder ({_ending(child)})",
            lost="what follows",
        )


def serve_chunks(chunks: Callable[[], Iterator[Columns]], output: BinaryIO) -> None:
    """Writes chunks as `chunks_from_child` reads them; each is out before the next is decoded."""
    try:
        for columns in chunks():
            types = [column.dtype.str for column in columns]
            output.write(CHUNK + json.dumps([len(columns.t), types]).encode() + b"\n")
            for column in columns:
                output.write(column.tobytes())
            output.flush()
    except CorruptionError as error:
        output.write(DAMAGE + json.dumps({"message": str(error), "lost": error.lost}).encode() + b"\n")
    else:
        output.write(END)
    output.flush()


def _received(stream: IO[bytes]) -> Columns:
    count, types = json.loads(stream.readline())
    dtypes = [np.dtype(name) for name in types]
    return Columns(*(np.frombuffer(stream.read(count * dtype.itemsize), dtype, count) for dtype in dtypes))


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Ends a child, which is still at work where the reading was given up."""
    child.kill()
    if child.stdout is not None:
        child.stdout.close()
    child.wait()


def _ending(child: subprocess.Popen[bytes]) -> str:
    code = child.wait(STOP_S)
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
