"""Write a recording for the rerun viewer: `python examples/rerun_viewer.py`, then `rerun recording.rrd`.

Equivalent to `dvspipe view recording.h5 -o recording.rrd`. Without `-o`, the viewer opens.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

import dvspipe
from dvspipe.report import PlotSource, write_rerun


def make_recording() -> dvspipe.Events:
    """Return the events of a dot that circles for 1 s."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1_000_000, 20_000))
    angle = 2 * np.pi * t / 1_000_000
    x = (16 + 9 * np.cos(angle) + rng.normal(0, 1, t.size)).astype(int)
    y = (12 + 7 * np.sin(angle) + rng.normal(0, 1, t.size)).astype(int)
    return dvspipe.Events(t, x.clip(0, 31), y.clip(0, 23), rng.integers(0, 2, t.size), (32, 24))


def main() -> None:
    """Write events in space and time, pictures and the event rate on one timeline."""
    if importlib.util.find_spec("rerun") is None:
        print("rerun is not installed: pip install 'dvspipe[rerun]'")
        return
    events, path = make_recording(), Path("recording.rrd")
    write_rerun(PlotSource([events], events.sensor, len(events), (int(events.t[0]), int(events.t[-1]))), path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
