"""
Counts
======

The number of events of each pixel in each step, OFF and ON apart. Nothing is lost but the time within a step.
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=400_000), sensor=dvspipe.SimulatorConfig())
bins = dvspipe.BinConfig(steps=4, step_us=100_000, form="count")
tensor = dvspipe.encode_events(events, bins)  # uint8 [T, 2, H, W]

figure, panels = plt.subplots(2, 4, figsize=(9, 4.2), layout="constrained", squeeze=False)
for channel, row in enumerate(panels):
    for step, axes in enumerate(row):
        shown = axes.imshow(tensor[step, channel], cmap="Greys", vmin=0, vmax=4)
        axes.set(xticks=[], yticks=[], title=f"step {step}")
    row[0].set_ylabel(("OFF", "ON")[channel])
figure.colorbar(shown, ax=panels, label="events", shrink=0.8)
plt.show()
