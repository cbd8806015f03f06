"""
Poisson (rate) coding
=====================

A value is the probability of a spike in each step, so it is the rate of the train. Simple and robust, but slow:
the rate is known only after many steps, and two trains of the same value differ.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Poisson

values = np.linspace(0, 1, 25)
spikes = Poisson(steps=100).encode(values, np.random.default_rng(0))  # uint8 [T, C, N]
step, channel, value = spikes.nonzero()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.scatter(step, values[value], c="#1f4e8c", marker="|", s=60)
axes.set(xlabel="step", ylabel="value", title="the larger the value, the more spikes", xlim=(-1, 100))
plt.show()
