"""
Codes of values
===============

The spikes of 25 values from 0 to 1, in each code of a single value.

``poisson``
    Rate coding: a value is the probability of a spike in each step, so it is the rate of the train. Simple and robust,
    but slow: the rate is known only after many steps, and two trains of the same value differ.
``latency``
    One spike per value: the larger, the earlier. One spike carries the value to half a step.
``log_latency``
    Logarithmic latency: the time at which a leaky integrator that the value charges reaches a threshold. Bright values
    come close together, and values below the threshold never spike.
``rank_order``
    Only the order counts: the largest value spikes in the first step, the next one in the second, whatever the values
    are. Multiplying all values by two changes nothing.
``population``
    Several neurons share a value: each has a receptive field, a Gaussian, and spikes the earlier, the closer the value
    is to its centre. So one value becomes several spike times.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Latency, LogLatency, Poisson, Population, RankOrder

codes = {
    "poisson: the larger the value, the more spikes": Poisson(steps=100),
    "latency: the larger the value, the earlier its spike; none for 0": Latency(steps=100),
    "log_latency: a leaky integrator that the value charges": LogLatency(steps=100),
    "rank_order: one step per rank": RankOrder(steps=25),
    "population: a colour per neuron": Population(steps=100, neurons=6),
}

values = np.linspace(0, 1, 25)
figure, panels = plt.subplots(len(codes), 1, figsize=(6, 13), layout="constrained")
for axes, (title, code) in zip(panels, codes.items(), strict=True):
    spikes = code.encode(values, np.random.default_rng(0))  # uint8 [T, C, N]
    step, channel, value = spikes.nonzero()
    axes.scatter(step, values[value], c=channel, marker="|", s=60, cmap="viridis")
    axes.set(xlabel="step", ylabel="value", title=title, xlim=(-1, code.steps))
plt.show()
