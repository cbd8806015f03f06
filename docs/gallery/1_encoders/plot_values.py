"""
Codes of values
===============

The spikes of 25 values from 0 to 1, in each code for single values.

``poisson``
    Rate coding: the value is the probability of a spike in each step. Simple and robust, but slow: the rate is known
    only after many steps, and two trains of the same value differ.
``latency``
    One spike per value; larger values spike earlier. One spike encodes the value with an error of up to half a step.
``log_latency``
    Logarithmic latency: the time until a leaky integrator with the value as input reaches a threshold. Large values
    spike close together, and values below the threshold never spike.
``rank_order``
    Only the order matters: the largest value spikes in the first step, the second largest in the second step, and so
    on. Multiplying all values by two changes nothing.
``population``
    Several neurons encode one value as several spike times. Each neuron has a Gaussian receptive field and spikes
    earlier the closer the value is to its centre.
"""

import matplotlib.pyplot as plt
import numpy as np

from dvspipe.encoding import Latency, LogLatency, Poisson, Population, RankOrder

codes = {
    "poisson: the larger the value, the more spikes": Poisson(steps=100),
    "latency: the larger the value, the earlier its spike; none for 0": Latency(steps=100),
    "log_latency: threshold time of a leaky integrator": LogLatency(steps=100),
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
