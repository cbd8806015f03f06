"""
1. Events from a video, step by step
====================================

An event camera has no frames. Each pixel watches the light on its own and reports an *event* when the light has changed
by a certain ratio: where, when, and whether it became brighter (ON) or darker (OFF). This page makes events from a
video, first by hand for one pixel, then with dvspipe for all of them, and shows the effect of thresholds, times and
noise.
"""

# %%
# A video
# -------
#
# A bright disc moves from left to right over a darker ramp: 30 grey pictures at 60 frames per second. Any video works,
# as in ``dvspipe.events_from_video("clip.mp4")``.

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe.recordings.config import FilmConfig

T, H, W, FPS = 30, 48, 64, 60
rows, columns = np.indices((H, W))
centre = 10 + 1.5 * np.arange(T)
distance = np.hypot(columns - centre[:, None, None], rows - 24)
video = 40 + columns + 110 / (1 + np.exp(1.5 * (distance - 9)))  # a soft edge, as a lens gives it
video = video.astype(np.uint8)

figure, panels = plt.subplots(1, 3, figsize=(8, 2.3), layout="constrained")
for axes, number in zip(panels, (0, 14, 29), strict=True):
    axes.imshow(video[number], cmap="gray", vmin=0, vmax=255)
    axes.set(title=f"{1000 * number / FPS:.0f} ms", xticks=[], yticks=[])
    axes.plot(30, 24, "o", color="#e58a00", markersize=4)  # the pixel of the next section
plt.show()

# %%
# One pixel
# ---------
#
# Take the pixel with the orange mark. The grey values of a video are not light: they are coded with the sRGB curve, so
# we invert it first. A pixel then works with the *logarithm* of the light, so a change of 20 % counts the same in the
# sun and in the shade. It remembers a reference level. When the level is one threshold above the reference, the pixel
# sends an ON event and the reference rises by the threshold; when the level is one threshold below, it sends an OFF
# event.

value = video[:, 24, 30] / 255
light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
level = np.log(light + 1 / 255)
threshold = 0.2
ms = 1000 * np.arange(T) / FPS

fine_ms = np.linspace(ms[0], ms[-1], 5000)
fine = np.interp(fine_ms, ms, level)  # between two frames, the level follows a straight line
reference, found = level[0], []
for t, now in zip(fine_ms, fine, strict=True):
    while now >= reference + threshold:
        reference += threshold
        found.append((t, reference, 1))
    while now <= reference - threshold:
        reference -= threshold
        found.append((t, reference, 0))
event_ms, event_level, polarity = map(np.array, zip(*found, strict=True))

figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
axes.plot(ms, level, "o-", color="grey", markersize=3, label="log light, a point per frame")
for k in range(-2, 12):
    axes.axhline(level[0] + k * threshold, color="lightgrey", linewidth=0.6, zorder=0)
for name, sign, colour, marker in (("ON event", 1, "#c62f2d", "^"), ("OFF event", 0, "#2f6db5", "v")):
    axes.plot(event_ms[polarity == sign], event_level[polarity == sign], marker, color=colour, label=name)
axes.set(xlabel="ms", ylabel="log light")
axes.legend()
plt.show()

# %%
# The grey lines are one threshold apart. There is an event wherever the curve crosses the next line. While nothing
# changes, there is none: a still scene costs nothing.
#
# All pixels
# ----------
#
# dvspipe does this for all pixels, with exact crossing times. The events of our pixel equal the events by hand, up to
# the step of the loop above.

config = FilmConfig(fps=FPS, pos_thres=threshold, neg_thres=threshold)
events = dvspipe.events_from_video(video, config)
ours = events.t[(events.x == 30) & (events.y == 24)] / 1000
print(len(events), "events;", len(ours), "of the pixel, by hand", len(event_ms))
print("largest difference of a time:", f"{np.abs(ours - event_ms).max():.2f} ms")

figure = dvspipe.plot(events, "xyt")

# %%
# Time runs along one axis. The edge of the disc draws a tube. Its front is ON, because it brings light; its back is
# OFF.
#
# What a threshold does
# ---------------------
#
# A threshold of 0.2 is a change of 22 %. A larger threshold gives fewer events and loses weak edges. A smaller one
# gives more events and, in a real sensor, noise. The same video with four thresholds:

thresholds = (0.1, 0.2, 0.4, 0.8)
figure, panels = plt.subplots(1, 4, figsize=(9, 2.3), layout="constrained")
for axes, each in zip(panels, thresholds, strict=True):
    made = dvspipe.events_from_video(video, FilmConfig(fps=FPS, pos_thres=each, neg_thres=each))
    part = slice(*made.t.searchsorted([230_000, 270_000]))
    counts = np.zeros((H, W))
    np.add.at(counts, (made.y[part], made.x[part]), 2.0 * made.p[part] - 1)
    axes.imshow(counts, cmap="RdBu_r", vmin=-4, vmax=4)
    axes.set(title=f"{each}: {len(made):,} events", xticks=[], yticks=[])
figure.suptitle("ON minus OFF events of 40 ms, by the threshold")
plt.show()

# %%
# Why times matter
# ----------------
#
# The video has a frame every 17 ms, but an event has a time in microseconds. Some simulators stamp all events with the
# time of their frame. The movement then becomes a staircase, and a network that looks at short times sees flicker.
# Below are the events of one row: with crossing times the edge is a line, with frame times it is in steps.
# ``--upsample auto`` also estimates the movement between the frames, because a pixel does not change along a
# straight line.

row = (events.y == 24) & (events.p == 1)
frame_times = np.ceil(events.t[row] * FPS / 1e6) / FPS * 1e3
upsampled = dvspipe.events_from_video(video, config.model_copy(update={"upsample": 8}))
above = (upsampled.y == 24) & (upsampled.p == 1)

figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True, layout="constrained")
drawn = (
    ("times of frames", frame_times, events.x[row]),
    ("times of crossings", events.t[row] / 1000, events.x[row]),
    ("with upsampling", upsampled.t[above] / 1000, upsampled.x[above]),
)
for axes, (name, t, x) in zip(panels, drawn, strict=True):
    axes.scatter(t, x, s=3, color="#c62f2d")
    axes.set(title=name, xlabel="ms", xlim=(100, 350), ylim=(20, 50))
panels[0].set_ylabel("column")
plt.show()

# %%
# Noise
# -----
#
# A real sensor also sends events that nothing in the scene has caused: *shot noise* of both polarities, mostly in the
# dark; *leak* events, slow and always ON; and *hot pixels* that fire all the time. Its thresholds differ from pixel to
# pixel. Presets contain all of these, from data sheets or measurements.

figure, panels = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
kinds = {
    "ideal": {},
    "thresholds that differ": {"sigma_thres": 0.06},
    "and noise": {"sigma_thres": 0.06, "shot_noise_rate_hz": 3, "leak_rate_hz": 0.3, "hot_pixel_fraction": 0.002},
}
for axes, (name, noise) in zip(panels, kinds.items(), strict=True):
    made = dvspipe.events_from_video(video, FilmConfig(fps=FPS, **noise))
    counts = np.zeros((H, W))
    np.add.at(counts, (made.y, made.x), 2.0 * made.p - 1)
    axes.imshow(counts, cmap="RdBu_r", vmin=-4, vmax=4)
    axes.set(title=f"{name}: {len(made):,}", xticks=[], yticks=[])
plt.show()

# %%
# The same film converted with and without noise shows how well a filter finds noise: :doc:`/guides/noise`.
#
# Next: :doc:`plot_2_neurons`. Every parameter and equation is in :doc:`/concepts/simulator`.
