"""Measures eventcv's simulator, in the Python that has it: `python scripts/peers.py FRAMES.npy REPEATS`.

FRAMES.npy holds uint8 [T, H, W] at 30 fps. Prints a JSON object per way of running: median CPU seconds and number of
events. The frames lie in memory; the time covers its linearising and sorting, but not a copy of the events into numpy.
"""

import json
import statistics
import sys
import time

import eventcv
import numpy as np

IDEAL = {"sigma_thres": 0.0, "refractory_us": 0, "cutoff_hz": 0.0, "leak_rate_hz": 0.0, "shot_noise_rate_hz": 0.0}
WAYS = {"off": {**IDEAL, "upsample": "off"}, "adaptive": IDEAL, "default": {}}


def main() -> None:
    frames, repeats = np.load(sys.argv[1]), int(sys.argv[2])
    told = {}
    for name, settings in WAYS.items():
        spent = []
        for _ in range(repeats + 1):  # the first one warms up
            began = time.process_time()
            events = eventcv.simulate(frames, fps=30.0, **settings)
            spent.append(time.process_time() - began)
        told[name] = {"seconds": statistics.median(spent[1:]), "events": len(events)}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
