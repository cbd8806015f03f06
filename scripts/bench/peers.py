"""The same work by other libraries, for comparison with bench.py: `python -m pytest scripts/bench/*.py`.

Libraries that are not installed are skipped; all of these are dependencies of dvspipe or in its extra `dev`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import norse.torch as snn
import numpy as np
import pytest
import torch
from bench import BINS, CHANNELS, CLASSES, COUNT, EVENT_SENSOR, SIDE, draw_events, draw_spikes, find_evt3
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from dvspipe.formats import write


def test_encode_by_tonic(benchmark: BenchmarkFixture) -> None:
    from tonic.transforms import ToFrame

    rows = draw_events().structured()
    to_frame = ToFrame(sensor_size=(*EVENT_SENSOR, 2), n_time_bins=BINS.steps)
    assert benchmark(to_frame, rows).sum() > 0.99 * COUNT  # it leaves out the last events


def test_write_by_h5py(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    events = draw_events()

    def write_columns() -> None:
        with h5py.File(tmp_path / "events.h5", "w") as file:
            for name in "txyp":
                options = {"chunks": (65536,), "compression": "gzip", "compression_opts": 1, "shuffle": True}
                file.create_dataset(f"events/{name}", data=getattr(events, name), **options)

    benchmark(write_columns)


def test_read_by_h5py(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    write(path, draw_events())

    def read_columns() -> list[np.ndarray]:
        with h5py.File(path) as file:
            return [file[f"events/{name}"][:] for name in "txyp"]

    assert len(benchmark(read_columns)[0]) == COUNT


@pytest.mark.parametrize("suffix", [".aedat4", ".raw"])
def test_read_by_faery(benchmark: BenchmarkFixture, tmp_path: Path, suffix: str) -> None:
    faery = pytest.importorskip("faery")
    if suffix == ".raw":
        path = find_evt3()
    else:
        path = tmp_path / f"events{suffix}"
        write(path, draw_events())
    assert benchmark(lambda: [*faery.events_stream_from_file(path)])


def test_read_evt3_by_evutils(benchmark: BenchmarkFixture) -> None:
    EventReader = pytest.importorskip("evutils.io").EventReader
    path = find_evt3()

    def read_all() -> object:
        with EventReader(path, mode="all", max_events=1 << 26) as reader:
            return reader.read_all()

    benchmark(read_all)


class NorseNetwork(nn.Module):
    """The network of bench.py in Norse: convolutions once for all steps, then neurons step by step."""

    def __init__(self) -> None:
        super().__init__()
        channels = list(pairwise((2, *CHANNELS)))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in channels)
        self.cell = snn.LIFBoxCell(snn.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0)), dt=1e-3)
        self.readout = nn.Linear(CHANNELS[-1] * (SIDE // 2 ** len(CHANNELS)) ** 2, CLASSES)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Return logits [B, K] for spikes [T, B, C, H, W]."""
        T = len(spikes)
        x = spikes.flatten(0, 1).float()
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            state = None
            steps = []
            for current in norm(convolution(x)).unflatten(0, (T, -1)):
                fired, state = self.cell(current, state)
                steps.append(fired)
            x = nn.functional.avg_pool2d(torch.cat(steps), 2)

        logits: torch.Tensor = self.readout(x.flatten(1)).unflatten(0, (T, -1)).mean(0)
        return logits


def test_training_step_by_norse(benchmark: BenchmarkFixture) -> None:
    network = NorseNetwork().train()
    spikes = draw_spikes()

    def step() -> None:
        network.zero_grad()
        network(spikes).mean().backward()

    benchmark(step)


def test_inference_by_norse(benchmark: BenchmarkFixture) -> None:
    network = NorseNetwork().eval()
    spikes = draw_spikes()
    with torch.no_grad():
        benchmark(lambda: network(spikes))


def build_relu() -> nn.Module:
    """The network of bench.py with ReLU instead of neurons, channels last: what its convolutions cost."""
    channels = pairwise((2, *CHANNELS))
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.AvgPool2d(2))
        for a, b in channels
    ]
    readout = nn.Linear(CHANNELS[-1] * (SIDE // 2 ** len(CHANNELS)) ** 2, CLASSES)
    return nn.Sequential(*blocks, nn.Flatten(), readout).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_training_step_with_relu(benchmark: BenchmarkFixture) -> None:
    network = build_relu().train()
    images = draw_spikes().flatten(0, 1).float().contiguous(memory_format=torch.channels_last)

    def step() -> None:
        network.zero_grad()
        network(images).mean().backward()

    benchmark(step)


def test_inference_with_relu(benchmark: BenchmarkFixture) -> None:
    network = build_relu().eval()
    images = draw_spikes().flatten(0, 1).float().contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        benchmark(lambda: network(images))
