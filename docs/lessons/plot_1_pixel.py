"""
1. Events and the pixel
=======================

**Question.** The light on a pixel of an event camera (a dynamic vision sensor, DVS) doubles in a tenth of a second. How
many events does the pixel send, and when?
"""

# %%
# Derivation
# ----------
#
# The pixel watches the logarithm of the light :math:`I`, its *level*, and remembers the level of its last event, the
# reference :math:`R`. It sends an ON event when the level is a threshold :math:`\theta` above the reference, and an OFF
# event when it is :math:`\theta` below (Lichtsteiner, Posch and Delbruck 2008):
#
# .. math:: L = \ln(I), \qquad |L - R| \geq \theta, \qquad R \leftarrow R \pm \theta
#
# A video has the levels :math:`L_0` and :math:`L_1` at the times :math:`t_0` and :math:`t_1` only. If the level follows
# a straight line between them, it reaches the level :math:`c` at
#
# .. math:: t(c) = t_0 + \frac{c - L_0}{L_1 - L_0} (t_1 - t_0), \qquad n = \lfloor (L_1 - R) \, / \, \theta \rfloor
#
# The n-th ON event is at :math:`c = R + n \theta`, so the number of events is rounded down. If the light doubles,
# :math:`L_1 - L_0 = \ln(2) = 0.693`, in the sun and in the shade: the pixel responds to *contrast*.
#
# By hand
# -------
#
# The light doubles in 100 ms, stays for 100 ms, and falls to a quarter in 100 ms. With :math:`\theta = 0.2`, the
# doubling gives 3 events, the first one at 100 · 0.2 / 0.693 = 28.9 ms. The reference is then 0.6 above the first
# level. The fall ends 0.693 below the first level, :math:`(0.6 + 0.693) / 0.2 = 6.5` thresholds away: 6 OFF events.

import numpy as np

theta = 0.2
times_ms = np.array([0.0, 100.0, 200.0, 300.0])
light = np.array([0.2, 0.4, 0.4, 0.1])
level = np.log(light)

reference, by_hand = level[0], []  # an event is (time in ms, +1 for ON or -1 for OFF)
for t0, t1, start, end in zip(times_ms, times_ms[1:], level, level[1:], strict=False):
    while abs(end - reference) >= theta:
        sign = int(np.sign(end - reference))
        reference += sign * theta
        by_hand.append((t0 + (reference - start) / (end - start) * (t1 - t0), sign))

for time_ms, sign in by_hand:
    print(f"{time_ms:6.2f} ms  {'ON' if sign > 0 else 'OFF'}")

# %%
# With dvspipe
# ------------
#
# ``dvspipe.simulate`` computes the events of all pixels. Here the sensor has one pixel, the values are proportional to
# the light (``transfer="linear"``), and the light that the sensor itself adds, ``log_offset``, is almost 0.

import dvspipe

frames = dvspipe.frames_from_arrays(light.reshape(-1, 1, 1).astype(np.float32), fps=10, transfer="linear")
sensor = dvspipe.SimulatorConfig(pos_thres=theta, neg_thres=theta, log_offset=1e-9)
events = dvspipe.concatenate(list(dvspipe.simulate(frames, sensor)), dvspipe.SensorSize(width=1, height=1))

assert events.p.tolist() == [sign > 0 for _, sign in by_hand]
assert np.abs(events.t / 1000 - [time_ms for time_ms, _ in by_hand]).max() < 0.001  # times in whole microseconds
print(f"{len(events)} events, the same as by hand")

# %%
# The picture shows an event wherever the line reaches the next level. From 100 to 200 ms, nothing is sent.

import matplotlib.pyplot as plt

moments = events.t / 1000
signs = np.where(events.p, 1, -1)
reference = level[0] + theta * np.concatenate([[0], np.cumsum(signs)])

figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
axes.plot(times_ms, level, "o-", color="grey", label="level, a point per frame")
axes.step([0, *moments, 300], [*reference, reference[-1]], where="post", color="#e58a00", label="reference")
axes.plot(moments[events.p], reference[1:][events.p], "^", color="#c62f2d", label="ON event")
axes.plot(moments[~events.p], reference[1:][~events.p], "v", color="#2f6db5", label="OFF event")
axes.set(xlabel="ms", ylabel="ln I")
axes.legend(loc="lower left")
plt.show()

# %%
# Exercise
# --------
#
# The same scene in a room 100 times darker: how many events does the pixel send? And how many if its dark current is as
# strong as a light of 0.002 (``log_offset=0.002``)?
#
# .. admonition:: Answer
#    :collapsible: closed
#
#    Without dark current, it sends the same 9 events: ln(I / 100) = ln(I) - ln(100), and the constant cancels. With it,
#    the doubling is only ln(0.006 / 0.004) = 0.405, 2 events. The fall ends at ln(0.003 / 0.004) = -0.288, and
#    (0.4 + 0.288) / 0.2 = 3.4, 3 events. In the dark, an event camera sees less contrast.
#
#    .. code-block:: pycon
#
#       >>> def count(light, log_offset):
#       ...     frames = dvspipe.frames_from_arrays(light.reshape(-1, 1, 1), fps=10, transfer="linear")
#       ...     sensor = dvspipe.SimulatorConfig(pos_thres=theta, neg_thres=theta, log_offset=log_offset)
#       ...     return sum(map(len, dvspipe.simulate(frames, sensor)))
#       >>> count(light / 100, 1e-9), count(light / 100, 0.002)
#       (9, 5)
#
# Next: :doc:`plot_2_neuron`. :doc:`/concepts/simulator` has all parameters of the sensor.
