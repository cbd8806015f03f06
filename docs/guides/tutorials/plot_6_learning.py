"""
6. Learning rules
=================

A spike is a step, and its derivative is zero almost everywhere. So how does a spiking network learn? This page shows
three answers as pictures: a gradient through a softened step, a gradient that needs no way back in time, and a rule
that looks only at the times of two spikes.
"""

# %%
# A softened step
# ---------------
#
# Backpropagation multiplies derivatives. The derivative of a spike is 0, or infinite at the threshold, so nothing would
# be learned. The trick: keep the step forward, and use the derivative of something softer backward, a *surrogate*. Its
# slope decides how far from the threshold a neuron still learns.

import matplotlib.pyplot as plt
import numpy as np
import torch

from dvspipe.networks import NetworkConfig, Spike


def surrogate(x: torch.Tensor, method: str, alpha: float) -> torch.Tensor:
    """Return the derivative that replaces the step's."""
    leaf = x.clone().requires_grad_()
    (derivative,) = torch.autograd.grad(Spike.apply(leaf, method, alpha).sum(), leaf)
    return derivative


x = torch.linspace(-1.5, 1.5, 300)
figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
panels[0].plot(x + 1, (x > 0).float(), color="black")
panels[0].set(title="forward: a step", xlabel="membrane potential", ylabel="spike")
for kind in ("superspike", "arctan"):
    panels[1].plot(x + 1, surrogate(x, kind, 2.0), label=kind)
panels[1].plot(x + 1, surrogate(x, "superspike", 10.0), ":", color="C0", label="superspike, slope 10")
panels[1].set(title="backward: a surrogate of its derivative", xlabel="membrane potential")
panels[1].legend()
plt.show()

# %%
# Learn with it
# -------------
#
# A layer of LIF neurons is a PyTorch module with a surrogate in its backward pass. Here, one neuron learns to spike at
# 30, 60 and 90 ms, from 50 inputs that spike at random, the same in every pass. The loss is the distance between its
# spike train and the wanted one, both blurred (van Rossum 2001).

from norse.torch import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract

from dvspipe.networks import LIFBox
from dvspipe.rules.superspike import VanRossum

torch.manual_seed(2)
inputs = (torch.rand(120, 1, 50) < 0.06).float()
wanted = torch.zeros(120, 1, 1)
wanted[[30, 60, 90]] = 1
weights = torch.nn.Parameter(0.3 * torch.rand(50, 1))
parameters = LIFBoxParameters(
    tau_mem_inv=torch.tensor(100.0), method="superspike", alpha=2.0, reset_method=reset_subtract
)
neuron = LIFBox(parameters, dt=0.001)
distance = VanRossum(dt=0.001)
optimiser = torch.optim.Adam([weights], lr=0.01)

rasters, losses = [], []
for _ in range(200):
    spikes, _ = neuron(8 * inputs @ weights)  # a current enters with the factor dt / tau, here 0.1
    loss = distance.loss(spikes, wanted)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
    rasters.append(spikes.detach()[:, 0, 0].numpy() > 0)

figure, panels = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(2, 1), layout="constrained")
number, time = np.array(rasters).nonzero()
panels[0].scatter(time, number, s=2, color="black")
panels[0].vlines([30, 60, 90], 0, 200, color="#c62f2d", linewidth=0.8, label="wanted")
panels[0].set(xlabel="ms", ylabel="pass", title="output spikes while it learns")
panels[0].legend(loc="upper right")
panels[1].plot(losses, color="black")
panels[1].set(xlabel="pass", title="loss", yscale="log")
plt.show()

# %%
# Without going back in time
# --------------------------
#
# Backpropagation through time keeps the state of all steps, so memory grows with the length of a recording. Rules that
# learn *forward in time* keep one trace per input instead. What they ignore is small: here is the angle between the
# true gradient and the gradient of OTTT (Xiao et al. 2022), for each layer of a small network.

from dvspipe.networks import build_network
from dvspipe.rules import OTTT, Bptt

config = NetworkConfig(
    network="mlp", channels=(20, 20), reset="subtract", detach_reset=True, slope=16.0, threshold=0.125
)
spikes = (torch.rand(40, 8, 2, 6, 8) < 0.15).float()
labels = torch.arange(8) % 4


def loss_of(outputs: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over the steps."""
    return sum(torch.nn.functional.cross_entropy(y, labels) for y in outputs) / len(outputs)


def gradients(rule: str) -> dict[str, torch.Tensor]:
    """Return the gradient of each weight of the same network by a rule."""
    torch.manual_seed(0)
    network = build_network(config, (2, 6, 8), classes=4, dt=0.015)
    kinds = {"bptt": Bptt, "ottt": OTTT}
    kinds[rule](network).update(spikes, loss_of)
    return {name: p.grad.flatten() for name, p in network.named_parameters() if p.ndim > 1 and p.grad is not None}


true = gradients("bptt")
figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
approximate = gradients("ottt")
cosines = [torch.cosine_similarity(true[name], approximate[name], dim=0).item() for name in true]
axes.bar(np.arange(len(true)), cosines, 0.5)
axes.set(xticks=range(len(true)), xticklabels=list(true), ylim=(0, 1.05))
axes.set_ylabel("cosine of OTTT and BPTT")
plt.show()

# %%
# OTTT is exact for the last layer. In training, such angles cost little accuracy; :doc:`/concepts/learning-rules` has
# the figures. Choose a rule with ``rule=ottt``.
#
# Two spikes are enough
# ---------------------
#
# *Spike-timing-dependent plasticity* (STDP) needs no loss and no labels. If an input spikes shortly before the neuron,
# it may have caused the spike, and its weight grows. If it spikes shortly after, the weight shrinks. Here is the change
# by a single pair, over the time between both spikes:

from dvspipe.rules import PairRule, apply_stdp

gaps_ms = np.arange(-60, 61, 2)
changes = []
for gap in gaps_ms:
    pre, post = torch.zeros(140, 1), torch.zeros(140, 1)
    pre[70], post[70 + gap] = 1, 1
    changed, _ = apply_stdp(torch.full((1, 1), 0.5, dtype=torch.float64), pre, post, PairRule(), dt_s=0.001)
    changes.append(float(changed) - 0.5)

figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.stem(gaps_ms, changes, basefmt=" ", markerfmt=".")
axes.axhline(0, color="grey", linewidth=0.8)
axes.set(xlabel="post minus pre, ms", ylabel="change of the weight")
plt.show()

# %%
# A neuron with this rule finds repeating inputs. Twenty of a hundred inputs spike together every 50 ms, hidden among
# random spikes of the same rate. After four seconds their weights stand out, without any labels.

rng = np.random.default_rng(0)
steps = 4000
pre = torch.tensor(rng.random((steps, 100)) < 0.02, dtype=torch.float32)
pre[:, :20] = 0
pre[np.arange(0, steps, 50), :20] = 1
w, traces, history = torch.full((1, 100), 0.5, dtype=torch.float64), None, []
rule = PairRule(increase=0.01, decrease=0.012)
v = 0.0
for t in range(steps):
    post = torch.tensor([[1.0 if v > 1 else 0.0]])  # caused by earlier inputs
    w, traces = apply_stdp(w, pre[t : t + 1], post, rule, dt_s=0.001, traces=traces)
    v = (0.0 if v > 1 else 0.9 * v) + 0.12 * float(pre[t] @ w[0].float())
    if t % 20 == 0:
        history.append(w[0].numpy().copy())

figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
history = np.array(history)
seconds = np.arange(len(history)) * 0.02
axes.plot(seconds, history[:, 20:], color="lightgrey", linewidth=0.5)
axes.plot(seconds, history[:, :20], color="#c62f2d", linewidth=0.6)
axes.set(xlabel="s", ylabel="weight", title="red: the inputs that spike together")
plt.show()

# %%
# With several competing neurons, each learns another pattern: ``network: stdp`` learns the strokes of digits this
# way. :doc:`/concepts/learning-rules` describes it and ten other rules, with equations and sources.
#
# Next: :doc:`plot_7_scaling`.
