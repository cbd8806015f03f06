"""
5. Simulated against real
=========================

A simulated sensor is as good as its parameters. A DAVIS writes frames *and* events of the same pixels, so you can
measure its parameters: simulate the frames, and find the parameters that give the events it really sent. This page
calibrates, compares, and adapts a network to another sensor.

dvspipe includes no recording of a real sensor. So this page hides the parameters of a simulated sensor and recovers
them, and thereby shows how exact the method is. With your own file, the first lines become
``frames = list(dvspipe.formats.read_frames("DAVIS.aedat4"))`` and ``events = dvspipe.read("DAVIS.aedat4")``.
"""

# %%
# The "real" recording
# --------------------
#
# The sensor sees a texture that moves on a circle, above one that is still. Its frames come 25 times per second. The
# events are made from 250 frames per second, because light does not wait for frames.

import matplotlib.pyplot as plt
import numpy as np

import dvspipe
from dvspipe import compare
from dvspipe.simulator import calibrate_frames
from dvspipe.video.frames import Frame

H, W = 40, 56
hidden = dvspipe.SimulatorConfig(
    pos_thres=0.27, neg_thres=0.22, sigma_thres=0.03, leak_rate_hz=0.2, shot_noise_rate_hz=0.5, sensor_seed=1
)
rng = np.random.default_rng(0)
texture = rng.random((H + 40, W + 40))
for axis in (0, 1) * 3:  # smooth it
    texture = (np.roll(texture, 1, axis) + 2 * texture + np.roll(texture, -1, axis)) / 4
texture = np.clip((texture - texture.mean()) / texture.std() * 45 + 120, 10, 250)


def view(t_s: float) -> np.ndarray:
    """Return the picture at a time: the texture, moved on a circle with subpixel accuracy."""
    x, y = 12 + 8 * np.cos(3 * t_s), 12 + 8 * np.sin(3 * t_s)
    left, top = int(x), int(y)
    a, b = x - left, y - top
    part = texture[top : top + H + 1, left : left + W + 1]
    mixed = (1 - b) * ((1 - a) * part[:-1, :-1] + a * part[:-1, 1:]) + b * ((1 - a) * part[1:, :-1] + a * part[1:, 1:])
    mixed[32:] = texture[32:H, :W]  # a still table below
    return mixed.astype(np.uint8)


fine = [Frame(4_000 * k, view(0.004 * k)) for k in range(501)]
frames = fine[::10]
events = dvspipe.concatenate(dvspipe.simulate(fine, hidden), (W, H))
print(len(events), "events,", len(frames), "frames in 2 s")

# %%
# With default parameters
# -----------------------
#
# A simulation of the frames with dvspipe's defaults has too many events, because the default thresholds are lower and
# equal for both polarities.

default = dvspipe.concatenate(dvspipe.simulate(frames), (W, H))
print(f"{len(default) / len(events):.2f} times as many events")

# %%
# Calibrate
# ---------
#
# For each pixel, the change of the level over a frame is the sum of its ON and OFF events times the thresholds. A
# least-squares fit gives the thresholds. A search then refines them until a simulation has as many events of each
# polarity as the recording. Leak and noise come from pixels where nothing changes. On the command line:
# ``dvspipe calibrate DAVIS.aedat4 -o sensor.yaml``.

found = calibrate_frames(frames, events)
print(f"{'':20}{'hidden':>8}{'found':>8}")
for name, value in found.to_yaml_settings().items():
    print(f"{name:20}{getattr(hidden, name):8.3f}{value:8.3f}")

fitted = dvspipe.concatenate(
    dvspipe.simulate(frames, dvspipe.SimulatorConfig(**found.to_yaml_settings(), sensor_seed=2)), (W, H)
)

# %%
# Compare
# -------
#
# ``compare`` measures how similar two recordings of one scene are: their numbers, their events per pixel, and the time
# to the nearest event of the same pixel. ``dvspipe compare REAL.h5 SIMULATED.h5`` prints it.

figure, panels = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained")
for axes, (name, each) in zip(panels, {"real": events, "defaults": default, "calibrated": fitted}.items(), strict=True):
    part = slice(*each.t.searchsorted([1_000_000, 1_040_000]))
    counts = np.zeros((H, W))
    np.add.at(counts, (each.y[part], each.x[part]), 2.0 * each.p[part] - 1)
    axes.imshow(counts, cmap="RdBu_r", vmin=-3, vmax=3)
    axes.set(title=f"{name}: {len(each):,} events", xticks=[], yticks=[])
plt.show()

figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
for name, each, colour in (
    ("real", events, "black"),
    ("defaults", default, "#d95f02"),
    ("calibrated", fitted, "#1b9e77"),
):
    axes.hist(each.t / 1e6, bins=50, histtype="step", label=name, color=colour)
axes.set(xlabel="s", ylabel="events per 40 ms", ylim=(0, None))
axes.legend()
plt.show()

for name, each in (("defaults", default), ("calibrated", fitted)):
    result = compare(events, each)
    print(
        f"{name:11} events {len(each) / len(events):.2f}, maps {result.map_correlation:.2f}, "
        f"median distance {result.nearest_to_a_us / 1000:.1f} ms"
    )

# %%
# Now the rate is right. The times still come from straight lines between frames 40 ms apart, because the frames contain
# no more; ``--upsample auto`` estimates the motion between them.
#
# Adapt
# -----
#
# Now the reverse: a network was trained on one sensor, and you have another. ``adapt`` shifts the statistics of its
# batch norms by the difference between the sensors, using recordings without labels. Here are clips of a sensor with
# high thresholds and much noise:

from dvspipe.synthesis import GestureClip, record_gesture

other = dvspipe.SimulatorConfig(pos_thres=0.45, neg_thres=0.35, shot_noise_rate_hz=4, cutoff_hz=60)
clips = [record_gesture(GestureClip(label, person=902, clip=0, seed=0), sensor=other) for label in range(10)]
classifier = dvspipe.Classifier.load("gesture")
adaptation = dvspipe.adapt(classifier, clips)
before = [classifier.predict(clip).label for clip in clips]
after = [adaptation.classifier.predict(clip).label for clip in clips]
for name, predicted in (("before", before), ("after", after)):
    print(f"{name}: {sum(a == b for a, b in enumerate(predicted))} of {len(clips)} right")

print(adaptation)

# %%
# Ten clips prove nothing, and the gain is small if the network already copes. :doc:`/guides/inference` says when
# adaptation helps, and :doc:`/generated/benchmarks` shows its effect on sensors that the network was never trained on.
#
# Next: :doc:`plot_6_learning`. The simulator is described in :doc:`/concepts/simulator`.
