"""Speeds of dvspipe: `python -m pytest scripts/bench/bench.py` (extra `dev`); peers.py measures other libraries.

`--benchmark-json FILE` writes all figures. Add `--benchmark-timer time.process_time` for CPU time, and choose a row by
`-k read`. Real EVT3 is read if DVSPIPE_TEST_DATA has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from dvspipe.base.gestures import GESTURES
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read, write
from dvspipe.inference import Classifier
from dvspipe.networks import NetworkConfig, build_network, run_network
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.synthesis import GestureClip, record_gesture
from dvspipe.video.frames import Frame

SIZE = SensorSize(width=346, height=260)
FRAMES = 60
FPS = 30
MOVE_PX = 0.5  # motion of the texture per frame
COUNT = 1_000_000
EVENT_SENSOR = SensorSize(width=128, height=96)
BINS = BinConfig(steps=10, by="recording")
EVT3 = Path("recordings", "faery_evt3.raw")

# Network and its input.
T = 20
BATCH = 16
SIDE = 34
CHANNELS = (16, 32, 64)
CLASSES = 10
RATE = 0.05


def draw_events(count: int = COUNT) -> Events:
    """Return uniform events of a second."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1_000_000, count))
    x = rng.integers(0, EVENT_SENSOR.width, count)
    y = rng.integers(0, EVENT_SENSOR.height, count)
    return Events(t, x, y, rng.integers(0, 2, count), EVENT_SENSOR)


def draw_spikes() -> torch.Tensor:
    """Return random input of the network, uint8 [T, B, C, H, W]."""
    shape = (T, BATCH, 2, SIDE, SIDE)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < RATE).to(torch.uint8)


def find_evt3() -> Path:
    """Return a real EVT3 recording, or skip."""
    path = Path(os.environ.get("DVSPIPE_TEST_DATA", ""), EVT3)
    if not path.is_file():
        pytest.skip(f"DVSPIPE_TEST_DATA has no {EVT3}")
    return path


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """A smooth random texture that moves diagonally."""
    rng = np.random.default_rng(0)
    height = 2 * SIZE.height
    width = 2 * SIZE.width
    field = np.zeros((height, width), np.float32)
    for scale in (16, 32, 64):
        coarse = rng.standard_normal((height // scale + 1, width // scale + 1)).astype(np.float32)
        field += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)

    grey = np.exp(0.5 * field)
    grey *= 255 / grey.max()
    moved = []
    for number in range(FRAMES):
        move_px = MOVE_PX * number
        move = np.array([[1, 0, -move_px], [0, 1, -0.6 * move_px]], np.float32)
        image = cv2.warpAffine(grey, move, tuple(SIZE)).astype(np.uint8)
        moved.append(Frame(round(number * 1e6 / FPS), image))

    return moved


@pytest.mark.parametrize(
    ("preset", "upsample"),
    [("clean", "off"), ("noisy", "off"), ("clean", "auto")],
    ids=["clean", "noisy", "upsampled"],
)
def test_simulate(
    benchmark: BenchmarkFixture, frames: list[Frame], preset: str, upsample: Literal["off", "auto"]
) -> None:
    config = SimulatorConfig().with_preset(preset)
    parts = benchmark(lambda: [*simulate(frames, config, upsample=upsample)])
    assert sum(map(len, parts))


def test_encode(benchmark: BenchmarkFixture) -> None:
    events = draw_events()
    assert benchmark(encode, events, BINS).sum() == COUNT


@pytest.mark.parametrize("suffix", [".h5", ".aedat4"])
def test_write(benchmark: BenchmarkFixture, tmp_path: Path, suffix: str) -> None:
    events = draw_events()
    benchmark(write, tmp_path / f"events{suffix}", events, overwrite=True)


@pytest.mark.parametrize("suffix", [".h5", ".aedat4"])
def test_read(benchmark: BenchmarkFixture, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    write(path, draw_events())
    assert len(benchmark(read, path)) == COUNT


def test_read_evt3(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(read, find_evt3()))


def test_training_step(benchmark: BenchmarkFixture) -> None:
    network = build_csnn()
    spikes = draw_spikes()

    def step() -> None:
        network.zero_grad()
        run_network(network, spikes)[0].mean().backward()

    benchmark(step)


def test_inference(benchmark: BenchmarkFixture) -> None:
    network = build_csnn().eval()
    spikes = draw_spikes()
    with torch.no_grad():
        benchmark(lambda: run_network(network, spikes))


def build_csnn() -> nn.Module:
    config = NetworkConfig(network="csnn", channels=CHANNELS, kernel=3, tau_mem_s=0.002)
    return build_network(config, (2, SIDE, SIDE), classes=CLASSES, dt=0.001)


@pytest.fixture(scope="session")
def gesture() -> Events:
    """A rendered gesture of 1.5 s."""
    return record_gesture(GestureClip(1, person=0, clip=0, seed=0))


def test_classify_recording(benchmark: BenchmarkFixture, gesture: Events) -> None:
    classifier = Classifier.load("gesture")
    assert benchmark(classifier.predict, gesture).class_name in GESTURES
