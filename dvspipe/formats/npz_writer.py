"""Writer of NumPy archives (`.npz`) with arrays t, x, y and p.

An array's header needs the number of rows, which is known only at the end. So columns grow in temporary files, and are
then copied to the archive.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..events import Events, SensorSize
from .writers import StreamEncoder, accept_all

NPZ_TYPES = {"t": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8}
SIDE_TYPE = np.uint64  # type of width and height; eventcv 1.0 reads no other
NPZ_EVENT_BYTES = 2 * 13  # temporary files plus archive; deflate never expands data much
NPZ_LEVEL = 1  # zlib level: higher levels take longer and save little


@contextmanager
def _begin(path: Path, sensor: SensorSize) -> Iterator[Callable[[Events], None]]:
    with ExitStack() as stack:
        # The header of an array has its length, known only at the end, so columns are first collected in files.
        columns = {}
        for name in NPZ_TYPES:
            beside = path.with_name(f"{path.name}.{name}")
            stack.callback(beside.unlink, missing_ok=True)
            columns[name] = stack.enter_context(beside.open("w+b"))
        rows = 0

        def add(events: Events) -> None:
            nonlocal rows
            rows += len(events)
            for name, dtype in NPZ_TYPES.items():
                columns[name].write(getattr(events, name).astype(dtype).tobytes())

        yield add

        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=NPZ_LEVEL) as archive:
            for name, dtype in NPZ_TYPES.items():
                header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (rows,)}
                columns[name].seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array_header_1_0(member, header)
                    shutil.copyfileobj(columns[name], member)

            for name, side in (("width", sensor.width), ("height", sensor.height)):
                with archive.open(f"{name}.npy", "w") as member:
                    npy.write_array(member, np.array(side, SIDE_TYPE), allow_pickle=False)


NPZ_ENCODER = StreamEncoder((".npz",), _begin, lambda events, _: NPZ_EVENT_BYTES * len(events), accept_all)
