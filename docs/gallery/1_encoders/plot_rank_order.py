"""
Rank order coding
=================

Only the order counts: the largest value spikes in the first step, the next one in the second, whatever the values are.
Multiplying all values by two changes nothing.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import RankOrder

values = np.linspace(0, 1, 25)
spikes = RankOrder(steps=25).encode(values)  # uint8 [T, C, N]
step, channel, value = spikes.nonzero()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.scatter(step, values[value], c="#1f4e8c", marker="|", s=60)
axes.set(xlabel="step", ylabel="value", title="one step per rank", xlim=(-1, 25))
plt.show()
