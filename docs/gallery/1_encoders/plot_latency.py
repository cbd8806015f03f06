"""
Latency coding
==============

One spike per value: the larger, the earlier. One spike carries the value to half a step.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Latency

values = np.linspace(0, 1, 25)
spikes = Latency(steps=100).encode(values)  # uint8 [T, C, N]
step, channel, value = spikes.nonzero()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.scatter(step, values[value], c="#1f4e8c", marker="|", s=60)
axes.set(xlabel="step", ylabel="value", title="the larger the value, the earlier its spike; none for 0", xlim=(-1, 100))
plt.show()
