"""How near simulated events come to a real sensor's: `python scripts/reality.py DAVIS.aedat4`.

The sensor is calibrated on one half of a recording that holds frames and events; the frames of the other half are
simulated with it and compared with that half's real events; then the other way round. Every figure of `dvspipe compare`
is printed, A the real events and B the simulated ones; count maps are of 40 ms, as `compare` has them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dvspipe.comparison import compare
from dvspipe.config import build
from dvspipe.events import Events, concatenate
from dvspipe.formats import read, read_frames
from dvspipe.frames import Frame
from dvspipe.report import Metric, describe_comparison
from dvspipe.simulator import SimulatorConfig, calibrate, simulate

Half = tuple[list[Frame], Events]


def halves(path: Path) -> tuple[Half, Half]:
    """The frames and the events between them of both halves; the frame in the middle belongs to both."""
    frames, events = list(read_frames(path)), read(path)
    middle = len(frames) // 2
    first, second = frames[: middle + 1], frames[middle:]
    return tuple((part, events.slice_time(part[0].t_us + 1, part[-1].t_us + 1)) for part in (first, second))


def judge(fitted: Half, judged: Half) -> list[Metric]:
    """The metrics of `compare` for the sensor fitted to one half, on the other."""
    config = build(SimulatorConfig, calibrate(*fitted).to_yaml_settings(), "the calibrated sensor")
    frames, events = judged
    return describe_comparison(compare(events, concatenate(simulate(frames, config), events.sensor)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    first, second = halves(parser.parse_args().recording)
    both = zip(judge(first, second), judge(second, first), strict=True)
    print(f"{'':58} {'fitted: first':>24} {'second':>24}")
    for (name, on_second, _), (_, on_first, _) in both:
        print(f"{name:58} {on_second:>24} {on_first:>24}")


if __name__ == "__main__":
    main()
