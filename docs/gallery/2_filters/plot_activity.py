"""
Background activity
===================

Removes an event if none of its eight neighbours fired shortly before it. Edges move through neighbours one after
another; noise does not.
"""

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.events.filters import FilterConfig, filter_stream
from dvspipe.synthesis import GestureClip, record_gesture

sensor = dvspipe.SimulatorConfig(shot_noise_rate_hz=1.5)
events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=300_000), sensor=sensor)
config = FilterConfig(activity_us=5_000)
(kept,) = filter_stream([events], config)


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
