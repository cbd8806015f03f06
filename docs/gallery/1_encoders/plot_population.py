"""
Population coding
=================

Several neurons share a value: each has a receptive field, a Gaussian, and spikes the earlier, the closer the value is
to its centre. So one value becomes several spike times.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Population

values = np.linspace(0, 1, 25)
spikes = Population(steps=100, neurons=6).encode(values)  # uint8 [T, C, N]
step, channel, value = spikes.nonzero()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.scatter(step, values[value], c=channel, marker="|", s=60, cmap="viridis")
axes.set(xlabel="step", ylabel="value", title="a colour per neuron of the population", xlim=(-1, 100))
plt.show()
