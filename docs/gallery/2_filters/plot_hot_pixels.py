"""
Hot pixels
==========

A first pass counts the events of each pixel; those that fire far more than their neighbours are removed.
"""

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.events.filters import FilterConfig, count_pixels, filter_stream, find_hot_pixels
from dvspipe.synthesis import GestureClip, record_gesture

sensor = dvspipe.SimulatorConfig(hot_pixel_fraction=0.003, hot_pixel_rate_hz=400)
events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=300_000), sensor=sensor)
hot = find_hot_pixels(count_pixels([events], events.sensor))  # bool [H, W]
(kept,) = filter_stream([events], FilterConfig(), hot=hot)
print(hot.sum(), "hot pixels")


def picture(events: dvspipe.Events) -> np.ndarray:
    """Return ON minus OFF events per pixel."""
    counts = np.zeros((events.sensor.height, events.sensor.width))
    np.add.at(counts, (events.y, events.x), 2.0 * events.p - 1)
    return counts


figure, panels = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
for axes, shown, name in zip(panels, (events, kept), ("before", "after"), strict=True):
    axes.imshow(picture(shown), cmap="RdBu_r", vmin=-3, vmax=3)
    axes.set(title=f"{name}: {len(shown):,} events", xticks=[], yticks=[])
plt.show()
