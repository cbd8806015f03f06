"""
Filters
=======

Each filter on a sensor with the type of noise that it removes.

``refractory_us``
    Refractory period: removes repeated events of a pixel within a time. An edge with high contrast causes several
    events per pixel at once; one event is enough to locate the edge.
``activity_us``
    Background activity: removes an event if none of its eight neighbours fired shortly before. Moving edges activate
    neighbouring pixels in sequence; noise does not.
``hot_pixels``
    Hot pixels: a first pass counts the events of each pixel. Pixels that fire far more than their neighbours are
    removed.
"""

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.events.filters import count_pixels, filter_stream, find_hot_pixels
from dvspipe.synthesis import GestureClip, record_gesture

filters = {
    "refractory_us": ({"pos_thres": 0.1, "neg_thres": 0.1}, dvspipe.FilterConfig(refractory_us=20_000)),
    "activity_us": ({"shot_noise_rate_hz": 1.5}, dvspipe.FilterConfig(activity_us=5_000)),
    "hot_pixels": ({"hot_pixel_fraction": 0.003, "hot_pixel_rate_hz": 400}, dvspipe.FilterConfig(hot_pixels=True)),
}


def picture(events: dvspipe.Events) -> np.ndarray:
    """Return ON minus OFF events per pixel, [H, W]."""
    counts = np.zeros((events.sensor.height, events.sensor.width))
    np.add.at(counts, (events.y, events.x), 2.0 * events.p - 1)
    return counts


figure, panels = plt.subplots(len(filters), 2, figsize=(7, 10.8), layout="constrained")
for row, (name, (noise, config)) in zip(panels, filters.items(), strict=True):
    sensor = dvspipe.SimulatorConfig(**noise)
    events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=300_000), sensor=sensor)
    hot = find_hot_pixels(count_pixels(events, events.sensor)) if config.hot_pixels else None
    kept = dvspipe.concatenate(filter_stream(events, config, hot=hot))
    for axes, shown, when in zip(row, (events, kept), ("before", "after"), strict=True):
        axes.imshow(picture(shown), cmap="RdBu_r", vmin=-3, vmax=3)
        axes.set(title=f"{when}: {len(shown):,} events", xticks=[], yticks=[])
    row[0].set_ylabel(name)
plt.show()
