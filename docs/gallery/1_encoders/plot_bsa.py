"""
Ben's spiker algorithm (BSA)
============================

As HSA, but a spike is set where subtracting the filter reduces the sum of absolute errors. The decoded signal runs
through the middle of the signal.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import BensSpiker

steps = np.arange(200)
signal = 0.5 + 0.35 * np.sin(2 * np.pi * steps / 90) + 0.1 * np.sin(2 * np.pi * steps / 37)
code = BensSpiker(steps=200, taps=16, cutoff=0.15)
spikes = code.encode_signal(signal)  # uint8 [T, C]

figure, (above, below) = plt.subplots(2, 1, figsize=(6, 3.6), height_ratios=(3, 1), sharex=True, layout="constrained")
above.plot(steps, signal, label="signal", color="black")
above.plot(steps, code.decode_signal(spikes), label="decoded from the spikes", color="#c62f2d")
figure.legend(loc="outside upper center", ncols=2, frameon=False)
names = ["spikes"]
below.eventplot(
    [np.flatnonzero(train) for train in spikes.T], colors=["black"], lineoffsets=range(len(names)), linelengths=0.8
)
below.set(yticks=range(len(names)), yticklabels=names, xlabel="step")
plt.show()
