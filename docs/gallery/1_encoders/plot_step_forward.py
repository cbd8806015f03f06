"""
Step forward coding
===================

An ON spike if the signal is a threshold above a reference, an OFF spike if it is below; the reference then moves by
the threshold. A pixel of an event camera does the same with the logarithm of the light.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import StepForward

steps = np.arange(200)
signal = 0.5 + 0.35 * np.sin(2 * np.pi * steps / 90) + 0.1 * np.sin(2 * np.pi * steps / 37)
code = StepForward(steps=200, threshold=0.06)
spikes = code.encode_signal(signal)  # uint8 [T, C]

figure, (above, below) = plt.subplots(2, 1, figsize=(6, 3.6), height_ratios=(3, 1), sharex=True, layout="constrained")
above.plot(steps, signal, label="signal", color="black")
above.plot(steps, code.decode_signal(spikes), label="decoded from the spikes", color="#c62f2d")
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
