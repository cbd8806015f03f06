r"""
8. From synthetic to real
=========================

**Question.** A classifier was trained on simulated recordings only, and is 90 % right on new ones. What differs in the
recordings of a real sensor, how do you measure it, and what do you lose?
"""

# %%
# Derivation
# ----------
#
# An ideal pixel sends :math:`N = \lfloor |\Delta L| / \theta \rfloor` events when its level rises or falls by
# :math:`\Delta L` (lesson 1). A real pixel p differs (Lichtsteiner, Posch and Delbruck 2008; modelled in v2e: Hu, Liu
# and Delbruck 2021; :doc:`/concepts/simulator`):
#
# - Its threshold is its own: :math:`\theta_p = \theta + \sigma \xi_p`, with a normal random number :math:`\xi_p`.
# - Its circuit is a *low-pass* of bandwidth f, lower in the dark. It sees a level V that lags: :math:`dV/dt = (L - V) /
#   \tau`, with :math:`\tau = 1 / (2 \pi f)`.
# - It sends noise events at a rate :math:`\lambda`, and is blind for a *refractory period* after each event.
#
# In a time t, it sends about :math:`\lfloor |\Delta V| / \theta_p \rfloor + \lambda t` events. Compare a recording B
# with a recording A of the same scene by three figures:
#
# - The *ratio of the counts*. If only the threshold differs, it is about :math:`\theta_A / \theta_B`, less if the level
#   changes by few thresholds.
# - The *time from an event of A to the nearest of B* (same pixel, same sign). It is long if B lags.
# - The *share of events of B that are alone*, without any neighbour in A. It is high for noise, and for a long lag.
#
# No figure is enough alone: higher thresholds lower the ratio, but so does a low bandwidth; the times tell them apart.
# A wrong threshold trains worse networks for real cameras (Stoffregen et al. 2020).
#
# A classifier that is right in k of n recordings has a true accuracy p with :math:`|k / n - p| \leq z \sqrt{p (1 - p) /
# n}`, with z = 1.96 in about 95 % of cases if n is large. Solved for p, these are the bounds of Wilson (1927), with
# :math:`m = z^2`:
#
# .. math:: p = \frac{k + m / 2 \pm \sqrt{m \, k (n - k) / n + m^2 / 4}}{n + m}
#
# By hand
# -------
#
# The level rises by 1 in 100 ms. Sensor A has a threshold of 1/5, sensor B of 1/4. A sends 5 events, 20 ms apart; B
# sends 4, 25 ms apart: a ratio of 4/5. A threshold of 2/5 gives 2 events, since 2.5 is rounded down: a ratio of 0.4,
# not 0.5. From the events of A to the nearest of B, it is 5, 10, 10, 5 and 0 ms; the median is 5.
#
# For 3 of 3 right recordings, Wilson's lower bound is n / (n + m) = 3 / (3 + 3.84) = 44 %. But 3 are too few for the
# approximation: the exact one-sided bound (Clopper and Pearson 1934) is the p for which :math:`p^3` is 0.05: 37 %.

import numpy as np

a = np.arange(1, 6) * 20.0  # ms
b = np.arange(1, 5) * 25.0
distances = np.abs(a[:, None] - b).min(axis=1)
print(f"ratio {len(b) / len(a)}, distances {distances}, median {np.median(distances)} ms")


def bounds(k: float, n: int) -> tuple[float, float]:
    """Return Wilson's bounds of the accuracy, with about 95 % confidence."""
    m = 1.96**2
    spread = np.sqrt(m * k * (n - k) / n + m**2 / 4)
    return (k + m / 2 - spread) / (n + m), (k + m / 2 + spread) / (n + m)


for k, n in ((3, 3), (9, 10), (90, 100)):
    print("{} of {} right: between {:.0%} and {:.0%}".format(k, n, *bounds(k, n)))

# %%
# With dvspipe
# ------------
#
# ``compare`` computes these figures for two recordings of one scene.

import dvspipe
from dvspipe import compare

ramp = [dvspipe.Frame(t_us, np.full((1, 1), level, np.float32), "log") for t_us, level in ((0, 0), (100_000, 1))]
pixel = dvspipe.SensorSize(width=1, height=1)
recordings = [
    dvspipe.concatenate(list(dvspipe.simulate(ramp, dvspipe.SimulatorConfig(pos_thres=theta))), pixel)
    for theta in (1 / 5, 1 / 4, 2 / 5)
]
assert np.allclose(recordings[0].t, 1000 * a)
assert np.allclose(recordings[1].t, 1000 * b)
assert len(recordings[2]) == 2
comparison = compare(*recordings[:2])
assert comparison.events_ratio == len(b) / len(a)
assert comparison.nearest_to_a_us == 1000 * np.median(distances)
print("dvspipe has the same figures as by hand")

# %%
# Now an experiment, in which everything is **synthetic** (:doc:`/concepts/synthetic-data`). A rendered person, unknown
# to the included classifier, performs its 11 gestures. Four sensors see the same films: one like a DVS128, as in the
# training; one with twice the thresholds; one with a slow circuit (10 Hz, so :math:`\tau` = 15.9 ms for white); and one
# with much noise (8 events per pixel and second in the dark, 2 for white).
#
# The first sensor is A, the sensor of the row B. *Events* is the ratio, *nearest* the median time, and *alone* the
# share of events of B without an event of A within 50 ms.

from dvspipe.synthesis import GestureClip, gesture_frames

clips = [GestureClip(label, person=901, clip=0, seed=0) for label in range(11)]
films = [list(gesture_frames(clip)) for clip in clips]
changes = {
    "DVS128": {},
    "thresholds x 2": {"pos_thres": 0.4, "neg_thres": 0.4},  # preset: 0.2
    "slow": {"cutoff_hz": 10},  # preset: 3000
    "noise": {"shot_noise_rate_hz": 8},  # preset: 0.001
}
size = dvspipe.SensorSize(width=128, height=128)
seen = {}
for name, change in changes.items():
    sensor = dvspipe.SimulatorConfig(**change).with_preset("dvs128")
    seen[name] = [dvspipe.concatenate(list(dvspipe.simulate(film, sensor)), size) for film in films]

classifier = dvspipe.Classifier.load("gesture")
example = 5  # a left arm that moves clockwise; one clip is enough for the figures
right, ratios = {}, {}
print(f"{'11 clips (synthetic)':20} right  95 % bounds   events  nearest  alone")
for name, recordings in seen.items():
    labels = [classifier.predict(each).label for each in recordings]
    right[name] = sum(label == clip.label for label, clip in zip(labels, clips, strict=True))
    figures = compare(seen["DVS128"][example], recordings[example])
    ratios[name] = figures.events_ratio
    low, high = bounds(right[name], len(clips))
    print(
        f"{name:20} {right[name]:5}  {low:4.0%} to {high:4.0%}  {figures.events_ratio:6.2f}"
        f"  {figures.nearest_to_a_us / 1000:4.1f} ms  {figures.alone_b:5.0%}"
    )

# %%
# Together, the figures name the cause:
#
# - Twice the thresholds: fewer events, at about the same times. The ratio is 0.41, not 0.5, because of rounding down.
# - Slow: about as few events, but the nearest are 17.4 ms away, and 23 % are alone.
# - Noise: more events, and 57 % are alone.
#
# The slow and the noisy sensor seem to cost most. But even their bounds (28 to 79 %) and the bounds of the first one
# (43 to 90 %) overlap: whether anything costs accuracy, 11 clips of one person cannot show. A paired test (McNemar
# 1947) would be sharper.

assert abs(ratios["thresholds x 2"] - 0.41) < 0.01
assert bounds(right["slow"], len(clips))[1] > bounds(right["DVS128"], len(clips))[0]

# %%
# The picture shows 40 ms of one clip as each sensor sees it, ON red and OFF blue.

import matplotlib.pyplot as plt

figure, panels = plt.subplots(1, len(seen), figsize=(10, 2.9), layout="constrained")
for axes, (name, recordings) in zip(panels, seen.items(), strict=True):
    events = recordings[example]
    part = slice(*events.t.searchsorted([600_000, 640_000]))
    counts = np.zeros((128, 128))
    np.add.at(counts, (events.y[part], events.x[part]), 2.0 * events.p[part] - 1)
    axes.imshow(counts, cmap="RdBu_r", vmin=-2, vmax=2)
    axes.set(title=name, xticks=[], yticks=[])
plt.show()

# %%
# What happens on real sensors? ``nmnist-synthetic``, trained on rendered digits only, classifies 296 of 300 recordings
# of N-MNIST (Orchard et al. 2015) correctly. Its simulation was fitted to 250 others, by the figures of ``compare``
# (:doc:`/generated/benchmarks`). ``dvspipe calibrate`` and ``dvspipe adapt`` fit to your own sensor.
#
# Exercise
# --------
#
# If 90 % of your clips are right, how many clips do you need for a lower bound of 85 %?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    :math:`0.9 - 0.85 = 1.96 \sqrt{0.85 \cdot 0.15 / n}` gives n = 195.9, so 196 clips.
#
#    .. code-block:: pycon
#
#       >>> n = int(np.ceil(1.96**2 * 0.85 * 0.15 / 0.05**2))
#       >>> n, [round(float(bound), 3) for bound in bounds(0.9 * n, n)]
#       (196, [0.85, 0.935])
#
# Next: :doc:`plot_9_own_rule`.
