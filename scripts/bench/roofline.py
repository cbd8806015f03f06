"""Compare kernels with the limits of this machine: `python scripts/bench/roofline.py [--data DIR]`.

The limits of one core are measured in the same run: the bandwidth of memory (copying 256 MB), the peak rate of float32
arithmetic (a product of two matrices), and the rate of ISA-L on the bytes of the same HDF5 chunks. A kernel cannot take
less time than its *least* traffic divided by the bandwidth: inputs read once, outputs written once, state of the pixels
read and written once. The last column is this bound divided by the measured CPU time; 1 is the best possible.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench import _consume, _decode, _measure, moving_texture, ten_million, write_files
from isal import isal_zlib
from numpy.typing import NDArray

from dvspipe.base.config import build
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import Events
from dvspipe.formats import write
from dvspipe.formats.hdf5.planes import compress_chunk
from dvspipe.networks import SpikingNetwork
from dvspipe.simulator import SimulatorConfig, read_preset, simulate

COPIED_BYTES = 256_000_000
MATRIX = 1024  # rows and columns
REPEATS = 5
EVENT_BYTES = 13  # t int64, x and y int16, p bool
CHUNK_ROWS = 65_536

# Simulated frames.
FRAMES = 30
WIDTH = 1280
HEIGHT = 720

CLEAN_STATE = 2
FILTERED_STATE = 36
"""Least traffic of the state in bytes per pixel: low and high of grey codes read; with a low-pass, the stage read and
written, high, and two thresholds read, and the time of the last event read in a tenth of the pixels."""

# Network and its input.
T = 20
BATCH = 16
SIDE = 34
CHANNELS = (2, 16, 32, 64)


@dataclass(frozen=True)
class Limits:
    """Limits of one core: bytes read and written, and float32 operations, per second."""

    bandwidth: float
    operations: float


@dataclass(frozen=True)
class Work:
    """Measured kernel.

    Attributes:
        name: What it does.
        cpu_s: Measured CPU time.
        bound_s: Time that it cannot fall below.
        bound_by: What the bound is.
    """

    name: str
    cpu_s: float
    bound_s: float
    bound_by: str


def measure_limits() -> Limits:
    """Measure the limits of one core."""
    source = np.ones(COPIED_BYTES // 8)
    target = np.empty_like(source)
    left, right = torch.rand(2, MATRIX, MATRIX)
    copying_s = _cpu_s(lambda: np.copyto(target, source))
    multiplying_s = _cpu_s(lambda: torch.mm(left, right))
    return Limits(2 * COPIED_BYTES / copying_s, 2 * MATRIX**3 / multiplying_s)


def _cpu_s(work: Callable[[], object]) -> float:
    return _measure(work, REPEATS).cpu_s


def measure_simulator(limits: Limits) -> Iterator[Work]:
    """Simulate a moving texture with an ideal sensor, and with the preset `noisy`."""
    frames = moving_texture(WIDTH, HEIGHT, FRAMES, 0.5)
    pixels = WIDTH * HEIGHT * (FRAMES - 1)
    noisy = build(SimulatorConfig, read_preset("noisy"), "noisy")
    for name, config, state in (("ideal sensor", SimulatorConfig(), CLEAN_STATE), ("noisy", noisy, FILTERED_STATE)):
        events = sum(map(len, simulate(frames, config)))
        traffic = pixels * (2 + state) + events * EVENT_BYTES
        spent_s = _cpu_s(lambda config=config: _consume(simulate(frames, config)))
        yield Work(f"{name}, 1280x720", spent_s, traffic / limits.bandwidth, "memory")


def measure_formats(limits: Limits, events: Events, data: Path | None) -> Iterator[Work]:
    """Read and write files; the bound of HDF5 is ISA-L on the same bytes."""
    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as name:
        files = write_files(Path(name), events, data)
        for kind in ("evt3", "evt2"):
            traffic = files[kind].stat().st_size + len(events) * EVENT_BYTES
            yield Work(f"decode {kind.upper()}", _decode_s(files[kind]), traffic / limits.bandwidth, "memory")

        columns = events.t - events.t[0], events.x, events.y, events.p.view(np.uint8)
        chunks = [rows for column in columns for rows in _chunks(column)]
        packed = [compress_chunk(rows) for rows in chunks]
        pairs = [*zip(packed, chunks, strict=True)]
        inflating_s = _cpu_s(
            lambda: _consume(isal_zlib.decompress(compressed, 15, rows.nbytes) for compressed, rows in pairs)
        )
        deflating_s = _cpu_s(lambda: [compress_chunk(rows) for rows in chunks])

        path = files["hdf5"]
        writing_s = _cpu_s(lambda: write(path, events, overwrite=True))
        yield Work("decode HDF5", _decode_s(path), inflating_s, "ISA-L alone, decompressing")
        yield Work("write HDF5", writing_s, deflating_s, "compressing alone")


def _decode_s(path: Path) -> float:
    return _cpu_s(lambda: _decode(path))


def _chunks(column: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    return [column[first : first + CHUNK_ROWS] for first in range(0, len(column), CHUNK_ROWS)]


def measure_encoding(limits: Limits, events: Events) -> Iterator[Work]:
    """Encode events as counts in ten steps."""
    bins = BinConfig(steps=10, by="recording")
    traffic = len(events) * EVENT_BYTES + encode(events, bins).nbytes
    yield Work("events to counts", _cpu_s(lambda: encode(events, bins)), traffic / limits.bandwidth, "memory")


def measure_network(limits: Limits) -> Iterator[Work]:
    """Run and train three blocks, in float32; the bound counts the convolutions only."""
    network = SpikingNetwork(kind="csnn", channels=CHANNELS[1:], kernel=3, grid=(SIDE, SIDE), classes=10, dt=1e-3)
    spikes = (torch.rand(T, BATCH, 2, SIDE, SIDE) < 0.05).to(torch.uint8)

    # Each block halves the sides for the next one.
    sides = [SIDE // 2**block for block in range(len(CHANNELS) - 1)]
    pairs = itertools.pairwise(CHANNELS)
    multiplied = sum(9 * inputs * outputs * side**2 for (inputs, outputs), side in zip(pairs, sides, strict=True))
    bound_s = 2 * T * BATCH * multiplied / limits.operations

    network.eval()
    with torch.no_grad():
        yield Work("inference, T = 20", _cpu_s(lambda: network(spikes, None)), bound_s, "arithmetic")

    def step() -> None:
        logits, *_ = network(spikes, None)
        logits.mean().backward()

    # The backward pass computes two products for each of the forward pass.
    network.train()
    yield Work("training step, T = 20", _cpu_s(step), 3 * bound_s, "arithmetic")


def main() -> None:
    """Print the limits and a table of all kernels."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("DVSPIPE_TEST_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder with recordings/, for a real EVT3 recording")
    data = parser.parse_args().data
    torch.set_num_threads(1)
    limits = measure_limits()
    print(f"memory {limits.bandwidth / 1e9:.1f} GB/s read and written, float32 {limits.operations / 1e9:.0f} GFLOP/s")
    events = ten_million(data)

    for works in (
        measure_simulator(limits),
        measure_formats(limits, events, data),
        measure_encoding(limits, events),
        measure_network(limits),
    ):
        for work in works:
            times = f"{1000 * work.cpu_s:8.1f} ms   bound {1000 * work.bound_s:8.1f} ms"
            print(f"{work.name:24} {times}   {work.bound_s / work.cpu_s:.2f}   {work.bound_by}", flush=True)


if __name__ == "__main__":
    main()
