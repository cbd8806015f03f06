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


BENCHES: dict[str, Callable[[], Iterator[Figure]]] = {"start": bench_start}


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
