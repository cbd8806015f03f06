"""Compare simulated events with the events of a real sensor: `python scripts/studies/reality.py DAVIS.aedat4`.

Calibrates the sensor on one half of a recording with frames and events. Simulates the frames of the other half with
this sensor, and compares the result with the real events of that half; then vice versa. Prints all figures of
`dvspipe compare`: A is real, B is simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dvspipe.base.config import build
from dvspipe.events import Events, concatenate
from dvspipe.formats import read, read_frames
from dvspipe.report import Metric, describe_comparison
from dvspipe.simulator import SimulatorConfig, calibrate_frames, simulate
from dvspipe.verbs.inspection import compare
from dvspipe.video.frames import Frame

Half = tuple[list[Frame], Events]


def halves(path: Path) -> tuple[Half, Half]:
    """Return the frames and events of each half; both halves include the middle frame."""
    frames = list(read_frames(path))
    events = read(path)
    middle = len(frames) // 2
    first = frames[: middle + 1]
    second = frames[middle:]
    cut = [(part, events.slice_time(part[0].t_us + 1, part[-1].t_us + 1)) for part in (first, second)]
    return cut[0], cut[1]


def evaluate(fitted: Half, tested: Half) -> list[Metric]:
    """Return the metrics of `compare` on one half, with the sensor fitted to the other half."""
    config = build(SimulatorConfig, calibrate_frames(*fitted).to_yaml_settings(), "the calibrated sensor")
    frames, events = tested
    return describe_comparison(compare(events, concatenate(simulate(frames, config), events.sensor)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    first, second = halves(parser.parse_args().recording)
    both = zip(evaluate(first, second), evaluate(second, first), strict=True)
    print(f"{'':58} {'fitted: first':>24} {'second':>24}")
    for (name, on_second, _), (_, on_first, _) in both:
        print(f"{name:58} {on_second:>24} {on_first:>24}")


if __name__ == "__main__":
    main()
