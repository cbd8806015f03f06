"""
dvs128
======

The DVS128 of Lichtsteiner, Posch and Delbruck (2008), with which DVS128 Gesture was recorded.
"""

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.simulator import SimulatorConfig, read_preset
from dvspipe.synthesis import GESTURE_SENSOR, gesture_frames

frames = list(gesture_frames(7, person=3, clip=0, seed=0, duration_us=500_000, fps=100))
events = dvspipe.concatenate(dvspipe.simulate(frames, SimulatorConfig(**read_preset("dvs128"))), GESTURE_SENSOR)

begin, end = np.searchsorted(events.t, [400_000, 440_000])
counts = np.zeros((GESTURE_SENSOR.height, GESTURE_SENSOR.width))
np.add.at(counts, (events.y[begin:end], events.x[begin:end]), 2.0 * events.p[begin:end] - 1)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), width_ratios=(1, 1.3), layout="constrained")
left.imshow(counts, cmap="RdBu_r", vmin=-3, vmax=3)
left.set(title="40 ms", xticks=[], yticks=[])
for polarity, name, colour in ((1, "ON", "#c62f2d"), (0, "OFF", "#2f6db5")):
    right.hist(events.t[events.p == polarity] / 1000, bins=100, histtype="step", color=colour, label=name)
right.set(xlabel="ms", ylabel="events per 5 ms", title=f"{len(events):,} events", ylim=(0, None))
right.legend()
plt.show()
