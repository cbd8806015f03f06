"""
Spike tensors and frames
========================

The same events as spike tensors with four steps of 100 ms, as four time surfaces, and as a voxel grid.

``count``
    The number of events per pixel and step, OFF and ON separately. Only the time within a step is lost.
``binary``
    1 if a pixel fired in a step, else 0: the same values as the spikes of a network. Insensitive to pixels that fire
    very often.
``surface``
    Time surface: the age of each pixel's last event, as exp(-age / tau): 1 for an event at the end of the window
    (Lagorce et al. 2017). It shows the direction of movement in a single picture.
``voxel``
    Voxel grid: each event is divided between the two nearest steps, so a small shift in time changes the values only
    slightly; OFF counts -1 (Zhu et al. 2019).
"""

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.encoding import FrameConfig, encode_frames
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=400_000), sensor=dvspipe.SimulatorConfig())
counts = dvspipe.encode(events, dvspipe.BinConfig(steps=4, step_us=100_000))  # uint8 [T, C, H, W]
binary = dvspipe.encode(events, dvspipe.BinConfig(steps=4, step_us=100_000, form="binary"))
frames = encode_frames(events, FrameConfig(every_us=100_000, form="surface", tau_us=60_000))
surfaces = np.array([frame.values for frame in frames])[:4]  # float32 [windows, C, H, W]
(grid,) = encode_frames(events, FrameConfig(every_us=1_000_000, form="voxel", bins=4))

figure, panels = plt.subplots(4, 4, figsize=(9, 9), layout="constrained")
pictures = {
    "count, ON": (counts[:, 1], 0, 4),
    "binary, ON": (binary[:, 1], 0, 1),
    "surface, ON": (surfaces[:, 1], 0, 1),
    "voxel, ON minus OFF": (grid.values, -3, 3),
}
for row, (name, (steps, least, most)) in zip(panels, pictures.items(), strict=True):
    row[0].set_ylabel(name)
    for number, (axes, step) in enumerate(zip(row, steps, strict=True)):
        shown = axes.imshow(step, cmap="RdBu_r" if least else "Greys", vmin=least, vmax=most)
        axes.set(xticks=[], yticks=[], title=f"step {number}")
    figure.colorbar(shown, ax=row, shrink=0.8)
plt.show()
