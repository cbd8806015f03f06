"""
2. Spikes and neurons from scratch
==================================

A spiking neuron adds up its input, slowly forgets it, and sends a spike when it has enough. This page builds the neuron
from a circuit, and shows the effect of its constants, how a value becomes spikes, and how to read a raster.
"""

# %%
# The neuron as a circuit
# -----------------------
#
# The membrane of a cell is a capacitor C with a resistor R, its channels, in parallel. A current i charges the
# capacitor, and the charge leaks through the resistor:
#
# .. code-block:: none
#
#      C dv/dt = i - v / R          or, with tau = R C:          tau dv/dt = R i - v
#
# Without spikes, v follows the current like a slow voltmeter: after tau it has covered 63 % of the way. The *leaky
# integrate-and-fire* neuron (LIF) adds one rule: at the threshold, here 1, it spikes, and v becomes 0 again. A computer
# takes steps of dt: v becomes v + dt / tau (i - v). Here is that loop, compared with dvspipe's ``LIFBox``, which has
# the parameters of Norse: inverse time constants in 1/s, and the threshold ``v_th``:

import matplotlib.pyplot as plt
import norse.torch as norse
import numpy as np
import torch

from dvspipe.networks import LIFBox

dt, tau = 0.001, 0.02
current = np.zeros(120)
current[10:80] = 1.6

v, membrane, spikes = 0.0, [], []
for i in current:
    v += dt / tau * (i - v)
    membrane.append(v)
    spikes.append(v > 1)
    if v > 1:
        v = 0.0


def make_neurons(tau_s, dt, threshold=1.0):
    """Return dvspipe's neurons for a time constant and a step in seconds."""
    return LIFBox(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(1 / tau_s), v_th=torch.tensor(threshold)), dt)


ours, _ = make_neurons(tau, dt)(torch.tensor(current, dtype=torch.float32)[:, None, None])  # [T, B, N]
print("the same spikes as dvspipe's LIFBox:", bool((ours[:, 0, 0].numpy() > 0).tolist() == spikes))

figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
axes.plot(membrane, color="black", label="membrane potential v")
axes.plot(current, color="#2f6db5", linestyle=":", label="current i")
axes.axhline(1, color="grey", linewidth=0.8, label="threshold")
axes.vlines(np.flatnonzero(spikes), 1.05, 1.3, color="#c62f2d", label="spikes")
axes.set(xlabel="ms")
axes.legend(loc="upper right")
plt.show()

# %%
# How fast it forgets
# -------------------
#
# The same input spikes, with three time constants. With 5 ms, the neuron forgets a spike before the next one comes: it
# detects *coincidences*. With 50 ms, it adds up everything: it *counts*. The setting ``tau_mem_s`` chooses
# between the two. As a rule, tau should be about as long as the differences that matter.

inputs_ms = [5, 10, 15, 20, 40, 42, 44, 46, 70]
arrived = torch.zeros(100)
arrived[inputs_ms] = 1
figure, panels = plt.subplots(3, 1, figsize=(8, 4.6), sharex=True, layout="constrained")
for axes, tau_ms in zip(panels, (5, 15, 50), strict=True):
    weight = 0.35 * tau_ms  # each spike raises v by 0.35, whatever tau
    lif, state, membrane, fired = make_neurons(tau_ms / 1000, dt), None, [], []
    for current in weight * arrived:
        spike, state = lif(current.reshape(1, 1, 1), state)  # one step: T = 1
        membrane.append(state.v.item())
        fired.append(spike.item() > 0)
    axes.plot(membrane, color="black")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.vlines(np.flatnonzero(fired), 1.05, 1.4, color="#c62f2d", linewidth=2)
    axes.vlines(inputs_ms, -0.25, -0.05, color="#2f6db5")
    axes.set(title=f"tau = {tau_ms} ms, spikes: {sum(fired)}", yticks=(0, 1))
panels[-1].set(xlabel="ms; blue: input spikes, red: output spikes")
plt.show()

# %%
# How quickly it fires
# --------------------
#
# Driven by a constant current i, the neuron reaches the threshold after the time tau ln(i / (i - 1)), and never if i
# <= 1. So a current becomes a rate. This curve is the spiking counterpart of an activation function. It starts at a
# threshold, like a ReLU with a bias.

currents = np.linspace(0, 5, 60)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for tau_ms, colour in ((10, "#1b9e77"), (20, "#d95f02"), (40, "#7570b3")):
    constant = torch.tensor(currents, dtype=torch.float32).expand(1000, 1, -1).contiguous()
    counts = make_neurons(tau_ms / 1000, dt)(constant)[0].sum(0)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        law = np.where(currents > 1, 1000 / (tau_ms * np.log(currents / (currents - 1))), 0)
    axes.plot(currents, counts, ".", color=colour, markersize=4, label=f"tau = {tau_ms} ms, in steps of 1 ms")
    axes.plot(currents, law, color=colour, linewidth=1)
axes.set(xlabel="current, in thresholds", ylabel="spikes per second")
axes.legend()
plt.show()

# %%
# The points form stairs around the curve, because the time between two spikes is a multiple of the step.
#
# How a value becomes spikes
# --------------------------
#
# Events are already spikes. Other values, such as the grey of an image, need a *code*. Here are four codes of the same
# eight values:
#
# - **Poisson**: the value is a rate. Robust, but slow, since a rate must be counted.
# - **Latency**: the larger, the earlier. One spike is enough, but losing it loses everything.
# - **Rank order**: only the order of the values counts, as quickly as possible.
# - **Population**: several neurons share a value, each with its preferred value.

from dvspipe.encoding import Latency, Poisson, Population, RankOrder

values = np.linspace(0.05, 1, 8)
codes = {
    "Poisson": Poisson(steps=60, max_rate_hz=200, step_us=1000),
    "latency": Latency(steps=60),
    "rank order": RankOrder(steps=60),
    "population of 5": Population(steps=60, neurons=5),
}
figure, panels = plt.subplots(1, 4, figsize=(10, 3), sharex=True, layout="constrained")
for axes, (name, code) in zip(panels, codes.items(), strict=True):
    trains = code.encode(values, np.random.default_rng(1))  # uint8 [T, C, N]
    step, channel, index = trains.nonzero()
    axes.scatter(step, index + channel / trains.shape[1], s=40, marker="|", color="black")
    axes.set(title=name, xlabel="step", xlim=(-2, 60), yticks=range(8), yticklabels=[])
panels[0].set(ylabel="value", yticklabels=[f"{value:.2f}" for value in values])
plt.show()

# %%
# Reading a raster
# ----------------
#
# A raster has a line per neuron and a mark per spike. Forty neurons with random weights receive the events of a person
# rolling the arms. Look for:
#
# - **silent lines**: these neurons contribute nothing; their weights are too small.
# - **lines without gaps**: these neurons are saturated and carry no timing.
# - **columns**: many neurons spike at once, because the input changed suddenly.
# - **rhythm**: here, the rhythm of the arms.

import dvspipe
from dvspipe.synthesis import GestureClip, record_gesture

events = record_gesture(GestureClip(7, person=3, clip=0, seed=0, duration_us=1_000_000))
counts = dvspipe.encode(events, dvspipe.BinConfig(steps=100, step_us=10_000, downsample=16))
pixels = torch.tensor(counts, dtype=torch.float32).flatten(1)  # [T, 2 * 8 * 8]
weights = 0.25 * torch.randn(pixels.shape[1], 40, generator=torch.Generator().manual_seed(0))
fired = make_neurons(0.03, 0.01, threshold=2 / 3)((pixels @ weights)[:, None])[0][:, 0]

figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4.4), height_ratios=(1, 3), sharex=True, layout="constrained")
above.fill_between(10 * np.arange(100), counts.sum((1, 2, 3)), step="mid", color="lightgrey")
above.set_ylabel("events")
step, neuron = fired.numpy().nonzero()
below.scatter(10 * step, neuron, marker="|", s=12, color="black")
below.set(xlabel="ms", ylabel="neuron")
rates = fired.mean(0)
below.set_title(f"{int((rates == 0).sum())} silent, {int((rates > 0.5).sum())} saturated of 40", fontsize=10)
plt.show()

# %%
# Training finds better weights than these. ``dvspipe train`` starts each layer at a reasonable rate, and warns if a
# layer is silent or saturated.
#
# Next: :doc:`plot_3_classifier`. All codes are in :doc:`/concepts/encoding`, the neurons in :doc:`/concepts/networks`.
