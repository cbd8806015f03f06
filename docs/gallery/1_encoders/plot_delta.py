"""
Delta coding
============

A spike if the signal has changed by a threshold since the previous step. Slow changes leave no trace, so the signal
cannot be decoded.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Delta

steps = np.arange(200)
signal = 0.5 + 0.35 * np.sin(2 * np.pi * steps / 90) + 0.1 * np.sin(2 * np.pi * steps / 37)
code = Delta(steps=200, threshold=0.03)
spikes = code.encode_signal(signal)  # uint8 [T, C]

figure, (above, below) = plt.subplots(2, 1, figsize=(6, 3.6), height_ratios=(3, 1), sharex=True, layout="constrained")
above.plot(steps, signal, label="signal", color="black")
above.fill_between(steps, 0, 1, where=spikes.any(1), alpha=0.15, label="a step with a spike")
figure.legend(loc="outside upper center", ncols=2, frameon=False)
names = ["OFF", "ON"]
below.eventplot(
    [np.flatnonzero(train) for train in spikes.T],
    colors=["#2f6db5", "#c62f2d"],
    lineoffsets=range(len(names)),
    linelengths=0.8,
)
below.set(yticks=range(len(names)), yticklabels=names, xlabel="step")
plt.show()
