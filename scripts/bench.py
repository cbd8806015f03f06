"""Measures dvspipe: `python scripts/bench.py NAME [--json FILE]`; higher is better on every line."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from dvspipe.config import build
from dvspipe.simulator import SimulatorConfig, read_preset, simulate
from dvspipe.video import Frame

REPEATS = 5


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    target: float | None = None
    beside: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        target = "" if self.target is None else f"   target {self.target:g}"
        beside = "".join(f"   {peer} {value:.4g}" for peer, value in self.beside.items())
        return f"{self.name:32} {self.value:10.4g} {self.unit}{target}{beside}"


def _median_wall_s(command: list[str]) -> float:
    """Median wall clock of a command, after one run that warms the caches."""
    spent = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:])


def bench_start() -> Iterator[Figure]:
    """How quickly the command line answers: allowed seconds / measured seconds."""
    python = sys.executable
    for name, allowed_s, command in (
        ("start/help_wall", 0.5, [python, "-m", "dvspipe", "--help"]),
        ("start/import_wall", 0.2, [python, "-c", "import dvspipe"]),
        ("start/convert_help_wall", 0.5, [python, "-m", "dvspipe", "convert", "--help"]),
    ):
        yield Figure(name, allowed_s / _median_wall_s(command), f"x faster than {allowed_s} s", 1)


def moving_texture(width: int, height: int, frames: int, step_px: float) -> list[Frame]:
    """A smooth random texture that moves diagonally by `step_px` a frame, at 30 fps."""
    rng = np.random.default_rng(0)
    shape = (2 * height, 2 * width)
    field = np.zeros(shape, np.float32)
    for scale in (16, 32, 64):
        coarse = rng.standard_normal((shape[0] // scale + 1, shape[1] // scale + 1)).astype(np.float32)
        field += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    grey = np.exp(0.5 * field)
    grey = np.clip(grey / grey.max() * 765, 0, 255)
    moves = [np.array([[1, 0, -k * step_px], [0, 1, -0.6 * k * step_px]], np.float32) for k in range(frames)]
    return [
        Frame(round(k * 1e6 / 30), cv2.warpAffine(grey, move, (width, height)).astype(np.uint8))
        for k, move in enumerate(moves)
    ]


def _median_cpu_s(work: Callable[[], object]) -> float:
    """Median CPU time of some work on one core, after one run that warms the caches."""
    spent = []
    for _ in range(REPEATS + 1):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent[1:])


def bench_simulator() -> Iterator[Figure]:
    """Frames in memory to sorted event arrays in memory, one core."""
    small = moving_texture(346, 260, 60, 0.28)
    large = moving_texture(1280, 720, 20, 0.5)
    noisy = build(SimulatorConfig, read_preset("noisy"), "noisy")
    v2e = build(SimulatorConfig, read_preset("v2e"), "v2e")
    for name, frames, config, target in (
        ("346x260", small, SimulatorConfig(), 350),
        ("1280x720", large, SimulatorConfig(), 250),
        ("346x260_noisy", small, noisy, 200),
        ("346x260_v2e", small, v2e, None),
        ("346x260_still", moving_texture(346, 260, 60, 0), SimulatorConfig(), 2000),
    ):
        events = sum(len(part) for part in simulate(frames, config))
        seconds = _median_cpu_s(lambda frames=frames, config=config: [*simulate(frames, config)])  # type: ignore[misc]
        pixels = frames[0].image.size * (len(frames) - 1)
        yield Figure(f"simulator/{name}", pixels / seconds / 1e6, "Mpixel/s", target)
        yield Figure(f"simulator/{name}_density", events / pixels, "events/pixel/frame")
        if name == "346x260":
            yield Figure(f"simulator/{name}_events", events / seconds / 1e6, "M events/s", 35)


BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {"start": bench_start, "simulator": bench_simulator}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHES))
    parser.add_argument("--json", type=Path, help="also write the figures here, an object per line")
    arguments = parser.parse_args()
    figures = []
    for figure in BENCHES[arguments.name]():
        print(figure.line(), flush=True)
        figures.append(figure)
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(asdict(figure)) + "\n" for figure in figures), encoding="utf-8")


if __name__ == "__main__":
    main()
