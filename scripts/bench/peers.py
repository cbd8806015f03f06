"""Measure other libraries in the Python that has them; print a JSON object of median CPU seconds.

    python scripts/bench/peers.py simulate FRAMES.npy REPEATS

eventcv's simulator without upsampling, for its ideal and its default sensor, with the number of events. FRAMES.npy
holds uint8 [T, H, W] at 30 fps. The frames are in memory. The time includes linearising and sorting, but not copying
the events to numpy.

    python scripts/bench/peers.py read FILE REPEATS
    python scripts/bench/peers.py write FILE EVENTS.npy REPEATS

Reading or writing a complete event file, per installed library that supports the format. EVENTS.npy holds the events
as the structured array that faery accepts.

    python scripts/bench/peers.py compress EVENTS.npy REPEATS

Compressing the events in memory by mfc-codec, if it is installed; also the number of bytes. Its Python package cannot
decompress, and keeps only the time bin of an event: MFC_TIME_BINS of equal length, as in its README.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

IDEAL: dict[str, Any] = {
    "sigma_thres": 0.0,
    "refractory_us": 0,
    "cutoff_hz": 0.0,
    "leak_rate_hz": 0.0,
    "shot_noise_rate_hz": 0.0,
}
WAYS: dict[str, dict[str, Any]] = {
    "ideal": {**IDEAL, "upsample": "off"},
    "noisy": {"upsample": "off"},
}
SIDES = (1280, 720)
MFC_TIME_BINS = 16
MFC_MAX_DEPTH = 8
PACKET_EVENTS = {".aedat4": 1 << 13}
COLUMNS = {"t": np.int64, "x": np.uint16, "y": np.uint16, "on": np.uint8}

Works = dict[str, Callable[[], object]]


def measure(work: Callable[[], object], repeats: int) -> float:
    spent = []
    for _ in range(repeats + 1):  # the first run warms up
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)

    return statistics.median(spent[1:])


def simulate(path: Path, repeats: int) -> dict[str, Any]:
    import eventcv

    frames = np.load(path)
    figures = {}
    for name, settings in WAYS.items():
        events = len(eventcv.simulate(frames, fps=30.0, **settings))
        seconds = measure(lambda settings=settings: eventcv.simulate(frames, fps=30.0, **settings), repeats)
        figures[name] = {"seconds": seconds, "events": events}

    return figures


def readers(path: Path) -> Works:
    """Return a function per library that reads the complete file."""
    with path.open("rb") as file:
        head = file.read(200)

    if path.suffix == ".h5":
        return {"h5py": lambda: read_by_h5py(path)}
    if path.suffix == ".npz":
        return {"numpy": lambda: dict(np.load(path))}
    if path.suffix in (".es", ".aedat4", ".csv"):
        return {"faery": lambda: read_by_faery(path)}

    if path.suffix == ".dat" or b"evt 2.0" in head or b"evt 3.0" in head:
        encoding = "dat" if path.suffix == ".dat" else "evt3" if b"evt 3.0" in head else "evt2"
        more = {"evt3": lambda: read_by_evt3(path)} if encoding == "evt3" else {}
        return more | {
            "evutils": lambda: read_by_evutils(path),
            "expelliarmus": lambda: read_by_expelliarmus(path, encoding),
            "faery": lambda: read_by_faery(path),
        }

    return {}


def read_by_evutils(path: Path) -> object:
    from evutils.io import EventReader

    with EventReader(path, mode="all", max_events=1 << 26) as reader:
        return reader.read_all()


def read_by_evt3(path: Path) -> object:
    import evt3

    return evt3.decode_file(str(path))


def read_by_expelliarmus(path: Path, encoding: str) -> object:
    from expelliarmus import Wizard

    return Wizard(encoding=encoding).read(path)


def read_by_h5py(path: Path) -> object:
    import h5py

    with h5py.File(path) as file:
        return [file[f"events/{name}"][:] for name in "txyp"]


def read_by_faery(path: Path) -> object:
    import faery

    return list(faery.events_stream_from_file(path, dimensions_fallback=SIDES))


def writers(path: Path, events: np.ndarray) -> Works:
    """Return a function per library that writes the events."""
    columns: dict[str, Any] = {name: events[name].astype(dtype) for name, dtype in COLUMNS.items()}
    if path.suffix == ".h5":
        return {"h5py": lambda: write_by_h5py(path, columns)}
    if path.suffix == ".npz":
        return {"numpy": lambda: np.savez_compressed(path, **columns)}
    if path.suffix in (".aedat4", ".dat", ".es", ".raw", ".csv"):
        return {"faery": lambda: write_by_faery(path, events)}

    return {}


def write_by_h5py(path: Path, columns: dict[str, np.ndarray]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file.create_dataset(
                f"events/{name}",
                data=column,
                chunks=(65536,),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
                maxshape=(None,),
            )


def write_by_faery(path: Path, events: np.ndarray) -> None:
    import faery

    size = PACKET_EVENTS.get(path.suffix, 1 << 20)
    packets = [events[start : start + size] for start in range(0, len(events), size)]
    more: dict[str, Any] = {
        ".raw": {"version": "evt2"},
        ".dat": {"version": "dat2"},
        ".aedat4": {"compression": ("lz4", 1)},
    }
    faery.file_encoder.events_to_file(packets, path, SIDES, **more.get(path.suffix, {}), zero_t0=False)


def compress(stored: Path, repeats: int) -> dict[str, float]:
    """Return the CPU seconds and the bytes of mfc-codec."""
    import mfc

    events = np.load(stored)
    columns = [events[name].astype(np.int64) for name in ("x", "y", "t", "on")]
    columns[2] -= columns[2][0]
    listed = [mfc.Event(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    width, height = (int(column.max()) + 1 for column in columns[:2])

    def work() -> tuple[bytes, Any]:
        compressed: tuple[bytes, Any] = mfc.compress(listed, width, height, MFC_TIME_BINS, MFC_MAX_DEPTH)
        return compressed

    return {"seconds": measure(work, repeats), "bytes": len(work()[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "read", "write", "compress"))
    parser.add_argument("path", type=Path)
    parser.add_argument("events", type=Path, nargs="?", help="EVENTS.npy; of write only")
    parser.add_argument("repeats", type=int)
    arguments = parser.parse_args()
    path = arguments.path
    repeats = arguments.repeats

    if arguments.what == "simulate":
        print(json.dumps(simulate(path, repeats)))
        return

    if arguments.what == "compress":
        print(json.dumps(compress(path, repeats) if find_spec("mfc") else {}))
        return

    works = readers(path) if arguments.what == "read" else writers(path, np.load(arguments.events))
    installed = {name: work for name, work in works.items() if find_spec(name)}
    print(json.dumps({name: measure(work, repeats) for name, work in installed.items()}))


if __name__ == "__main__":
    main()
