"""
Voxel grid
==========

Each event is divided between the two nearest steps, so that moving it by a little changes the tensor by a little. With
``polarity="signed"``, OFF counts -1 (Zhu et al. 2019).
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=400_000), sensor=dvspipe.SimulatorConfig())
bins = dvspipe.BinConfig(steps=4, by="recording", form="voxel", polarity="signed")
tensor = dvspipe.encode_events(events, bins)  # float32 [T, 1, H, W]

figure, panels = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained", squeeze=False)
for channel, row in enumerate(panels):
    for step, axes in enumerate(row):
        shown = axes.imshow(tensor[step, channel], cmap="RdBu_r", vmin=-3, vmax=3)
        axes.set(xticks=[], yticks=[], title=f"step {step}")
    row[0].set_ylabel("signed")
figure.colorbar(shown, ax=panels, label="ON minus OFF", shrink=0.8)
plt.show()
