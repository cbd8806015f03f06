"""Small recordings of every format: seeds of `fuzz_formats.py`."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
from encoders import encode_aedat2, encode_aedat3, encode_evt3, encode_evt21, encode_ros1

from dvspipe.events import Events, SensorSize
from dvspipe.formats import FORMATS, NO_HINTS, Hints, open_recording, read, write, written_suffixes

BAG_SUFFIX = ".mcap"
SENSOR = SensorSize(width=120, height=90)
COUNT = 400
SPAN_US = 50_000
REAL_BYTES = 30_000
BOMB_VALUES = 1 << 24
REAL = (
    "faery_evt3.raw",
    "faery_evt2.raw",
    "faery_gen4.dat",
    "faery_dvs.es",
    "faery_atis.es",
    "tonic_sample_ncars.dat",
    "iliis_checkerboard_2.aedat",
    "mibblez_foam90.aedat",
    "evlibrary_faces_easy_0001.bin",
)
REAL_COMPLETE = ("evlibrary_event.hdf5", "evlibrary_event.txt")
REAL_HINTS = {"iliis_checkerboard_2.aedat": Hints(chip="DVS128"), "mibblez_foam90.aedat": Hints(chip="DVS128")}


@dataclass(frozen=True)
class Seed:
    """Valid recording. Real recordings are truncated, so their end may be corrupted.

    Args:
        name: Name in reports.
        suffix: Suffix of the file.
        content: Content of the file.
        events: Events in the file.
        format: Name of the format.
        sensor: Sensor required to read the file.
        hints: Hints required to read the file.
        bomb: Function that returns a small file of this format with very many events; None: use gzip.
    """

    name: str
    suffix: str
    content: bytes
    events: Events
    format: str
    sensor: SensorSize | None = None
    hints: Hints = NO_HINTS
    bomb: Callable[[], bytes] | None = None


def make_seeds(data: Path | None) -> list[Seed]:
    """Return seeds of every format, and the first bytes of real recordings if `data` is given."""
    events = draw_events()
    bombs = {".npz": npz_bomb, ".h5": hdf5_bomb}
    found = []
    with tempfile.TemporaryDirectory(prefix="dvspipe-seeds-") as folder:
        for suffix in written_suffixes():
            if suffix == BAG_SUFFIX and not find_spec("rosbags"):
                continue
            path = Path(folder, f"written{suffix}")
            write(path, [events.slice_time(start, start + 5000) for start in range(0, SPAN_US, 5000)])
            found.append(_seed(f"written{suffix}", path, bomb=bombs.get(suffix)))

        for name, content, hints in encode_all(events):
            path = Path(folder, name)
            path.write_bytes(content)
            found.append(_seed(name, path, hints=hints))

        if "rosbag" in FORMATS and find_spec("rosbags"):
            path = Path(folder, "ros1.bag")
            encode_ros1(events, path)
            found.append(_seed(path.name, path))

        for path, size in list_real(data):
            cut = Path(folder, path.name)
            cut.write_bytes(path.read_bytes()[:size])
            found.append(_seed(path.name, cut, hints=REAL_HINTS.get(path.name, NO_HINTS)))

    return found


def _seed(name: str, path: Path, hints: Hints = NO_HINTS, bomb: Callable[[], bytes] | None = None) -> Seed:
    recording = open_recording(path, hints=hints)
    given = None if recording.sensor_source == "file" else recording.sensor
    parts = [*recording.chunks(on_corruption=lambda _: None)]
    events = parts[0] if len(parts) == 1 else read(path, sensor=given, hints=hints)
    return Seed(name, path.suffix, path.read_bytes(), events, recording.format, given, hints, bomb)


def draw_events() -> Events:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, side, COUNT) for side in (SENSOR.width, SENSOR.height))
    return Events(np.sort(rng.integers(0, SPAN_US, COUNT)), x, y, rng.integers(0, 2, COUNT), SENSOR)


def list_real(data: Path | None) -> Iterator[tuple[Path, int | None]]:
    """Yield real recordings with the number of bytes to use; None: all."""
    folder = data / "recordings" if data else Path("missing")
    for name in (*REAL, *REAL_COMPLETE):
        if (folder / name).exists():
            yield folder / name, REAL_BYTES if name in REAL else None


def encode_all(events: Events) -> Iterator[tuple[str, bytes, Hints]]:
    """Yield files of formats and variants that dvspipe does not write: name, content, hints."""
    yield "evt3.raw", encode_evt3(events), NO_HINTS
    yield "evt21.raw", encode_evt21(events), NO_HINTS
    yield "jaer.aedat", encode_aedat2(events), NO_HINTS
    yield "caer.aedat", encode_aedat3(events), NO_HINTS
    rows = list(zip(*(column.tolist() for column in (events.t, events.x, events.y, events.p)), strict=True))
    lines = "".join(f"{t * 1e-6:.6f} {x} {y} {int(p)}\n" for t, x, y, p in rows)
    yield "seconds.txt", lines.encode(), NO_HINTS
    yield (
        "named.txt",
        b"x;y;on;time [us];label\n" + "".join(f"{x};{y};{p:d};{t};a\n" for t, x, y, p in rows).encode(),
        NO_HINTS,
    )
    yield "structured.npy", npy(events.structured()), NO_HINTS
    table = np.stack([events.t, events.x, events.y, events.p], axis=1)
    yield "table.npy", npy(table), Hints(columns="txyp")
    yield "fortran.npy", npy(np.asfortranarray(table.astype(np.float64))), Hints(columns="txyp", time_unit="us")
    archive = io.BytesIO()
    np.savez(archive, t=events.t, x=events.x, y=events.y, p=events.p)
    yield "stored.npz", archive.getvalue(), NO_HINTS
    yield "plain.hdf5", plain_hdf5(events), NO_HINTS


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def plain_hdf5(events: Events) -> bytes:
    """Return an HDF5 file with contiguous columns and without a sensor."""
    file = io.BytesIO()
    with h5py.File(file, "w") as to:
        for name in "txyp":
            to[f"events/{name}"] = getattr(events, name).astype(np.int64)
    return file.getvalue()


def npz_bomb() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{name: np.zeros(BOMB_VALUES, np.int64) for name in "txyp"})  # type: ignore[arg-type]
    return file.getvalue()


def hdf5_bomb() -> bytes:
    """Return an HDF5 file with columns of zeros, one chunk each."""
    file = io.BytesIO()
    with h5py.File(file, "w") as to:
        for name in "txyp":
            to.create_dataset(
                f"events/{name}", data=np.zeros(BOMB_VALUES, np.int64), chunks=(BOMB_VALUES,), compression="gzip"
            )
    return file.getvalue()
