"""
Logarithmic latency coding
==========================

The time at which a leaky integrator that the value charges reaches a threshold. Bright values come close together, and
values below the threshold never spike.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import LogLatency

values = np.linspace(0, 1, 25)
spikes = LogLatency(steps=100).encode(values)  # uint8 [T, C, N]
step, channel, value = spikes.nonzero()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.scatter(step, values[value], c="#1f4e8c", marker="|", s=60)
axes.set(xlabel="step", ylabel="value", title="a leaky integrator that the value charges", xlim=(-1, 100))
plt.show()
