"""
Forms of a spike tensor
=======================

The same events in each form of ``BinConfig``, with four steps of 100 ms.

``count``
    The number of events per pixel and step, OFF and ON separately. Only the time within a step is lost.
``clipped``
    Counts limited to ``clip``, between ``count`` and ``binary``. Flicker and hot pixels do not dominate the tensor.
``binary``
    1 if a pixel fired in a step, else 0: the same values as the spikes of a network. Insensitive to pixels that fire
    very often.
``surface``
    Time surface: the age of each pixel's last event, as exp(-age / tau): 1 for an event at the end of the step (Lagorce
    et al. 2017). It shows the direction of movement in a single picture.
``voxel``
    Voxel grid: each event is divided between the two nearest steps, so a small shift in time changes the tensor only
    slightly. With ``polarity="signed"``, OFF counts -1 (Zhu et al. 2019).
"""

import matplotlib.pyplot as plt

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

forms = {
    "count": {"step_us": 100_000},
    "clipped": {"step_us": 100_000, "clip": 2},
    "binary": {"step_us": 100_000},
    "surface": {"step_us": 100_000, "tau_us": 60_000},
    "voxel": {"by": "recording", "polarity": "signed"},
}
scales = {"count": 4, "clipped": 4, "binary": 1, "surface": 1, "voxel": 3}
units = {"surface": "exp(-age / tau)", "voxel": "ON minus OFF"}

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=400_000), sensor=dvspipe.SimulatorConfig())
figure, panels = plt.subplots(9, 4, figsize=(9, 19), layout="constrained")
rows = iter(panels)
for form, settings in forms.items():
    bins = dvspipe.BinConfig(steps=4, form=form, **settings)
    tensor = dvspipe.encode(events, bins)  # uint8 or float32 [T, C, H, W]
    signed, most = form == "voxel", scales[form]
    for channel, polarity in enumerate(["signed"] if signed else ["OFF", "ON"]):
        row = next(rows)
        row[0].set_ylabel(f"{form}, {polarity}")
        for step, axes in enumerate(row):
            colours = "RdBu_r" if signed else "Greys"
            shown = axes.imshow(tensor[step, channel], cmap=colours, vmin=-most if signed else 0, vmax=most)
            axes.set(xticks=[], yticks=[], title=f"step {step}")
        figure.colorbar(shown, ax=row, shrink=0.8, label=units.get(form, "events"))
plt.show()
