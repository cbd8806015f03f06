"""
Steps by time, by recording, by events
======================================

A step can be a duration, a fraction of the recording, or a number of events. If little moves, steps by time contain few
events, and steps by events last longer.
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(1, person=3, clip=0, seed=0, duration_us=600_000), sensor=dvspipe.SimulatorConfig())
rules = {
    "by time: 30 ms": dvspipe.BinConfig(steps=20, by="time", step_us=30_000),
    "by recording: 1/20": dvspipe.BinConfig(steps=20, by="recording"),
    "by events: 500 each": dvspipe.BinConfig(steps=20, by="events", step_events=500),
}

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, bins in rules.items():
    counts = dvspipe.encode(events, bins).sum((1, 2, 3))
    axes.step(range(len(counts)), counts, where="mid", label=name)
axes.set(xlabel="step", ylabel="events in the step", ylim=(0, None))
axes.legend()
plt.show()
