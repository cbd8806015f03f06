"""
Time surface
============

How recent the last event of each pixel is: 1 at the end of a step, fading with a time constant (Lagorce et al. 2017).
It shows the direction of movement in a single picture.
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=400_000), sensor=dvspipe.SimulatorConfig())
bins = dvspipe.BinConfig(steps=4, step_us=100_000, form="surface", tau_us=60_000)
tensor = dvspipe.encode_events(events, bins)  # float32 [T, 2, H, W]

figure, panels = plt.subplots(2, 4, figsize=(9, 4.2), layout="constrained", squeeze=False)
for channel, row in enumerate(panels):
    for step, axes in enumerate(row):
        shown = axes.imshow(tensor[step, channel], cmap="Greys", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=f"step {step}")
    row[0].set_ylabel(("OFF", "ON")[channel])
figure.colorbar(shown, ax=panels, label="exp(-age / tau)", shrink=0.8)
plt.show()
