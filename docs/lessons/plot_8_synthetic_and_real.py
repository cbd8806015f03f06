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
# An ideal pixel sends an event for each threshold :math:`\theta` that its level L (the logarithm of the light) passes:
# :math:`N = |\Delta L| / \theta`, as in :doc:`plot_1_pixel`. A real pixel differs in four ways (Lichtsteiner, Posch and
# Delbruck 2008; modelled in v2e: Hu, Liu and Delbruck 2021). Its threshold is its own, its level lags with the
# bandwidth f of its circuit, it sends noise events at a rate :math:`\lambda`, and it is blind for a moment after each
# event:
#
# .. math:: \theta_p = \theta + \sigma \xi_p, \qquad \frac{dV}{dt} = \frac{L - V}{\tau}, \quad \tau = \frac{1}{2 \pi f},
#    \qquad N_p = \frac{|\Delta V|}{\theta_p} + \lambda t
#
# So a comparison with the true recording needs three kinds of figures. The *ratio of the counts* shows a wrong
# threshold. If only the threshold is wrong, then
#
# .. math:: \frac{N_B}{N_A} = \frac{\theta_A}{\theta_B}
#
# The *time from an event of A to the nearest of B* (same pixel, same sign) shows a lag: on a ramp, V follows L later by
# :math:`\tau`. The *share of events of B without any neighbour in A* shows noise. A simulation with a wrong threshold
# trains worse networks for real cameras (Stoffregen et al. 2020).
#
# A classifier that is right in k of n recordings has a true accuracy p with
# :math:`|k / n - p| \leq z \sqrt{p (1 - p) / n}`, with z = 1.96 in 95 % of cases. Solved for p, these are the bounds of
# Wilson (1927), with :math:`m = z^2`:
#
# .. math:: p = \frac{k + m / 2 \pm \sqrt{m \, k (n - k) / n + m^2 / 4}}{n + m}
#
# By hand
# -------
#
# The level rises by 1 in 100 ms. Sensor A has a threshold of 1/5, sensor B of 1/4. A sends 5 events, 20 ms apart; B
# sends 4, 25 ms apart: a ratio of 4/5. From the events of A to the nearest of B, it is 5, 10, 10, 5 and 0 ms; the
# median is 5. The intervals differ by the factor 5/4, 0.097 decades. For 3 of 3 right recordings, the lower bound is n
# / (n + m) = 3 / (3 + 3.84) = 44 %.

import numpy as np

a = np.arange(1, 6) * 20.0  # ms
b = np.arange(1, 5) * 25.0
distances = np.abs(a[:, None] - b).min(axis=1)
print(
    f"ratio {len(b) / len(a)}, distances {distances}, median {np.median(distances)} ms, {np.log10(25 / 20):.3f} decades"
)


def bounds(k: int, n: int) -> tuple[float, float]:
    """Return Wilson's bounds of the accuracy, with 95 % confidence."""
    m = 1.96**2
    spread = np.sqrt(m * k * (n - k) / n + m**2 / 4)
    return (k + m / 2 - spread) / (n + m), (k + m / 2 + spread) / (n + m)


for k, n in ((3, 3), (9, 10), (90, 100)):
    print("{} of {} right: between {:.0%} and {:.0%}".format(k, n, *bounds(k, n)))

# %%
# With dvspipe
# ------------
#
# ``compare`` computes these figures for two recordings of one scene, and ``dvspipe compare A.h5 B.h5 -o page.html``
# writes them as a page. It sorts intervals into bins of 0.01 decades.

import dvspipe
from dvspipe.recordings.comparison import compare

ramp = [dvspipe.Frame(t_us, np.full((1, 1), level, np.float32), "log") for t_us, level in ((0, 0), (100_000, 1))]
pixel = dvspipe.SensorSize(width=1, height=1)
recordings = [
    dvspipe.concatenate(list(dvspipe.simulate(ramp, dvspipe.SimulatorConfig(pos_thres=theta))), pixel)
    for theta in (1 / 5, 1 / 4)
]
assert np.allclose(recordings[0].t, 1000 * a)
assert np.allclose(recordings[1].t, 1000 * b)
comparison = compare(*recordings)
assert comparison.ratios.events == len(b) / len(a)
assert comparison.nearest_to_a.median_us == 1000 * np.median(distances)
assert abs(comparison.interval_distance - np.log10(25 / 20)) < 0.01
print("dvspipe has the same figures as by hand")

# %%
# Now an experiment. dvspipe includes no recordings of a real sensor, so we move away from the sensor of the training in
# steps that we know: everything here is **synthetic**. Two rendered people, unknown to the included classifier, perform
# its 11 gestures, and four sensors see the same 22 films: one like a DVS128, as in the training; one with twice the
# thresholds; one with a slow circuit (10 Hz); and one with much noise (8 events per pixel and second in the dark). The
# last row of the table is the noisy sensor after a filter that removes events without a neighbour within 2 ms. *Events*
# is the ratio of the counts, *nearest* the median time to the nearest event, and *alone* the share of events without
# one within 50 ms, all compared with the first sensor.

from dvspipe.events.filters import FilterConfig, filter_stream
from dvspipe.simulator.config import read_preset
from dvspipe.synthesis import GestureClip, gesture_frames

clips = [GestureClip(label, person=person, clip=0, seed=0) for person in (901, 902) for label in range(11)]
films = [list(gesture_frames(clip)) for clip in clips]
dvs128 = read_preset("dvs128")
changes = {
    "DVS128": {},
    "thresholds x 2": {"pos_thres": 0.4, "neg_thres": 0.4},
    "slow": {"cutoff_hz": 10},
    "noise": {"shot_noise_rate_hz": 8},
}
size = dvspipe.SensorSize(width=128, height=128)
seen = {}
for name, change in changes.items():
    sensor = dvspipe.SimulatorConfig(**{**dvs128, **change})
    seen[name] = [dvspipe.concatenate(list(dvspipe.simulate(film, sensor)), size) for film in films]
seen["noise, filtered"] = [
    dvspipe.concatenate(list(filter_stream([each], FilterConfig(activity_us=2_000))), size) for each in seen["noise"]
]

classifier = dvspipe.Classifier.load("gesture-synthetic")
example = 16  # a left arm that moves clockwise; one clip is enough for the figures
right = {}
print(f"{'22 clips (synthetic)':20} right  95 % bounds   events  nearest  alone  certain and wrong")
for name, recordings in seen.items():
    predictions = [classifier.predict(each) for each in recordings]
    hits = [each.label == clip.label for each, clip in zip(predictions, clips, strict=True)]
    wrong = sum(each.certain and not hit for each, hit in zip(predictions, hits, strict=True))
    right[name] = sum(hits)
    figures = compare(seen["DVS128"][example], recordings[example])
    low, high = bounds(right[name], len(clips))
    print(
        f"{name:20} {right[name]:5}  {low:4.0%} to {high:4.0%}  {figures.ratios.events:6.2f}"
        f"  {figures.nearest_to_a.median_us / 1000:4.1f} ms  {figures.nearest_to_b.without_share:5.0%}  {wrong:17}"
    )

# %%
# The figures name the cause: higher thresholds give fewer events at about the same times, a low bandwidth gives late
# ones, and noise gives events that are alone. Noise costs most, and a filter repairs it. But the bounds are wide: 22
# clips show large effects only.
#
# The picture shows 40 ms of one clip as each sensor sees it, ON red and OFF blue, and the share of the 22 clips that
# are classified correctly.

import matplotlib.pyplot as plt

figure, panels = plt.subplots(2, len(seen), figsize=(10, 3.3), height_ratios=(5, 1), layout="constrained")
for (top, bottom), (name, recordings) in zip(panels.T, seen.items(), strict=True):
    events = recordings[example]
    part = slice(*events.t.searchsorted([600_000, 640_000]))
    counts = np.zeros((128, 128))
    np.add.at(counts, (events.y[part], events.x[part]), 2.0 * events.p[part] - 1)
    top.imshow(counts, cmap="RdBu_r", vmin=-2, vmax=2)
    top.set(title=name, xticks=[], yticks=[])
    low, high = bounds(right[name], len(clips))
    bottom.barh([0], [right[name] / len(clips)], color="#8792a2")
    bottom.plot([low, high], [0, 0], color="black")
    bottom.set(xlim=(0, 1), yticks=[], xlabel="share right, 95 % bounds")
plt.show()

# %%
# What happens on real sensors? ``nmnist-synthetic``, trained on rendered digits only, classifies 296 of 300 real
# recordings of N-MNIST correctly; its simulated sensor was fitted to 250 others, with the figures of ``compare``. For
# gestures, only three real recordings of a DVS128 were at hand, and all three are classified correctly: with 95 %
# confidence, that shows an accuracy of 44 % or more. :doc:`/generated/benchmarks` has these and all other figures with
# their commands. If you have a recording with frames and events of the same pixels, ``dvspipe calibrate`` finds the
# thresholds of your sensor, and ``dvspipe adapt`` shifts a network to recordings without labels.
#
# Exercise
# --------
#
# Your simulation, with a threshold of 0.2, has 1.6 times as many events as the real recording of the same scene, and
# nearly all of them have a near neighbour. What is the threshold of the real sensor? And how many clips do you need to
# show an accuracy of 90 % within 5 points?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    The ratio is the inverse ratio of the thresholds: 0.2 * 1.6 = 0.32. If many events had no neighbour, noise would be
#    the cause, and another threshold would be wrong. For the second question,
#    :math:`1.96 \sqrt{0.9 \cdot 0.1 / n} = 0.05` gives n = 138.
#
#    .. code-block:: pycon
#
#       >>> n = int(1.96**2 * 0.9 * 0.1 / 0.05**2)
#       >>> n, [round(float(bound), 2) for bound in bounds(round(0.9 * n), n)]
#       (138, [0.84, 0.94])
#
# Next: :doc:`plot_9_own_rule`. The tutorial :doc:`/generated/tutorials/plot_5_simulated_and_real` calibrates a sensor.
